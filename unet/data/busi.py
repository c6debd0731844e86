"""BUSI on disk: cases, merged masks, near-duplicate groups.

Al-Dhabyani W, Gomaa M, Khaled H, Fahmy A., *Dataset of breast ultrasound images*, Data in Brief
28 (2020) 104863.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from unet.errors import UserError
from unet.images.reading import ImageError, read_image
from unet.inference.preprocessing import mask_to_input, to_grey, to_input

CLASSES = ("benign", "malignant", "normal")
CURATED = "mapping_curated_BUSI.csv"
HASH_SIZE = 16
"""Side of the perceptual hash in bits; 16 gives 256 bits."""
HASH_DISTANCE = 30
"""Hashes that differ in at most this many bits count as near-duplicates."""

_MASK = re.compile(r"^(?P<stem>.+)_mask(_\d+)?$")


class DatasetError(UserError):
    """A data folder that cannot be used; the message lists everything wrong with it."""


@dataclass(frozen=True)
class Case:
    """One ultrasound image with its truth masks.

    Attributes:
        id: Class and file stem, such as `"benign/benign (1)"`.
        label: One of `CLASSES`.
        image: The image file.
        masks: Its mask files, one or more; their union is the truth.
        group: Number of its near-duplicate group, the same for all its near-duplicates.
    """

    id: str
    label: str
    image: Path
    masks: tuple[Path, ...]
    group: int = -1


@dataclass(frozen=True)
class Dataset:
    """Decoded cases, ready for the network.

    Attributes:
        cases: N cases, in the order of their paths, groups filled in.
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
        mask = read_image(path)
        mask = (mask if mask.ndim == 2 else mask.max(axis=2)) > 127
        if union is not None and union.shape != mask.shape:
            raise ImageError(f"{path.name}: size differs from the case's other masks")
        union = mask if union is None else union | mask
    return union


def load_dataset(root: str | Path, size: int) -> Dataset:
    """Find, check, decode, resize and group every case below `root`.

    Args:
        root: A folder with `benign/`, `malignant/` and `normal/`, or one that holds
            `Dataset_BUSI_with_GT/` with these.
        size: The network's input size S in pixels.

    Raises:
        DatasetError: With one line for each thing that is wrong, all of them at once.
    """
    cases, problems = find_cases(root)
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
        raise DatasetError(
            f"{len(problems)} problem(s) in the data folder {root}:\n  " + "\n  ".join(problems)
        )
    groups = group_near_duplicates(np.array(hashes))
    cases = [
        Case(c.id, c.label, c.image, c.masks, int(group))
        for c, group in zip(cases, groups, strict=True)
    ]
    return Dataset(cases, np.stack(images), np.stack(masks))


def find_cases(root: str | Path) -> tuple[list[Case], list[str]]:
    """The cases below `root` by file name, and what is wrong with the folder's files."""
    root = Path(root)
    if not root.is_dir():
        return [], [f"{root}: expected a folder, found none"]
    if (root / "Dataset_BUSI_with_GT").is_dir():
        root = root / "Dataset_BUSI_with_GT"
    cases: list[Case] = []
    problems: list[str] = []
    for label in CLASSES:
        folder = root / label
        if not folder.is_dir():
            problems.append(f"{folder}: class folder missing")
            continue
        files = {path.stem: path for path in sorted(folder.glob("*.png"))}
        masks: dict[str, list[Path]] = {}
        for stem, path in files.items():
            if match := _MASK.match(stem):
                masks.setdefault(match["stem"], []).append(path)
        images = {stem: path for stem, path in files.items() if not _MASK.match(stem)}
        if not images:
            problems.append(f"{folder}: no images (expected NAME.png with NAME_mask.png)")
        for stem, path in images.items():
            if stem in masks:
                cases.append(Case(f"{label}/{stem}", label, path, tuple(masks[stem])))
            else:
                problems.append(f"{path}: image without a mask (expected {stem}_mask.png)")
        for stem in sorted(set(masks) - set(images)):
            problems.append(f"{masks[stem][0]}: mask without an image (expected {stem}.png)")
    return cases, problems


def curated_ids(root: str | Path) -> set[str]:
    """Ids of the cases that Curated BUSI keeps, if its list lies beside the data; else none.

    The list (Zenodo 10.5281/zenodo.19047974), `mapping_curated_BUSI.csv` with columns class and
    id, leaves out every near-duplicate and every doubtful image.
    """
    path = Path(root) / CURATED
    if not path.is_file():
        return set()
    with open(path, newline="") as file:
        rows = csv.DictReader(file, delimiter=";")
        return {f"{row['class']}/{row['class']} ({row['id']})" for row in rows}


def group_near_duplicates(hashes: np.ndarray, distance: int = HASH_DISTANCE) -> np.ndarray:
    """Number the connected components of "hashes differ in at most `distance` bits".

    BUSI holds many images more than once (Pawłowska et al., PMC10293973).

    Args:
        hashes: bool `(N, bits)`.

    Returns:
        int `(N,)`: for each image the index of the first image of its group.
    """
    signed = np.where(hashes, 1, -1).astype(np.int32)  # (N, bits)
    differing = (signed.shape[1] - signed @ signed.T) // 2  # (N, N)
    group = np.arange(len(hashes))
    for i, j in np.argwhere(np.triu(differing <= distance, k=1)):
        low, high = sorted((group[i], group[j]))
        group[group == high] = low
    return group
