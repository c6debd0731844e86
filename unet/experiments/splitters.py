"""Splitters: which cases each training learns from, is calibrated on, and is scored on."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from unet.config import TrainConfig
from unet.data.cases import Case, Dataset, DatasetError
from unet.data.loading import make_split
from unet.data.splits import SPLITS, fold_cases, split_cases

Split = dict[str, list[str]]
"""Case ids by part: "train", "validation", and parts that are scored alone."""
Splitter = Callable[[Dataset], dict[str, Split]]
"""Gives each training's split by the training's name."""

OUT_OF_FOLD = "out_of_fold"
"""Part of a fold's own cases, which its network has not seen."""
EXTERNAL = "external"
"""Part of cases of data sets or scanners that the network was not trained on."""
HOLDOUT = "holdout"


def holdout(config: TrainConfig) -> Splitter:
    """One split into train, validation and test, as the recipe's fractions say."""

    def split(dataset: Dataset) -> dict[str, Split]:
        parts = make_split(dataset, config)
        return {HOLDOUT: {name: _ids(dataset, parts[name]) for name in SPLITS}}

    return split


def k_fold(folds: int, config: TrainConfig) -> Splitter:
    """Every case is out of fold once; of the other folds' cases a share is for validation."""

    def split(dataset: Dataset) -> dict[str, Split]:
        found = {}
        for number, out in enumerate(fold_cases(dataset.cases, folds, config.split_seed), start=1):
            out_of_fold = set(out)
            others = [case for i, case in enumerate(dataset.cases) if i not in out_of_fold]
            parts = split_cases(
                others, test=0.0, validation=config.validation_fraction, seed=config.split_seed,
                allow_empty=True,
            )  # fmt: skip
            if not parts["validation"]:
                raise DatasetError(f"{len(others)} cases are too few to calibrate a fold on")
            found[f"fold {number} of {folds}"] = {
                name: [others[i].id for i in parts[name]] for name in ("train", "validation")
            } | {OUT_OF_FOLD: _ids(dataset, sorted(out_of_fold))}
        return found

    return split


def leave_one_domain_out(names: Sequence[str], config: TrainConfig) -> Splitter:
    """A training without each of some data sets or scanners, which is scored on it.

    The others' training and validation cases stay where the recipe's split puts them; those that
    share a patient or a near-duplicate with the domain are dropped. Test cases are neither trained
    on nor scored: choices are made by these numbers.

    Args:
        names: Of data sets or scanners; case, spaces and hyphens do not matter.
        config: The recipe, for its split.
    """

    def split(dataset: Dataset) -> dict[str, Split]:
        whole = make_split(dataset, config)
        known = [resolve_domain(dataset.cases, name) for name in names]
        return {f"without {name}": _without(dataset, whole, name) for name in known}

    return split


def first_dataset(config: TrainConfig) -> Splitter:
    """The first data set is trained on; others' validation and test cases are external."""

    def split(dataset: Dataset) -> dict[str, Split]:
        whole, home = make_split(dataset, config), dataset.cases[0].dataset
        at_home = {
            name: [i for i in whole[name] if dataset.cases[i].dataset == home] for name in SPLITS
        }
        abroad = sorted(
            i
            for name in ("validation", "test")
            for i in whole[name]
            if dataset.cases[i].dataset != home
        )
        parts = at_home | ({EXTERNAL: abroad} if abroad else {})
        return {HOLDOUT: {name: _ids(dataset, indices) for name, indices in parts.items()}}

    return split


def bundle_split(split: Split, domain: str | None = None) -> Splitter:
    """A bundle's own training and validation cases; with a domain left out of them, if given."""

    def split_again(dataset: Dataset) -> dict[str, Split]:
        if domain is None:
            return {HOLDOUT: {name: split[name] for name in ("train", "validation")}}
        return {f"without {domain}": _without(dataset, indices_of(dataset, split), domain)}

    return split_again


def indices_of(dataset: Dataset, split: Split) -> dict[str, list[int]]:
    """Places of a split's cases in the data set, by part."""
    place = {case.id: i for i, case in enumerate(dataset.cases)}
    return {name: [place[case_id] for case_id in ids] for name, ids in split.items()}


def resolve_domain(cases: Sequence[Case], name: str) -> str:
    """The data sets' own spelling of a data set or scanner; case, spaces, hyphens do not matter.

    Raises:
        DatasetError: There is none of that name.
    """
    known = {own for case in cases for own in (case.dataset, case.scanner)} - {""}
    for own in known:
        if _plain(own) == _plain(name):
            return own
    raise DatasetError(f"--leave-out-domain {name}: expected one of {', '.join(sorted(known))}")


def _without(dataset: Dataset, whole: dict[str, list[int]], domain: str) -> Split:
    cases = dataset.cases
    outside = {i for i, case in enumerate(cases) if domain in (case.dataset, case.scanner)}
    if len(outside) == len(cases):
        raise DatasetError(f"--leave-out-domain {domain}: nothing is left to train on")
    groups = {cases[i].group for i in outside}
    parts = ("train", "validation")
    split = {
        name: _ids(dataset, [i for i in whole[name] if cases[i].group not in groups])
        for name in parts
    }
    if not split["validation"]:
        raise DatasetError(f"--leave-out-domain {domain}: no case is left to calibrate on")
    scored = sorted(i for name in parts for i in whole[name] if i in outside)
    return split | {EXTERNAL: _ids(dataset, scored)}


def _ids(dataset: Dataset, indices: Sequence[int]) -> list[str]:
    return [dataset.cases[i].id for i in indices]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
