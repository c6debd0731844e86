"""The data that a command is given: its cases, how they are split, and what they are known by."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from unet.config import TrainConfig
from unet.data.cases import Dataset
from unet.data.splits import split_cases
from unet.images.phantom import write_dataset

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


def split_of(dataset: Dataset, config: TrainConfig) -> dict[str, list[int]]:
    """The split that a recipe asks for: for each of `SPLITS` the indices of its cases."""
    return split_cases(
        dataset.cases,
        test=config.test_fraction,
        validation=config.validation_fraction,
        seed=config.split_seed,
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
