"""Real examples for the page, out of a person's own copy of the data sets: test cases alone."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from unet.data.cases import Case, DatasetError, read_grey, read_mask
from unet.data.loading import find_cases, sources_of
from unet.errors import UserError
from unet.inference.bundle import read_info
from unet.io.examples import COLUMNS, LIST, MASK, listed_examples

SHOWN = {"good": 0.85, "typical": 0.5, "poor": 0.05}
"""Which of a class's cases are shown, by the share of the others that have a lower Dice."""


def export_examples(data: Sequence[Path], bundle: Path, out: Path) -> list[str]:
    """Copy test cases that the network has not learnt from, good and poor ones, with their truth.

    Of each data set and class three, by the Dice in the bundle's `cases.csv`; and one of each
    scanner that is not among them. What an earlier call put into the folder is replaced.

    Args:
        data: The data sets' folders.
        bundle: Whose test cases, and whose answers to them.
        out: The folder; `app.py` offers those in `examples/`.

    Returns:
        The ids of the cases.

    Raises:
        DatasetError: A folder holds no data set, or no test case of the bundle.
        UserError: The bundle holds no `cases.csv`.
    """
    cases: list[Case] = []
    for folder in data:
        found, problems = find_cases(folder)
        if problems:
            raise DatasetError("\n  ".join(problems))
        cases += found
    test = set(read_info(bundle).split.get("test", ()))
    dice = _dice_of(bundle)
    known = [case for case in cases if case.id in test and case.id in dice]
    if not known:
        raise DatasetError(f"no test case of {bundle} in {', '.join(map(str, data))}")
    sources = {source["name"]: source for source in sources_of(known)}
    out.mkdir(parents=True, exist_ok=True)
    kept = _without_earlier(out)
    rows = []
    for case, how in _chosen(known, dice):
        name = f"{case.dataset}-{case.id.split('/')[-1]}".replace(" ", "").replace("(", "-")
        name = name.replace(")", "")
        Image.fromarray(read_grey(case)).save(out / f"{name}.png")
        Image.fromarray(read_mask(case)).save(out / f"{name}{MASK}.png")
        source = sources[case.dataset]
        shared = "yes" if source.get("shared") else "no"
        caption = f"{case.label}, {case.scanner or case.dataset} ({how})"
        rows.append([f"{name}.png", caption, "", source["citation"], shared, case.id])
    with (out / LIST).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows + [[row.get(name, "") for name in COLUMNS] for row in kept])
    return [row[-1] for row in rows]


def _dice_of(bundle: Path) -> dict[str, float]:
    path = bundle / "cases.csv"
    if not path.exists():
        raise UserError(f"{bundle} holds no cases.csv. Run train.py evaluate first.")
    with path.open(newline="", encoding="utf-8") as file:
        return {row["id"]: float(row["dice"]) for row in csv.DictReader(file)}


def _chosen(cases: list[Case], dice: dict[str, float]) -> list[tuple[Case, str]]:
    """Cases in the order in which they are shown, each with a word for the network's answer."""
    by_class: dict[tuple[str, str], list[Case]] = defaultdict(list)
    by_scanner: dict[str, list[Case]] = defaultdict(list)
    for case in sorted(cases, key=lambda case: (dice[case.id], case.id)):
        by_class[case.dataset, case.label].append(case)
        by_scanner[case.scanner].append(case)
    chosen: dict[str, tuple[Case, str]] = {}
    for how, share in SHOWN.items():
        for members in by_class.values():
            case = members[round(share * (len(members) - 1))]
            chosen.setdefault(case.id, (case, how))
    shown = {case.scanner for case, _ in chosen.values()}
    for scanner in sorted(set(by_scanner) - shown):
        members = by_scanner[scanner]
        case = members[round(float(np.median(range(len(members)))))]
        chosen.setdefault(case.id, (case, "typical"))
    return list(chosen.values())


def _without_earlier(out: Path) -> list[dict[str, str]]:
    """The list's rows that a person wrote; what an earlier call wrote is removed."""
    rows = listed_examples(out)
    for row in rows:
        if row.get("case"):
            path = out / Path(row["file"]).name
            path.unlink(missing_ok=True)
            path.with_name(f"{path.stem}{MASK}.png").unlink(missing_ok=True)
    return [row for row in rows if not row.get("case")]
