"""Load the data sets named by --data, split them, and fingerprint them."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from unet.config import TrainConfig
from unet.data import busbra, busi, folder
from unet.data.cases import Case, Dataset, load_cases
from unet.data.phantom import write_dataset
from unet.data.splits import split_cases

READERS: tuple[ModuleType, ...] = (busi, busbra, folder)
"""Each reads one layout; a folder must fit exactly one of them."""


def find_cases(root: str | Path) -> tuple[list[Case], list[str]]:
    """Read the one data set that is at `root` or in a folder of it.

    Returns:
        The cases by file name, and a line for each problem with the files. Two data sets in one
        folder are a problem: neither is read in silence.
    """
    root = Path(root)
    if not root.is_dir():
        return [], [f"{root}: expected a folder, found none"]
    folders = [root, *sorted(p for p in root.iterdir() if p.is_dir() and os.access(p, os.R_OK))]
    found = [(reader, folder) for folder in folders for reader in READERS if reader.is_at(folder)]
    if len(found) > 1:
        names = " and ".join(f"{reader.NAME} in {folder}" for reader, folder in found)
        return [], [f"{root}: expected one data set, found {names}. Give --data for each of them"]
    if not found:
        return [], [
            f"{root}: no known data set. Expected BUSI's {', '.join(busi.CLASSES)}, BUS-BRA's "
            f"{busbra.TABLE}, or images/ and masks/"
        ]
    reader, folder = found[0]
    return reader.find_cases(folder)


def load_datasets(roots: Sequence[str | Path], size: int) -> Dataset:
    """Find, check, decode, resize and group every case below some folders.

    Args:
        roots: Folders in BUSI's or BUS-BRA's layout, or with `images/` and `masks/`.
        size: The network's input size S in pixels.

    Raises:
        DatasetError: With one line for each thing that is wrong, all of them at once.
    """
    cases: list[Case] = []
    problems: list[str] = []
    for root in roots:
        found, wrong = find_cases(root)
        cases += found
        problems += wrong
    ids = [case.id for case in cases]
    problems += [f"{name}: there twice" for name in sorted({i for i in ids if ids.count(i) > 1})]
    return load_cases(cases, problems, size)


def sources_of(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Name, citation and licence of each data set that cases come from, as they come first.

    `shared` is there and true where the licence lets images be handed on.
    """
    named = {reader.NAME: reader for reader in READERS}
    sources = []
    for name in dict.fromkeys(case.dataset for case in cases):
        reader = named.get(name, folder)
        source = {"name": name, "citation": reader.CITATION, "licence": reader.LICENCE}
        if name in folder.PUBLISHED:
            source |= {"citation": folder.PUBLISHED[name], "licence": "CC BY 4.0"}
        if getattr(reader, "SHARED", False) or name in folder.PUBLISHED:
            source["shared"] = True
        sources.append(source)
    return sources


PHANTOM, PHANTOM_CASES = "phantom", 60


@contextmanager
def data_folders(data: list[str]) -> Iterator[list[Path]]:
    """The folders that `--data` names; for "phantom" a temporary one with generated cases."""
    with tempfile.TemporaryDirectory(prefix="unet-") as temporary:
        yield [
            write_dataset(Path(temporary) / PHANTOM, PHANTOM_CASES)
            if folder == PHANTOM
            else Path(folder)
            for folder in data
        ]


def make_split(
    dataset: Dataset, config: TrainConfig, *, allow_empty: bool = False
) -> dict[str, list[int]]:
    """The split that a recipe asks for: for each of `SPLITS` the indices of its cases."""
    return split_cases(
        dataset.cases,
        test=config.test_fraction,
        validation=config.validation_fraction,
        seed=config.split_seed,
        allow_empty=allow_empty,
    )


def fingerprint(dataset: Dataset, split: dict[str, list[int]]) -> str:
    """A hash of the cases' pixels and of where the split puts them."""
    digest = hashlib.sha256()
    for name in split:
        digest.update(f"{name} {[dataset.cases[i].id for i in split[name]]}".encode())
    digest.update(dataset.images.tobytes())
    digest.update(dataset.masks.tobytes())
    return digest.hexdigest()


def fingerprint_of(dataset: Dataset, indices: list[int]) -> str:
    """A hash of some cases' ids and pixels, whatever others there are."""
    digest = hashlib.sha256(json.dumps([dataset.cases[i].id for i in indices]).encode())
    digest.update(dataset.images[indices].tobytes())
    digest.update(dataset.masks[indices].tobytes())
    return digest.hexdigest()


def arrays(dataset: Dataset, indices: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Images float32 and masks bool, each `(len(indices), S, S, 1)`."""
    return dataset.images[indices], dataset.masks[indices]
