"""Splits and folds that do not leak: near-duplicates stay together, classes in proportion."""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from unet.data.cases import Case, DatasetError

SPLITS = ("train", "validation", "test")
CLASSES = ("benign", "malignant", "normal", "lesion")


def split_cases(
    cases: list[Case], *, test: float, validation: float, seed: int
) -> dict[str, list[int]]:
    """Split whole groups, each data set for itself, stratified by class.

    So a data set's split does not depend on which others are there. A group that lies in two data
    sets goes where the first of them put it.

    Args:
        cases: Cases with groups.
        test: Share of all cases for testing, in (0, 1).
        validation: Share of the remaining cases for validation, in (0, 1).
        seed: The same seed gives the same split.

    Returns:
        For each of `SPLITS` the indices of its cases, ascending. A group with contradicting
        labels counts in the class most of its cases have (the first in `CLASSES` on a tie).

    Raises:
        DatasetError: A split would hold no case.
    """
    split: dict[str, list[int]] = {name: [] for name in SPLITS}
    place: dict[int, str] = {}  # of a group
    for dataset in dict.fromkeys(case.dataset for case in cases):
        own = [i for i, case in enumerate(cases) if case.dataset == dataset]
        for i in own:
            if cases[i].group in place:
                split[place[cases[i].group]].append(i)
        free = [i for i in own if cases[i].group not in place]
        for name, indices in _split_one(cases, free, test, validation, seed).items():
            split[name] += indices
            place |= {cases[i].group: name for i in indices}
    empty = [name for name in SPLITS if not split[name]]
    if empty:
        raise DatasetError(
            f"{len(cases)} cases are too few: no case is left for {', '.join(empty)}. "
            "Use more cases or larger fractions."
        )
    return {name: sorted(indices) for name, indices in split.items()}


def _split_one(
    cases: list[Case], own: list[int], test: float, validation: float, seed: int
) -> dict[str, list[int]]:
    """The split of one data set's cases, given by their indices."""
    split: dict[str, list[int]] = {name: [] for name in SPLITS}
    random = np.random.default_rng(seed)
    for groups in _groups_by_class(cases, own).values():
        total = sum(map(len, groups))
        wanted = {"test": total * test, "validation": total * (1 - test) * validation}
        order = [groups[i] for i in random.permutation(len(groups))]
        for name, share in wanted.items():
            taken = 0
            while order and taken + len(order[-1]) / 2 <= share:
                taken += len(order[-1])
                split[name] += order.pop()
        for indices in order:
            split["train"] += indices
    return split


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
