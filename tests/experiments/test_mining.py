"""Hard negatives come from networks that have not seen the image, and hardly touch a lesion."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import QUICK, TINY
from unet import cli
from unet.config import Recipe
from unet.data.cases import read_mask
from unet.data.loading import load_datasets
from unet.errors import UserError
from unet.experiments.cross_validation import cross_validate
from unet.experiments.fit import fit
from unet.experiments.mining import mine_candidates, read_candidates
from unet.experiments.splitters import holdout
from unet.inference.bundle import read_info

pytestmark = pytest.mark.slow


def test_mined_candidates_are_trained_on(phantoms, tmp_path):
    recipe = Recipe(TINY, replace(QUICK, checkpoint="last", epochs=1))
    places = {"out": tmp_path / "out", "run_dir": tmp_path / "run"}
    cross_validate([str(phantoms)], "unet", recipe, folds=2, **places)
    bundles = sorted((tmp_path / "run").glob("*/*/*/calibrated"))
    path = tmp_path / "candidates.json"
    words = [word for bundle in bundles for word in ("--weights", str(bundle))]
    assert cli.main(["mine", *words, "--data", str(phantoms), "--out", str(path)]) == 0
    mined = read_candidates(path)
    found = {case_id: own for _, own in mined.networks for case_id, own in own.items()}
    for bundle, (seen, own) in zip(bundles, mined.networks, strict=True):
        split = read_info(bundle).split
        assert seen == {*split["train"], *split["validation"]}
        assert set(own) == set(split["out_of_fold"])
    cases = load_datasets([phantoms], 32).cases
    assert set(found) == {case.id for case in cases}
    assert any(found.values())
    for case in cases:
        truth = read_mask(case)
        assert len(found[case.id]) <= 3
        for left, top, right, bottom in np.array(found[case.id], int).reshape(-1, 4):
            assert 0 <= left < right <= truth.shape[1]
            assert 0 <= top < bottom <= truth.shape[0]

    # Both networks have seen test cases of a training on all of the data: it is shown none.
    [split] = holdout(recipe.train)(load_datasets([phantoms], 32)).values()
    assert mined.unseen_by(split) == {}
    learnt = {name: split[name] for name in ("train", "validation")}
    assert set(mined.unseen_by(learnt)) == {case.id for case in cases}
    first = read_info(bundles[0]).split  # nor is a fold shown what another fold's network found
    assert set(mined.unseen_by(first)) == set(first["out_of_fold"])


def test_a_training_with_candidates_is_another_one_and_says_so(phantoms, tmp_path):
    recipe = Recipe(TINY, replace(QUICK, checkpoint="last", epochs=1, windows=True))
    normal = next(c.id for c in load_datasets([phantoms], 32).cases if c.label == "normal")
    path = tmp_path / "candidates.json"
    one = {"sha256": "", "seen": [], "candidates": {normal: [[10, 10, 30, 40]]}}
    path.write_text(json.dumps({"networks": [one]}))
    places = {"out": tmp_path / "a", "run_dir": tmp_path / "run a"}
    fit([str(phantoms)], "unet", recipe, candidates=path, **places)
    training = read_info(tmp_path / "a").training
    assert " --windows " in training["command"]
    assert training["command"].endswith(" --candidates FILE")
    assert " with candidates " in training["fingerprint"]
    with pytest.raises(UserError, match="other data"):
        fit([str(phantoms)], "unet", recipe, resume=True, **places | {"out": tmp_path / "b"})


def test_candidates_without_windows_are_refused(capsys):
    assert cli.main(["fit", "--data", "phantom", "--candidates", "x.json"]) == 1
    assert "add --windows" in capsys.readouterr().err


def test_a_network_that_was_scored_on_none_is_refused(tiny_bundle, phantoms, tmp_path):
    with pytest.raises(UserError, match="holds none of the cases that its network was scored on"):
        mine_candidates([tiny_bundle], [str(phantoms)], tmp_path / "x.json")


@pytest.mark.parametrize(
    "content",
    ["no json", "[1]", json.dumps({"networks": [{"seen": [], "candidates": {"a": [[1, 2, 3]]}}]})],
)
def test_a_file_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UserError, match=r"expected what train\.py mine writes"):
        read_candidates(tmp_path / "x.json")
