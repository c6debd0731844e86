"""Numbers of a bundle's files for the page; the files may come from anywhere."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HELD_OUT = ("test", "external")
BOOTSTRAP_SAMPLES = 1000
PROTOCOLS = ("", "threshold_0.5_", "network_resolution_")
"""Prefixes of a protocol's columns; those of post-processed masks come first."""


@dataclass(frozen=True)
class Case:
    """A test image and how its final mask scored.

    Attributes:
        size: The lesion's share of the image, 0 for a normal image.
    """

    id: str
    label: str
    dataset: str
    scanner: str
    group: str
    dice: float
    recall: float
    precision: float
    diagnosis: str
    size: float


def held_out_cases(bundle: Path) -> list[Case]:
    """The held-out cases of `cases.csv`; none where it is not there or not ours."""
    try:
        with open(bundle / "cases.csv", newline="") as file:
            return [_case(row) for row in csv.DictReader(file) if row["split"] in HELD_OUT]
    except (OSError, LookupError, TypeError, ValueError, ArithmeticError, csv.Error):
        return []


def history(bundle: Path) -> list[dict[str, float]]:
    """The rows of `history.csv`, values that are no finite numbers left out; or none."""
    try:
        with open(bundle / "history.csv", newline="") as file:
            return [_finite(row) for row in csv.DictReader(file)]
    except (OSError, TypeError, ValueError, csv.Error):
        return []


def percent(share: float, digits: int = 0) -> str:
    """A share as people read it: "4.6 %"."""
    return f"{100 * share:.{digits}f} %"


def mean_interval(cases: Iterable[Case]) -> tuple[float, float, float]:
    """The mean Dice of some cases with its 95 % bootstrap interval over their groups."""
    scores: dict[str, list[float]] = {}
    for case in cases:
        scores.setdefault(case.group, []).append(case.dice)
    tops = np.array([sum(group) for group in scores.values()])
    counts = np.array([len(group) for group in scores.values()])
    share = np.full(len(tops), 1 / len(tops))
    draws = np.random.default_rng(0).multinomial(len(tops), share, BOOTSTRAP_SAMPLES)
    low, high = np.percentile((draws @ tops) / (draws @ counts), [2.5, 97.5])
    return float(tops.sum() / counts.sum()), float(low), float(high)


def _case(row: dict[str, str]) -> Case:
    dice = float(row["dice"])
    if not 0 <= dice <= 1:
        raise ValueError(f"Dice is between 0 and 1, got {dice}")
    return Case(
        id=row["id"],
        label=row["label"],
        dataset=row.get("dataset") or "BUSI",  # the oldest name none: BUSI
        scanner=row.get("scanner") or "",
        group=row.get("group") or row["id"],
        dice=dice,
        recall=float(row["recall"]),
        precision=float(row["precision"]),
        diagnosis=row.get("diagnosis") or "",
        size=0.0 if row["label"] == "normal" else _lesion_share(row),
    )


def _lesion_share(row: dict[str, str]) -> float:
    """The lesion's share of its image, from a mask's scores, which settle it.

    A mask that meets the lesion: wrong pixels are `lesion · (recall / precision + 1 - 2 · recall)`.
    Without a mask they are the lesion. One wholly beside it adds its own to them, so that the
    protocol with the fewest is the nearest.
    """
    wrong = []
    for protocol in PROTOCOLS:
        if f"{protocol}accuracy" not in row:
            continue
        precision, recall = float(row[f"{protocol}precision"]), float(row[f"{protocol}recall"])
        share = 1 - float(row[f"{protocol}accuracy"])
        whole = recall / precision + 1 - 2 * recall if precision else 1
        if not recall:
            wrong.append(share)
        elif whole:  # a perfect mask tells no size
            return share / whole
    return min(wrong, default=math.nan)


def _finite(row: dict[str, str]) -> dict[str, float]:
    values = {name: float(value) for name, value in row.items() if name and value}
    return {name: value for name, value in values.items() if math.isfinite(value)}
