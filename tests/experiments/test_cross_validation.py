import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import QUICK, TINY, predicted
from tests.experiments.test_ray_executor import assert_same_trainings
from unet import Segmenter
from unet.config import to_dict
from unet.core.mask import PostProcessing
from unet.data.cases import DatasetError, read_mask
from unet.data.loading import load_datasets
from unet.evaluation.case_scores import CasePrediction
from unet.experiments import cross_validation
from unet.experiments.artifacts import carry_over_results
from unet.experiments.fit import cross_validate, fit
from unet.experiments.recipes import same_recipe
from unet.inference.bundle import read_info
from unet.publishing import card
from unet.publishing.tables import interval
from unet.training import sampling as examples_module
from unet.training.checkpoint import RunError

pytestmark = pytest.mark.slow

LAST = replace(QUICK, checkpoint="last", epochs=2)


@pytest.fixture(scope="module")
def validated(phantoms, tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    places = {"out": folder / "out", "run_dir": folder / "run"}
    cross_validate([str(phantoms)], "unet", TINY, LAST, folds=3, **places)
    with open(folder / "out" / "cross_validation.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return folder, json.loads((folder / "out" / "cross_validation.json").read_text()), rows


def test_every_case_is_scored_once_in_its_fold(validated, phantoms):
    _, summary, rows = validated
    assert [row["id"] for row in rows] == sorted(c.id for c in load_datasets([phantoms], 32).cases)
    assert {row["split"] for row in rows} == {"fold 1", "fold 2", "fold 3"}
    fold_of = {}
    for row in rows:
        assert fold_of.setdefault(row["group"], row["split"]) == row["split"]
    assert summary["cases"] == 18
    assert summary["folds"] == len(summary["rules"]) == 3
    mean = np.mean([float(row["dice"]) for row in rows])
    assert summary["postprocessed"]["all_images"]["dice"]["value"] == pytest.approx(mean, abs=1e-4)


def test_a_network_is_scored_on_none_of_the_cases_it_learnt_from(
    phantoms, tmp_path, monkeypatch, validated
):
    """Nor are rules chosen on the fold they are scored on."""
    dataset = load_datasets([phantoms], 32)
    seen, scored, chosen_on = [], [], []

    def number_of(image: np.ndarray) -> int:
        return int(np.abs(dataset.images - image).sum(axis=(1, 2, 3)).argmin())

    def train(model_config, config, examples, validation, run_dir, **_):
        assert validation is None
        seen.append({number_of(image) for image in examples.images})

    def uncalibrated_segmenter(trained, model_config, examples, seed):
        assert {number_of(image) for image in examples.images} == seen[-1]

    def predict_cases(segmenter, cases):
        ids = [case.id for case in dataset.cases]
        scored.append({ids.index(case.id) for case in cases})
        return [CasePrediction(c, *maps_by_id[c.id]) for c in cases]

    def choose(maps):
        chosen_on.append({m.case.id for m in maps})
        return PostProcessing()

    maps_by_id = {
        c.id: (np.zeros((32, 32), np.float32), predicted(np.zeros(truth.shape, np.uint8)), truth)
        for c in dataset.cases
        for truth in [read_mask(c)]
    }
    monkeypatch.setattr(examples_module, "train", train)
    for stand_in in (uncalibrated_segmenter, predict_cases):
        monkeypatch.setattr(cross_validation, stand_in.__name__, stand_in)
    monkeypatch.setattr(cross_validation, "select_postprocessing", choose)
    _, rows = cross_validation.cross_validate(
        dataset, TINY, LAST, folds=3, run_dir=tmp_path, data_fingerprint="", resume=False
    )
    everything = set(range(18))
    assert len(seen) == len(scored) == 3
    for learnt, held_out in zip(seen, scored):
        assert learnt == everything - held_out
    folds = {row["id"]: int(row["split"].split()[-1]) for row in rows}
    for number, ids in enumerate(chosen_on, start=1):
        assert ids == {case_id for case_id, fold in folds.items() if fold != number}


def test_it_resumes_and_refuses_other_folds(validated, phantoms, tmp_path):
    folder, summary, _ = validated
    places = {"out": tmp_path / "out", "run_dir": folder / "run"}
    cross_validate([str(phantoms)], "unet", TINY, LAST, folds=3, resume=True, **places)
    again = json.loads((tmp_path / "out" / "cross_validation.json").read_text())
    assert again["postprocessed"] == summary["postprocessed"]
    with pytest.raises(RunError, match="other data"):
        cross_validate([str(phantoms)], "unet", TINY, LAST, folds=2, resume=True, **places)


@pytest.mark.cluster
def test_ray_gives_the_same_results(validated, phantoms, tmp_path):
    pytest.importorskip("ray")
    folder, _, rows = validated
    places = {"out": tmp_path / "out", "run_dir": tmp_path / "run"}
    cross_validate([str(phantoms)], "unet", TINY, LAST, folds=3, ray="local", **places)
    assert_same_trainings(tmp_path / "run", folder / "run")
    with open(tmp_path / "out" / "cross_validation.csv", newline="") as file:
        again = list(csv.DictReader(file))
    assert [(row["id"], row["split"]) for row in again] == [(r["id"], r["split"]) for r in rows]
    with pytest.raises(RunError, match="Add --resume"):
        cross_validate([str(phantoms)], "unet", TINY, LAST, folds=3, ray="local", **places)


def test_results_do_not_go_to_a_bundle_of_another_recipe(tiny_bundle, phantoms, tmp_path):
    with pytest.raises(DatasetError, match="trained with other settings"):
        cross_validate(
            [str(phantoms)], "unet", TINY, LAST, folds=3, out=tiny_bundle, run_dir=tmp_path
        )


def test_results_outlive_a_training_anew_of_the_same_recipe_only(validated, tiny_bundle, tmp_path):
    _, summary, _ = validated
    old, new, other = tmp_path / "old", tmp_path / "new", tmp_path / "other"
    shutil.copytree(tiny_bundle, old)
    (old / "cross_validation.json").write_text(json.dumps(summary))
    (old / "cross_validation.csv").write_text("")
    (old / "ablation.json").write_text("{}")
    new.mkdir()
    other.mkdir()
    info = read_info(tiny_bundle)
    recipe = replace(info, training=info.training | {"config": to_dict(LAST)})
    carry_over_results(old, new, recipe)
    assert {path.name for path in new.iterdir()} == {
        "cross_validation.json", "cross_validation.csv", "ablation.json",
    }  # fmt: skip
    carry_over_results(old, other, replace(recipe, sha256={"model.weights.h5": "other"}))
    assert {p.name for p in other.iterdir()} == {"cross_validation.json", "cross_validation.csv"}
    shutil.rmtree(other)
    other.mkdir()
    carry_over_results(old, other, replace(recipe, model=replace(TINY, filters=(4, 4))))
    assert not any(other.iterdir())


def test_results_of_smaller_networks_are_of_the_recipe_and_the_card_says_so(validated, tiny_bundle):
    _, summary, _ = validated
    info = read_info(tiny_bundle)
    larger = {"config": to_dict(replace(LAST, epochs=LAST.epochs + 5, warmup_epochs=2))}
    info = replace(
        info, training=info.training | larger, model=replace(info.model, input_size=64, name="new")
    )
    assert same_recipe(summary, info)
    assert not same_recipe(summary | {"data": "another"}, info)
    assert not same_recipe(summary, replace(info, model=replace(info.model, filters=(4, 4))))
    other = {"config": to_dict(replace(LAST, loss="cross_entropy_dice"))}
    assert not same_recipe(summary, replace(info, training=info.training | other))
    metrics = json.loads((tiny_bundle / "metrics.json").read_text())
    text = card.model_card(info, metrics, summary)
    assert f"smaller (at 32×32, {LAST.epochs} epochs)" in text


def test_a_finished_fit_that_is_resumed_keeps_the_ablation(tiny_bundle, phantoms, tmp_path):
    """Keras writes the date of saving into its files: only the weights say which network it is."""
    out = Path(shutil.copytree(tiny_bundle, tmp_path / "tiny"))
    run_dir = shutil.copytree(tiny_bundle.parent / "run", tmp_path / "run")
    metrics = json.loads((out / "metrics.json").read_text())["splits"]
    (out / "ablation.json").write_text(json.dumps({"size": 1, "epochs": 1, "training": [],
                                                   "after_the_network": []}))  # fmt: skip
    fit([str(phantoms)], "unet", TINY, QUICK, out=out, run_dir=run_dir, resume=True)
    assert (out / "ablation.json").exists()
    again = json.loads((out / "metrics.json").read_text())["splits"]
    for name in metrics:
        old, new = (
            m[name]["postprocessed"]["all_images"]["dice"]["value"] for m in (metrics, again)
        )
        assert new == pytest.approx(old, abs=1e-4)


def test_fit_with_flip_averaging_learns_what_agreement_means(phantoms, tmp_path):
    config = replace(QUICK, epochs=1)
    model = replace(TINY, name="flipped", flip_averaging=True)
    places = {"out": tmp_path / "flipped", "run_dir": tmp_path / "run"}
    fit([str(phantoms)], "unet", model, config, **places)
    segmenter = Segmenter.load(tmp_path / "flipped")
    found = segmenter.analyze(np.full((40, 60), 90, np.uint8))
    assert found.disagreement_u8.shape == (40, 60)
    assert 0 <= found.agreement <= 1
    rows = list(csv.DictReader((tmp_path / "flipped" / "cases.csv").read_text().splitlines()))
    assert all(0 <= float(row["agreement"]) <= 1 for row in rows)


def test_the_card_shows_the_scores_and_the_command(validated, tiny_bundle):
    _, summary, _ = validated
    metrics = json.loads((tiny_bundle / "metrics.json").read_text())
    text = card.model_card(read_info(tiny_bundle), metrics, summary)
    assert ", 3-fold cross-validation, 18 images |" in text
    shown = text[text.index("## Cross-validation") :].split("\n## ")[0]
    assert "| Recall, lesion images |" in shown
    assert "Milliseconds" not in shown
    assert interval(summary["postprocessed"]["lesion_images"]["dice"]) in text
    assert f"`{summary['command']}` made `cross_validation.json`" in text
    assert summary["command"].endswith("--folds 3")
