"""BUS-BRA: four scanners, 1,064 patients named by number, a lesion in every image.

Gómez-Flores W, Gregorio-Calas MJ, Coelho de Albuquerque Pereira W, *BUS-BRA: A breast ultrasound
dataset for assessing computer-aided diagnosis systems*, Medical Physics 51 (2024).
"""

from __future__ import annotations

import csv
from pathlib import Path

from unet.data.cases import Case

NAME = "BUS-BRA"
CITATION = (
    "Gómez-Flores W, Gregorio-Calas MJ, Coelho de Albuquerque Pereira W. BUS-BRA: A breast "
    "ultrasound dataset for assessing computer-aided diagnosis systems. Medical Physics 51 (2024)."
)
LICENCE = "use, change and publication with citation"
SHARED = True
TABLE = "bus_data.csv"


def is_at(root: Path) -> bool:
    """Return True for a folder in BUS-BRA's layout."""
    return (root / TABLE).is_file()


def find_cases(root: str | Path) -> tuple[list[Case], list[str]]:
    """The cases by the data set's table whose files are there, and what is wrong with the files.

    The published table may list more images than a folder holds; an image that the table does not
    list is a problem, since its patient is unknown.
    """
    root = Path(root)
    with open(root / TABLE, newline="") as file:
        rows = {row["ID"]: row for row in csv.DictReader(file)}
    cases: list[Case] = []
    problems: list[str] = []
    for path in sorted((root / "Images").glob("*.png")):
        row = rows.get(path.stem)
        mask = root / "Masks" / f"{path.stem.replace('bus_', 'mask_', 1)}.png"
        if row is None:
            problems.append(f"{path}: not listed in {TABLE}, so its patient is unknown")
        elif not mask.is_file():
            problems.append(f"{path}: image without a mask (expected Masks/{mask.name})")
        else:
            scanner = row["Device"].split("@")[0].strip()
            patient = f"{NAME} {row['Case']}"
            identity = {"dataset": NAME, "scanner": scanner, "patient": patient}
            cases.append(Case(f"{NAME}/{path.stem}", row["Pathology"], path, (mask,), **identity))
    if not cases and not problems:
        problems.append(f"{root / 'Images'}: no images (expected bus_NNNN-S.png)")
    return cases, problems
