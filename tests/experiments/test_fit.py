"""What the commands keep, leave out and refuse."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import QUICK, TINY
from unet import cli
from unet.config import InferenceConfig, Recipe
from unet.core.mask import PostProcessing
from unet.data.phantom import make_phantom
from unet.errors import UserError
from unet.experiments import evaluate as evaluate_experiment
from unet.experiments import fit as fit_experiment
from unet.experiments import run_store
from unet.experiments.artifacts import carry_over_results
from unet.experiments.evaluate import calibrate, evaluate
from unet.experiments.fit import fit
from unet.inference.bundle import read_info
from unet.inference.segmenter import Segmenter
from unet.publishing.card import card_of
from unet.results import Results
from unet.training import checkpoint
from unet.training.initial_weights import seen_case_ids

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(tiny_bundle, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "tiny"))


def metrics_of(bundle: Path) -> dict:
    return json.loads((bundle / "metrics.json").read_text())


def test_new_rules_leave_no_scores_of_others(copy, phantoms, other, tmp_path):
    evaluate(copy, [str(phantoms), str(other)], "all", None, tmp_path / "figures")
    assert "external" in metrics_of(copy)["splits"]
    before = metrics_of(copy)["splits"]["test"]
    calibrate(copy, [str(phantoms)], tmp_path / "figures")
    assert set(metrics_of(copy)["splits"]) == {"train", "validation", "test"}
    assert metrics_of(copy)["splits"]["test"]["cases"] == before["cases"]
    assert not (copy / "plots" / "threshold_sweep_external.png").exists()
    assert "| elsewhere, test split" not in card_of(copy)


def test_other_views_leave_no_scores_of_the_views_before(phantoms, tmp_path, capsys):
    data, out = [str(phantoms)], tmp_path / "flipped"
    model = replace(TINY, name="flipped")
    recipe = Recipe(model, replace(QUICK, epochs=1), InferenceConfig(flip=True))
    fit(data, "unet", recipe, out=out, run_dir=tmp_path / "run")
    before = Segmenter.load(out)
    Results("leave-one-domain-out", "", [], {}, []).write(out / "leave_out.json")
    interactive = (
        tmp_path / "interactive" / "clicks.json"
    )  # whose answer without a click is this network's
    interactive.parent.mkdir()
    interactive.write_text(json.dumps({"test": {"beside": {"sha256": before.network.sha256}}}))
    words = ["calibrate", "--weights", str(out), "--data", data[0]]
    assert cli.main([*words, "--scales", "1", "0.9"]) == 0
    assert read_info(out).inference == InferenceConfig(flip=True, scales=(1.0, 0.9))
    assert not (out / "leave_out.json").exists()
    said = capsys.readouterr().out
    assert f"{out / 'leave_out.json'} is of other views and is left out" in said
    assert (
        f"{interactive} was measured before this change; train.py evaluate-interactive does again"
        in said
    )
    shown = "over the image, its mirror image and the image at 90% of its size on black."
    assert shown in card_of(out)
    image = make_phantom(3, "benign", 90, 120).image
    ours, theirs = (s.predict_views(image).probability for s in (Segmenter.load(out), before))
    assert (len(ours), len(theirs)) == (3, 2)
    np.testing.assert_allclose(ours[:2], theirs, atol=1e-6)
    assert cli.main([*words, "--scales", "1", "1.5"]) == 1
    assert read_info(out).inference.scales == (1.0, 0.9)

    # The training was the same: it is continued, whatever is averaged of it.
    places = {"out": tmp_path / "again", "run_dir": tmp_path / "run"}
    other_views = replace(recipe, inference=InferenceConfig(scales=(1.0, 0.8)))
    fit(data, "unet", other_views, resume=True, **places)
    weights = [read_info(folder).sha256["model.weights.h5"] for folder in (out, places["out"])]
    assert weights[0] == weights[1]


def test_rules_that_fail_leave_the_bundle_as_it_was(copy, phantoms, tmp_path, monkeypatch):
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(evaluate_experiment, "evaluate_splits", fail)
    with pytest.raises(OSError, match="no space"):
        calibrate(copy, [str(phantoms)], tmp_path / "figures")
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_more_of_a_data_set_that_was_learnt_is_not_scored_as_never_seen(
    copy, phantoms, tmp_path, capsys
):
    more = shutil.copytree(phantoms, tmp_path / phantoms.name)
    for number in range(100, 112):
        phantom = make_phantom(number, "benign", 200, 320)
        Image.fromarray(phantom.image).save(more / "benign" / f"benign ({number}).png")
        Image.fromarray(phantom.mask).save(more / "benign" / f"benign ({number})_mask.png")
    evaluate(copy, [str(more)], "all", tmp_path / "out", tmp_path / "figures")
    assert "not scored: 12 images" in capsys.readouterr().out
    assert set(metrics_of(tmp_path / "out")["splits"]) == {"train", "validation", "test"}


def test_data_sets_given_besides_are_scored_with_the_test_split(copy, phantoms, other, tmp_path):
    data, out = [str(phantoms), str(other)], tmp_path / "out"
    evaluate(copy, data, "test", out, tmp_path / "figures")
    assert set(metrics_of(out)["splits"]) == {"test", "external"}
    evaluate(copy, data, "validation", tmp_path / "one", tmp_path / "figures")
    assert set(metrics_of(tmp_path / "one")["splits"]) == {"validation"}


def test_a_part_of_the_data_is_split_as_the_bundle_says(copy, phantoms, other, tmp_path):
    """With some of its data missing no training case is scored as if it had not been seen."""
    part = shutil.copytree(phantoms, tmp_path / phantoms.name)
    split = read_info(copy).split
    name = split["test"][0].split("/", 1)[1]
    for path in part.glob(f"{name}*"):
        path.unlink()
    out = tmp_path / "out"
    evaluate(copy, [str(part), str(other)], "all", out, tmp_path / "figures")
    with open(out / "cases.csv", newline="") as file:
        scored = {row["id"]: row["split"] for row in csv.DictReader(file)}
    own = {i: where for where, ids in split.items() for i in ids if i != split["test"][0]}
    assert {i: where for i, where in scored.items() if where != "external"} == own
    assert all(i.startswith("elsewhere/") for i, where in scored.items() if where == "external")


def test_test_cases_alone_are_scored_in_the_bundles_order(copy, phantoms, other, tmp_path):
    part = Path(shutil.copytree(phantoms, tmp_path / phantoms.name))
    split = read_info(copy).split
    for case_id in split["train"] + split["validation"]:
        for path in part.glob(f"{case_id.split('/', 1)[1]}*"):
            path.unlink()
    for name, data in (("one", [part, other]), ("two", [other, part])):
        evaluate(copy, list(map(str, data)), "test", tmp_path / name, tmp_path / "figures")
        assert metrics_of(tmp_path / name)["splits"]["test"]["cases"] == len(split["test"])
    one, two = (metrics_of(tmp_path / name)["splits"]["test"] for name in ("one", "two"))
    assert one["made_by"]["data"] == two["made_by"]["data"]  # whatever the order of --data


def test_data_without_a_case_of_the_split_is_refused_by_its_counts(copy, phantoms, tmp_path):
    part = shutil.copytree(phantoms, tmp_path / phantoms.name)
    split = read_info(copy).split
    for case_id in split["test"]:
        for path in part.glob(f"{case_id.split('/', 1)[1]}*"):
            path.unlink()
    counts = f"{len(split['train'])} train, {len(split['validation'])} validation"
    with pytest.raises(UserError, match=f"holds no test case of .*, only {counts}"):
        evaluate(copy, [str(part)], "test", tmp_path / "out", tmp_path / "figures")


def test_what_rules_were_chosen_on_is_never_scored_as_unseen(copy, phantoms, tmp_path):
    other = tmp_path / "elsewhere"
    for name in ("images", "masks"):
        (other / name).mkdir(parents=True)
    for number in range(12):
        phantom = make_phantom(70 + number, "benign", 100, 140)
        Image.fromarray(phantom.image).save(other / "images" / f"{number}.png")
        Image.fromarray(phantom.mask).save(other / "masks" / f"{number}.png")
    calibrate(copy, [str(phantoms), str(other)], tmp_path / "figures")
    chosen_on = set(read_info(copy).training["calibration_cases"])
    assert chosen_on
    out = tmp_path / "out"
    evaluate(copy, [str(other)], "all", out, tmp_path / "figures")
    with open(out / "cases.csv", newline="") as file:
        scored = {row["id"] for row in csv.DictReader(file)}
    assert scored
    assert not scored & chosen_on


def test_uncommitted_code_trains_only_when_asked_to_and_the_card_says_so(
    phantoms, tmp_path, monkeypatch
):
    for module in (fit_experiment, run_store, checkpoint):
        monkeypatch.setattr(module, "git_commit", lambda: "abc-dirty")
    places = {"out": tmp_path / "out", "run_dir": tmp_path / "run"}
    words = [[str(phantoms)], "unet", Recipe(TINY, replace(QUICK, epochs=1))]
    with pytest.raises(UserError, match="the code differs from commit abc"):
        fit(*words, **places, allow_dirty=False)
    assert not any(path.exists() for path in places.values())
    fit(*words, **places)
    assert read_info(places["out"]).training["reproducible"] is False
    assert "training cannot be repeated" in card_of(places["out"])
    # A run that began at such a commit is not finished from a clean one unasked either.
    monkeypatch.setattr(fit_experiment, "git_commit", lambda: None)
    with pytest.raises(UserError, match="the code differs from commit abc"):
        fit(*words, **places, resume=True, allow_dirty=False)


def test_another_networks_bundle_is_replaced_only_when_asked_to(copy, phantoms, tmp_path):
    before = read_info(copy).sha256
    recipe = Recipe(replace(TINY, filters=(4, 6)), replace(QUICK, epochs=1))
    words = [[str(phantoms)], "unet", recipe]
    places = {"out": copy, "run_dir": tmp_path / "run"}
    with pytest.raises(UserError, match=r"holds another network: tiny.*--replace"):
        fit(*words, **places)
    assert read_info(copy).sha256 == before
    fit(*words, **places, replace=True)
    assert read_info(copy).sha256 != before


def test_one_does_not_go_on_from_a_network_that_knows_the_test_cases(
    tiny_bundle, phantoms, other, tmp_path
):
    words = {"out": tmp_path / "out", "run_dir": tmp_path / "run", "init_from": tiny_bundle}
    config = replace(QUICK, epochs=1)
    with pytest.raises(UserError, match=r"has learnt from \d+ of what would be test cases"):
        fit([str(phantoms)], "unet", Recipe(TINY, replace(config, split_seed=3)), **words)
    fit([str(phantoms)], "unet", Recipe(TINY, config), **words)
    assert read_info(tmp_path / "out").training["start"]["seen"] == []
    # What it has seen is known of what goes on from it, whatever that is trained on.
    words |= {"out": tmp_path / "abroad", "run_dir": tmp_path / "run abroad"}
    config = replace(config, test_fraction=0.2, validation_fraction=0.4)  # of eight cases
    fit([str(other)], "unet", Recipe(TINY, config), **words)
    split = read_info(tiny_bundle).split
    seen = seen_case_ids(read_info(tmp_path / "abroad"))
    assert {*split["train"], *split["validation"]} <= seen
    assert not seen & set(split["test"])


def test_what_was_measured_of_the_same_weights_is_kept(copy, tmp_path, capsys):
    (copy / "clicks.json").write_text("{}")
    (copy / "plots" / "clicks_test.png").write_bytes(b"plot")
    new = tmp_path / "new"
    (new / "plots").mkdir(parents=True)
    info = read_info(copy)
    carry_over_results(copy, new, info)
    assert (new / "clicks.json").read_text() == "{}"
    assert (new / "plots" / "clicks_test.png").read_bytes() == b"plot"
    other = tmp_path / "other"
    other.mkdir()
    carry_over_results(copy, other, replace(info, sha256={"model.weights.h5": "another"}))
    assert not (other / "clicks.json").exists()
    assert "is left out; train.py evaluate-interactive" in capsys.readouterr().out
    carry_over_results(copy, other, replace(info, postprocessing=PostProcessing(0.71)))
    assert not (other / "clicks.json").exists()
    assert "is left out; train.py evaluate-interactive" in capsys.readouterr().out
