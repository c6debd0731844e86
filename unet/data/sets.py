"""Data sets by folder: which reader fits, all cases of several folders together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from unet.data import busbra, busi, folder
from unet.data.cases import Case, Dataset, load_cases

READERS: tuple[ModuleType, ...] = (busi, busbra, folder)
"""Tried in this order."""


def find_cases(root: str | Path) -> tuple[list[Case], list[str]]:
    """The cases below `root` by file name, and what is wrong with the folder's files."""
    root = Path(root)
    if not root.is_dir():
        return [], [f"{root}: expected a folder, found none"]
    for reader in READERS:
        if reader.is_at(root):
            return reader.find_cases(root)
    return [], [
        f"{root}: no data set that is known. Expected BUSI's {', '.join(busi.CLASSES)}, BUS-BRA's "
        f"{busbra.TABLE}, or images/ and masks/"
    ]


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
        if getattr(reader, "SHARED", False):
            source["shared"] = True
        sources.append(source)
    return sources
