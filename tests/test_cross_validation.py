import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import QUICK, TINY
from unet.checkpoint import RunError
from unet.dataset import load_dataset
from unet.workflow import cross_validate

LAST = replace(QUICK, keep="last", epochs=2)


@pytest.fixture(scope="module")
def validated(phantoms, tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    places = {"out": folder / "out", "run_dir": folder / "run"}
    cross_validate(str(phantoms), TINY, LAST, folds=3, **places)
    with open(folder / "out" / "cross_validation.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return folder, json.loads((folder / "out" / "cross_validation.json").read_text()), rows


def test_every_case_is_scored_once_in_its_fold(validated, phantoms):
    _, summary, rows = validated
    assert [row["id"] for row in rows] == sorted(c.id for c in load_dataset(phantoms, 32).cases)
    assert {row["split"] for row in rows} == {"fold 1", "fold 2", "fold 3"}
    fold_of = {}
    for row in rows:
        assert fold_of.setdefault(row["group"], row["split"]) == row["split"]
    assert summary["cases"] == 18
    assert summary["folds"] == len(summary["rules"]) == 3
    mean = np.mean([float(row["dice"]) for row in rows])
    assert summary["final"]["all_images"]["dice"]["value"] == pytest.approx(mean, abs=1e-4)


def test_each_fold_trains_on_the_cases_of_the_others(validated):
    folder, _, _ = validated
    for number in (1, 2, 3):
        state = json.loads((folder / "run" / f"fold-{number}" / "last" / "state.json").read_text())
        assert len(state["history"]) == LAST.epochs
        assert not any(name.startswith("val_") for name in state["history"][0])
        assert f"fold {number} of 3" in state["settings"]["data"]["fingerprint"]


def test_it_resumes_and_refuses_other_folds(validated, phantoms, tmp_path):
    folder, summary, _ = validated
    places = {"out": tmp_path / "out", "run_dir": folder / "run"}
    cross_validate(str(phantoms), TINY, LAST, folds=3, resume=True, **places)
    again = json.loads((tmp_path / "out" / "cross_validation.json").read_text())
    assert again["final"] == summary["final"]
    with pytest.raises(RunError, match="other data"):
        cross_validate(str(phantoms), TINY, LAST, folds=2, resume=True, **places)
