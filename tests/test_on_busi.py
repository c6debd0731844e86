"""Facts of the real data set; run with BUSI_DIR set to its folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from unet.data.cases import Dataset, read_mask
from unet.data.loading import load_datasets
from unet.data.splits import split_cases
from unet.evaluation.threshold_selection import MIN_AREAS
from unet.inference.bundle import read_info

BUNDLES = sorted(p.parent for p in (Path(__file__).parents[1] / "weights").glob("*/unet.json"))

HASH = "2157f896b423a3c2470f59bf3c8acba23fdec9f7cac5b555dc9382bb6d2046b9"

pytestmark = [
    pytest.mark.busi,
    pytest.mark.skipif("BUSI_DIR" not in os.environ, reason="BUSI_DIR is not set"),
]


@pytest.fixture(scope="module")
def busi() -> Dataset:
    return load_datasets([os.environ["BUSI_DIR"]], 64)


def test_all_cases_are_found_and_normal_ones_are_empty(busi):
    assert Counter(case.label for case in busi.cases) == {
        "benign": 437,
        "malignant": 210,
        "normal": 133,
    }
    assert sum(len(case.masks) > 1 for case in busi.cases) == 17
    normal = np.array([case.label == "normal" for case in busi.cases])
    assert not busi.masks[normal].any()
    assert all(read_mask(case).any() for case in busi.cases if case.label != "normal")


def test_near_duplicates_are_grouped_across_labels(busi):
    sizes = Counter(case.group for case in busi.cases)
    assert sum(size for size in sizes.values() if size > 1) == 290
    group = {case.id: case.group for case in busi.cases}
    assert group["benign/benign (433)"] == group["malignant/malignant (145)"]
    assert group["benign/benign (437)"] == group["normal/normal (34)"]


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_the_shipped_split_leaks_no_near_duplicate(busi, bundle):
    group = {case.id: case.group for case in busi.cases}
    shipped = read_info(bundle).split
    split = {name: [case for case in ids if case in group] for name, ids in shipped.items()}
    sides = {name: {group[case] for case in ids} for name, ids in split.items()}
    assert sum(len(ids) for ids in split.values()) == 780
    assert not sides["train"] & sides["test"]
    assert not sides["train"] & sides["validation"]
    assert not sides["validation"] & sides["test"]


def test_the_split_is_the_one_it_has_always_been(busi):
    """78 test and 142 validation cases, whichever data sets are there besides."""
    split = split_cases(busi.cases, test=0.1, validation=0.2, seed=0)
    ids = {name: sorted(busi.cases[i].id for i in split[name]) for name in split}
    assert (len(ids["test"]), len(ids["validation"])) == (78, 142)
    for bundle in BUNDLES:
        shipped = read_info(bundle).split
        for name in ("test", "validation"):
            assert ids[name] == sorted(i for i in shipped[name] if not i.startswith("BUS-BRA"))
    found = hashlib.sha256(json.dumps([ids["test"], ids["validation"]]).encode()).hexdigest()
    assert found == HASH


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_the_graph_that_is_served_says_what_keras_says(bundle):
    from unet import Segmenter
    from unet.data.cases import read_grey
    from unet.data.loading import find_cases
    from unet.data.phantom import KINDS, make_phantom
    from unet.inference.keras_export import load_network, runner_of

    info = read_info(bundle)
    served = Segmenter.load(bundle)
    size, rules = info.model.input_size, info.postprocessing
    run = runner_of(load_network(bundle, info), info.layers)
    keras = Segmenter(
        run, size, served.network, rules, inference=info.inference,
        familiarity=info.familiarity,
        presence=info.presence, confidence=info.confidence,
        interactive=info.model.interactive,
    )  # fmt: skip
    cases = {case.id: case for case in find_cases(Path(os.environ["BUSI_DIR"]))[0]}
    test = [name for name in info.split["test"] if name in cases]
    assert len(test) == 78
    pictures, apart = [read_grey(cases[name]) for name in test], 0
    for picture in pictures + [make_phantom(seed, kind).image for seed in (1, 2) for kind in KINDS]:
        ours, theirs = served.predict_views(picture), keras.predict_views(picture)
        np.testing.assert_allclose(ours.probability, theirs.probability, atol=1e-4)
        found, expected = served.analyze(picture), keras.analyze(picture)
        apart += int((found.segment().mask != expected.segment().mask).sum())
        assert found.segment().confidence == expected.segment().confidence
    assert apart <= 2  # sums in another order: a probability may lie beyond half a level of the 255


def test_no_lesion_is_smaller_than_what_rules_may_leave_out(busi):
    shares = [read_mask(case).mean() for case in busi.cases if case.label != "normal"]
    assert min(shares) > max(MIN_AREAS)
