"""BUSI: one hospital, two scanners, normal images too, no patients named.

Al-Dhabyani W, Gomaa M, Khaled H, Fahmy A., *Dataset of breast ultrasound images*, Data in Brief
28 (2020) 104863.
"""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

from unet.data.cases import Case
from unet.data.phantom import MARKER

NAME = "BUSI"
CITATION = (
    "Al-Dhabyani W, Gomaa M, Khaled H, Fahmy A. Dataset of breast ultrasound images. "
    "Data in Brief 28 (2020) 104863."
)
LICENCE = "terms of its own, for research"
CLASSES = ("benign", "malignant", "normal")
FOLDER = "Dataset_BUSI_with_GT"
CURATED = "mapping_curated_BUSI.csv"

_PUBLISHED = re.compile(r"(benign|malignant|normal)/\1 \(\d+\)")
_MASK = re.compile(r"^(?P<stem>.+)_mask(_\d+)?$")


def is_at(root: Path) -> bool:
    """Return True for a folder in BUSI's layout."""
    return any((root / label).is_dir() for label in CLASSES)


def find_cases(root: str | Path) -> tuple[list[Case], list[str]]:
    """The cases in `root` by file name, and what is wrong with the folder's files.

    BUSI, or a part of it, is recognised by its files' names: its cases have the ids
    `"benign/benign (1)"`. The name of any other folder in this layout, phantoms included, stands
    before its ids, so that its cases are not taken for BUSI's.
    """
    root = Path(root)
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
    published = all(_PUBLISHED.fullmatch(case.id) for case in cases)
    if published and not (root / MARKER).exists():
        return [replace(case, dataset=NAME) for case in cases], problems
    name = root.resolve().name
    return [replace(c, id=f"{name}/{c.id}", dataset=name) for c in cases], problems


def curated_ids(root: str | Path) -> set[str]:
    """Ids of the cases that Curated BUSI keeps, if its list lies beside the data; else none.

    The list (Zenodo 10.5281/zenodo.19047974), `mapping_curated_BUSI.csv` with columns class and
    id, leaves out every near-duplicate and every doubtful image.
    """
    root = Path(root)
    path = next((p for p in (root / CURATED, root.parent / CURATED) if p.is_file()), None)
    if path is None:
        return set()
    with open(path, newline="") as file:
        rows = csv.DictReader(file, delimiter=";")
        return {f"{row['class']}/{row['class']} ({row['id']})" for row in rows}
