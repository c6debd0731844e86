"""Splits and folds that do not leak: near-duplicates stay together, classes in proportion."""

from __future__ import annotations

import csv
import hashlib
import warnings
from collections import Counter
from pathlib import Path

from sklearn.model_selection import StratifiedGroupKFold

from unet.data.cases import Case, DatasetError

SPLITS = ("train", "validation", "test")
CLASSES = ("benign", "malignant", "normal", "lesion")
FIXED_SPLITS = Path(__file__).with_name("fixed_splits.csv")
FIXED_SETTINGS = (0.1, 0.2, 0)
"""Test and validation fraction and seed of the fixed splits."""


def split_cases(
    cases: list[Case], *, test: float, validation: float, seed: int, allow_empty: bool = False
) -> dict[str, list[int]]:
    """Split each data set into whole groups, stratified by class.

    A group's place follows from a hash of its own key and the seed, and from its own data set
    alone: another data set at hand moves nothing, unless the two share a group, which then lies
    where the first of them puts it. The splits of BUSI and of the part of BUS-BRA that the shipped
    networks were trained on are a fixed list.

    Args:
        cases: Cases with groups.
        test: Share of all cases for testing, in (0, 1).
        validation: Share of the remaining cases for validation, in (0, 1).
        seed: The same seed gives the same split.
        allow_empty: Whether a split may hold no case, as for a part of a data set.

    Returns:
        For each of `SPLITS` the indices of its cases, ascending. A group with contradicting
        labels counts in the class most of its cases have (the first in `CLASSES` on a tie).

    Raises:
        DatasetError: A split would hold no case.
    """
    fixed = fixed_split() if (test, validation, seed) == FIXED_SETTINGS else {}
    place: dict[int, str] = {}  # of a group
    for case in cases:
        if case.id in fixed:  # a group with a test case is for testing, whoever else joins it
            names = (place.get(case.group, "train"), fixed[case.id])
            place[case.group] = max(names, key=SPLITS.index)
    for dataset in dict.fromkeys(case.dataset for case in cases):
        own = [i for i, case in enumerate(cases) if case.dataset == dataset]
        for group, name in _split_one(cases, own, test, validation, seed).items():
            place.setdefault(group, name)
    listed: dict[int, set[str]] = {}
    for case in cases:
        if case.id in fixed:
            listed.setdefault(case.group, set()).add(fixed[case.id])
    # A case that resembles listed ones of two splits would leak between them: it is in none.
    torn = {group for group, found in listed.items() if len(found) > 1}
    names = [
        fixed.get(case.id, None if case.group in torn else place[case.group]) for case in cases
    ]
    split = {name: [i for i, own in enumerate(names) if own == name] for name in SPLITS}
    empty = [name for name in SPLITS if not split[name]]
    if empty and not allow_empty:
        raise DatasetError(
            f"{len(cases)} cases are too few: no case is left for {', '.join(empty)}. "
            "Use more cases or larger fractions."
        )
    return split


def fixed_split() -> dict[str, str]:
    """The split of each case of BUSI and BUS-BRA in the fixed list, by id."""
    with open(FIXED_SPLITS, newline="") as file:
        return {row["id"]: row["split"] for row in csv.DictReader(file)}


def _split_one(
    cases: list[Case], own: list[int], test: float, validation: float, seed: int
) -> dict[int, str]:
    """The split of each group of one data set, whose cases are given by their indices."""
    place: dict[int, str] = {}
    for groups in _groups_by_class(cases, own).values():
        total = sum(map(len, groups))
        wanted = {"test": total * test, "validation": total * (1 - test) * validation}
        order = sorted(groups, key=lambda indices: _hash(cases, indices, seed))
        for name, share in wanted.items():
            taken = 0
            while order and taken + len(order[-1]) / 2 <= share:
                taken += len(order[-1])
                place[cases[order.pop()[0]].group] = name
        place |= {cases[indices[0]].group: "train" for indices in order}
    return place


def _hash(cases: list[Case], indices: list[int], seed: int) -> str:
    """A group's place in the order: a hash of the seed and of its first case's id."""
    key = min(cases[i].id for i in indices)
    return hashlib.sha256(f"{seed} {key}".encode()).hexdigest()


def fold_cases(cases: list[Case], folds: int, seed: int) -> list[list[int]]:
    """Deal whole groups into folds of like size, stratified by data set and class.

    Args:
        cases: Cases with groups.
        folds: How many, at least 2.
        seed: The same seed gives the same folds.

    Returns:
        The indices of each fold's cases, ascending; every case is in one fold.

    Raises:
        DatasetError: Fewer than 2 folds, or too few cases for so many.
    """
    if folds < 2:
        raise DatasetError(f"cross-validation needs at least 2 folds, not {folds}")
    groups = [case.group for case in cases]
    if len(set(groups)) < folds:
        raise DatasetError(f"{len(cases)} cases are too few for {folds} folds")
    dealer = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    # Of each data set and class alike; a class rarer than the folds is no reason to warn.
    strata = [f"{case.dataset} {case.label}" for case in cases]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        try:
            dealt = [held_out.tolist() for _, held_out in dealer.split(cases, strata, groups)]
        except ValueError:  # more folds than any class has cases
            dealt = [[]]
    if not all(dealt):
        raise DatasetError(f"{len(cases)} cases are too few for {folds} folds")
    return dealt


def _groups_by_class(cases: list[Case], own: list[int]) -> dict[str, list[list[int]]]:
    """The indices of some of the cases by group, the groups by class."""
    members: dict[int, list[int]] = {}
    for index in own:
        members.setdefault(cases[index].group, []).append(index)
    strata: dict[str, list[list[int]]] = {label: [] for label in CLASSES}
    for indices in members.values():
        counts = Counter(cases[i].label for i in indices)
        strata[max(CLASSES, key=lambda label: counts[label])].append(indices)
    return strata
