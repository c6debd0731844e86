"""Cases of every data set: what one is, how it is read, which ones must stay together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from unet.core.image import mask_to_input, to_grey, to_input
from unet.errors import UserError
from unet.io.images import ImageError, read_image, read_mask_file

HASH_SIZE = 16
"""Side of the perceptual hash in bits; 16 gives 256 bits."""
HASH_DISTANCE = 30
"""Hashes that differ in at most this many bits count as near-duplicates."""


class DatasetError(UserError):
    """A data folder that cannot be used; the message lists everything wrong with it."""


@dataclass(frozen=True)
class Case:
    """One ultrasound image with its truth masks.

    Attributes:
        id: Unique among all data sets, such as `"benign/benign (1)"` or `"BUS-BRA/bus_0002-l"`.
        label: "benign", "malignant", "normal", or "lesion" where no more is known.
        image: The image file.
        masks: Its mask files, one or more; their union is the truth.
        group: Number of its group: images of one patient and near-duplicates share it.
        dataset: Name of the data set it comes from.
        scanner: The device that made it; empty if unknown.
        patient: Whom it shows, unique among all data sets; None if unknown.
    """

    id: str
    label: str
    image: Path
    masks: tuple[Path, ...]
    group: int = -1
    dataset: str = "BUSI"
    scanner: str = ""
    patient: str | None = None


@dataclass(frozen=True)
class Dataset:
    """Decoded cases, ready for the network.

    Attributes:
        cases: N cases, groups filled in.
        images: float32 `(N, S, S, 1)` in [0, 1].
        masks: bool `(N, S, S, 1)`.
    """

    cases: list[Case]
    images: np.ndarray
    masks: np.ndarray


def read_grey(case: Case) -> np.ndarray:
    """The case's image at its own size: uint8 `(H, W)`."""
    return to_grey(read_image(case.image))


def read_mask(case: Case) -> np.ndarray:
    """The case's truth at its own size: the union of its masks, bool `(H, W)`."""
    union = None
    for path in case.masks:
        mask = read_mask_file(path)
        if union is not None and union.shape != mask.shape:
            raise ImageError("size differs from the case's other masks", path.name)
        union = mask if union is None else union | mask
    return union


def load_cases(cases: Sequence[Case], problems: Sequence[str], size: int) -> Dataset:
    """Check, decode, resize and group cases.

    Args:
        cases: What the readers found.
        problems: What they found wrong; more is added here.
        size: The network's input size S in pixels.

    Raises:
        DatasetError: With one line for each thing that is wrong, all of them at once.
    """
    problems = list(problems)
    images, masks, hashes = [], [], []
    for case in cases:
        try:
            grey, mask = read_grey(case), read_mask(case)
        except ImageError as error:
            problems.append(f"{case.image.parent}: {error}")
            continue
        if grey.shape != mask.shape:
            problems.append(
                f"{case.image}: the image is {grey.shape[1]}×{grey.shape[0]} pixels, "
                f"its mask {mask.shape[1]}×{mask.shape[0]}"
            )
            continue
        images.append(to_input(grey, size))
        masks.append(mask_to_input(mask, size))
        hashes.append(imagehash.phash(Image.fromarray(grey), hash_size=HASH_SIZE).hash.ravel())
    if problems:
        raise DatasetError(f"{len(problems)} problem(s) in the data:\n  " + "\n  ".join(problems))
    groups = group_cases(np.array(hashes), [case.patient for case in cases])
    grouped = [replace(c, group=int(group)) for c, group in zip(cases, groups, strict=True)]
    return Dataset(grouped, np.stack(images), np.stack(masks))


def group_cases(
    hashes: np.ndarray, patients: Sequence[str | None], distance: int = HASH_DISTANCE
) -> np.ndarray:
    """Number the connected components of "near-duplicate, or of the same patient".

    BUSI holds many images more than once (Pawłowska et al., PMC10293973). Hashes that differ in at
    most `distance` bits are near-duplicates.

    Args:
        hashes: bool `(N, bits)`.
        patients: N names; None where the patient is unknown.

    Returns:
        int `(N,)`: for each image the index of the first image of its group.
    """
    signed = np.where(hashes, 1, -1).astype(np.int32)  # (N, bits)
    differing = (signed.shape[1] - signed @ signed.T) // 2  # (N, N)
    joined = differing <= distance
    for name in set(patients) - {None}:
        members = [i for i, patient in enumerate(patients) if patient == name]
        joined[np.ix_(members, members)] = True
    _, component = connected_components(csr_array(joined), directed=False)
    first = np.full(component.max() + 1, -1)
    for index in range(len(component) - 1, -1, -1):
        first[component[index]] = index
    return first[component]
