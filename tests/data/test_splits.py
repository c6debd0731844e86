from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unet.data.busi import CLASSES
from unet.data.cases import Case, DatasetError
from unet.data.splits import SPLITS, fixed_split, fold_cases, split_cases


def cases_of(groups: dict[str, list[int]]) -> list[Case]:
    """Cases by label, each with the group number given."""
    return [
        Case(f"{label}/{i}", label, Path(f"{i}.png"), (), group)
        for label, numbers in groups.items()
        for i, group in enumerate(numbers)
    ]


def test_no_group_lies_on_two_sides_of_a_split():
    random = np.random.default_rng(0)
    cases = cases_of({label: list(random.integers(0, 60, 100)) for label in CLASSES})
    for seed in range(20):
        split = split_cases(cases, test=0.1, validation=0.2, seed=seed)
        assert sorted(i for indices in split.values() for i in indices) == list(range(300))
        sides = {}
        for name, indices in split.items():
            for i in indices:
                assert sides.setdefault(cases[i].group, name) == name


def test_a_split_has_the_asked_shares_of_every_class():
    cases = cases_of(
        {
            "benign": list(range(437)),
            "malignant": list(range(500, 710)),
            "normal": [*range(800, 933)],
        }
    )
    split = split_cases(cases, test=0.1, validation=0.2, seed=3)
    assert [len(split[name]) for name in SPLITS] == pytest.approx([562, 140, 78], abs=2)
    for label, total in (("benign", 437), ("malignant", 210), ("normal", 133)):
        tested = sum(cases[i].label == label for i in split["test"])
        assert tested == pytest.approx(total / 10, abs=1)


def test_a_near_duplicate_in_another_data_set_moves_no_other_group():
    cases = cases_of({label: list(range(k, k + 200)) for k, label in zip((0, 200, 400), CLASSES)})
    alone = split_cases(cases, test=0.1, validation=0.2, seed=7)
    other = [
        Case(f"other/{i}", "lesion", Path(f"{i}.png"), (), 0 if i == 0 else 600 + i, "other")
        for i in range(50)
    ]
    for together in (cases + other, other + cases):
        split = split_cases(together, test=0.1, validation=0.2, seed=7)
        for name in SPLITS:
            ids = {together[i].id for i in split[name] if together[i].group < 600}
            assert {cases[i].id for i in alone[name]} - {"benign/0"} == ids - {
                "benign/0",
                "other/0",
            }


def test_the_published_cases_stay_where_they_are_whatever_is_at_hand():
    fixed = fixed_split()
    ids = [i for i in fixed if not i.startswith("BUS-BRA/")]
    counts = Counter(fixed[i] for i in ids)
    assert (len(ids), counts["test"], counts["validation"]) == (780, 78, 142)
    cases = [Case(i, "benign", Path("x.png"), (), number) for number, i in enumerate(ids[::3])]
    split = split_cases(cases, test=0.1, validation=0.2, seed=0)
    assert all(fixed[cases[i].id] == name for name in SPLITS for i in split[name])


def test_what_resembles_a_training_and_a_test_case_is_in_no_split():
    fixed = fixed_split()
    train, test = (next(i for i in fixed if fixed[i] == name) for name in ("train", "test"))
    others = [i for i in fixed if i not in (train, test)][::5]
    cases = [Case(i, "benign", Path("x.png"), (), n) for n, i in enumerate([*others, train, test])]
    bridge = Case("mine/bridge", "lesion", Path("x.png"), (), 7000, "mine")
    group = {train: 7000, test: 7000}
    cases = [replace(case, group=group.get(case.id, case.group)) for case in cases] + [bridge]
    split = split_cases(cases, test=0.1, validation=0.2, seed=0)
    assert len(cases) - 1 not in {i for indices in split.values() for i in indices}


def test_a_part_of_a_data_set_may_have_no_case_of_a_split():
    fixed = fixed_split()
    ids = [i for i in fixed if fixed[i] == "test"]
    cases = [Case(i, "benign", Path("x.png"), (), number) for number, i in enumerate(ids)]
    split = split_cases(cases, test=0.1, validation=0.2, seed=0, allow_empty=True)
    assert split == {"train": [], "validation": [], "test": list(range(len(ids)))}


def test_the_seed_decides_the_split():
    cases = cases_of({label: list(range(k, k + 50)) for k, label in zip((0, 50, 100), CLASSES)})
    one, same, other = (split_cases(cases, test=0.1, validation=0.2, seed=s) for s in (1, 1, 2))
    assert one == same
    assert one != other


def test_too_few_cases_are_refused_in_words():
    with pytest.raises(DatasetError, match="too few"):
        split_cases(cases_of({"benign": [0, 1]}), test=0.1, validation=0.2, seed=0)


def test_folds_hold_every_case_once_and_no_group_twice():
    random = np.random.default_rng(0)
    cases = cases_of({label: list(random.integers(0, 80, 100)) for label in CLASSES})
    folds = fold_cases(cases, 5, seed=0)
    assert sorted(i for indices in folds for i in indices) == list(range(300))
    home = {}
    for number, indices in enumerate(folds):
        for i in indices:
            assert home.setdefault(cases[i].group, number) == number


def test_folds_are_of_like_size_in_every_class():
    cases = cases_of({"benign": list(range(103)), "malignant": [*range(200, 252)] * 2,
                      "normal": list(range(300, 331))})  # fmt: skip
    for indices in fold_cases(cases, 5, seed=0):
        counts = Counter(cases[i].label for i in indices)
        assert counts["benign"] in (20, 21)
        assert counts["malignant"] in (20, 22)
        assert counts["normal"] in (6, 7)


def test_the_seed_decides_the_folds():
    cases = cases_of({label: list(range(k, k + 50)) for k, label in zip((0, 50, 100), CLASSES)})
    one, same, other = (fold_cases(cases, 5, seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other


@pytest.mark.parametrize("folds", [0, 1, 7])
def test_impossible_folds_are_refused_in_words(folds):
    with pytest.raises(DatasetError, match=r"at least 2 folds|too few for 7 folds"):
        fold_cases(cases_of({"benign": [0, 1, 2]}), folds, seed=0)


def test_more_folds_than_any_class_has_cases_are_refused_in_words():
    cases = cases_of({"benign": [0, 1, 2], "normal": [3, 4, 5]})
    with pytest.raises(DatasetError, match="6 cases are too few for 4 folds"):
        fold_cases(cases, 4, seed=0)
