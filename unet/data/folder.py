"""A plain folder: `images/` and `masks/` with equal names, and optionally `groups.csv`."""

from __future__ import annotations

import csv
from pathlib import Path

from unet.data.cases import Case, read_mask
from unet.io.images import ImageError

NAME = "folder"
CITATION = "Images of the person who trained it."
LICENCE = "that of its images"
PUBLISHED = {
    "BUS-UCLM": (
        "Vallez N, Bueno G, Deniz O, Rienda MA, Pastor C. BUS-UCLM: Breast ultrasound lesion "
        "segmentation dataset. Scientific Data 12 (2025), doi:10.1038/s41597-025-04562-3; Mendeley "
        "Data 7fvgj4jsp7, version 3."
    ),
    "BrEaST": (
        "Pawłowska A, Ćwierz-Pieńkowska A, Domalik A, et al. Curated benchmark dataset for "
        "ultrasound based breast lesion analysis. Scientific Data 11 (2024), "
        "doi:10.1038/s41597-024-02984-z; The Cancer Imaging "
        "Archive."
    ),
}
"""Citations of published data sets that come in this layout, by the folder's name; CC BY 4.0."""
KINDS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def is_at(root: Path) -> bool:
    """Return True for a folder with `images/` and `masks/`."""
    try:
        names = {path.name for path in root.iterdir() if path.is_dir()}  # BUS-BRA has "Images"
    except PermissionError:
        return False
    return {"images", "masks"} <= names


def find_cases(root: str | Path) -> tuple[list[Case], list[str]]:
    """The images with a mask of the same name, and what is wrong with the folder's files.

    A case is "normal" where its mask is empty, else "lesion". `groups.csv` (columns `name`, a file
    name with or without its ending, and `group`) says which images show the same patient.
    """
    root = Path(root)
    masks = {path.stem: path for path in sorted((root / "masks").iterdir())}
    images = [path for path in sorted((root / "images").iterdir()) if path.suffix.lower() in KINDS]
    groups, problems = _groups(root / "groups.csv", {path.name for path in images})
    cases: list[Case] = []
    for path in images:
        if path.stem not in masks:
            problems.append(f"{path}: image without a mask (expected masks/{path.stem}.png)")
            continue
        patient = f"{root.name} {groups[path.name]}" if path.name in groups else None
        case = Case(
            f"{root.name}/{path.stem}", "lesion", path, (masks[path.stem],),
            dataset=root.name, patient=patient,
        )  # fmt: skip
        try:
            label = "lesion" if read_mask(case).any() else "normal"
        except ImageError as error:
            problems.append(f"{path.parent.parent / 'masks'}: {error}")
            continue
        cases.append(Case(case.id, label, path, case.masks, dataset=root.name, patient=patient))
    if not images:
        problems.append(f"{root / 'images'}: no images")
    return cases, problems


def _groups(path: Path, images: set[str]) -> tuple[dict[str, str], list[str]]:
    """The group of each image by its file's name, and which rows of `groups.csv` are of no use."""
    if not path.is_file():
        return {}, []
    by_stem = {Path(name).stem: name for name in images}
    groups, problems = {}, []
    with open(path, newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file)
        if missing := {"name", "group"} - set(table.fieldnames or ()):
            return {}, [f"{path}: expected a column {' and a column '.join(sorted(missing))}"]
        for row in table:
            name, group = (row["name"] or "").strip(), (row["group"] or "").strip()
            image = name if name in images else by_stem.get(name)
            if image is None:
                problems.append(f"{path}: there is no image {name!r}")
            elif group:
                groups[image] = group
    return groups, problems
