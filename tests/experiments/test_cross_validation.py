import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import QUICK, TINY
from tests.experiments.test_ray_executor import assert_same_trainings
from unet import Segmenter
from unet.config import InferenceConfig, Recipe, to_dict
from unet.data.cases import DatasetError
from unet.data.loading import load_datasets
from unet.experiments.artifacts import carry_over_results
from unet.experiments.cross_validation import cross_validate
from unet.experiments.experiment import RayExecutor
from unet.experiments.fit import fit
from unet.experiments.recipes import same_recipe
from unet.experiments.splitters import k_fold
from unet.inference.bundle import read_info
from unet.publishing import card
from unet.publishing.tables import interval
from unet.results import Results
from unet.training.checkpoint import RunError

pytestmark = pytest.mark.slow

LAST = replace(QUICK, checkpoint="last", epochs=2)
RECIPE = Recipe(TINY, LAST)


@pytest.fixture(scope="module")
def validated(phantoms, tmp_path_factory):
    """The folder, the results, and the rows of a cross-validation."""
    folder = tmp_path_factory.mktemp("folds")
    places = {"out": folder / "out", "run_dir": folder / "run"}
    cross_validate([str(phantoms)], "unet", RECIPE, folds=3, **places)
    with open(folder / "out" / "cross_validation.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return folder, Results.read(folder / "out" / "cross_validation.json"), rows


def test_every_case_is_scored_once_in_its_fold(validated, phantoms):
    _, results, rows = validated
    assert [row["id"] for row in rows] == sorted(c.id for c in load_datasets([phantoms], 32).cases)
    names = {f"fold {number} of 3" for number in (1, 2, 3)}
    assert {row["split"] for row in rows} == {run.split for run in results.runs} == names
    fold_of = {}
    for row in rows:
        assert fold_of.setdefault(row["group"], row["split"]) == row["split"]
    pooled = results.pooled["out_of_fold"]
    assert pooled["cases"] == 18
    mean = np.mean([float(row["dice"]) for row in rows])
    assert pooled["postprocessed"]["all_images"]["dice"]["value"] == pytest.approx(mean, abs=1e-4)


def test_a_network_is_neither_trained_nor_calibrated_on_what_it_is_scored_on(validated, phantoms):
    folder, _, rows = validated
    everything = {case.id for case in load_datasets([phantoms], 32).cases}
    for number in (1, 2, 3):
        info = read_info(folder / "run" / "unet" / f"fold-{number}-of-3" / "seed-0" / "calibrated")
        out = {row["id"] for row in rows if row["split"] == f"fold {number} of 3"}
        train, validation = (set(info.split[name]) for name in ("train", "validation"))
        assert train
        assert validation
        assert not train & validation
        assert train | validation == everything - out


def test_near_duplicates_are_on_one_side_of_a_fold_and_of_its_validation(phantoms):
    dataset = load_datasets([phantoms], 32)
    cases = [replace(case, group=i // 2) for i, case in enumerate(dataset.cases)]
    splits = k_fold(3, LAST)(replace(dataset, cases=cases))
    group = {case.id: case.group for case in cases}
    for split in splits.values():
        parts = [{group[case_id] for case_id in ids} for ids in split.values()]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 9


def test_it_resumes_and_refuses_other_folds(validated, phantoms, tmp_path):
    folder, results, _ = validated
    run = Path(shutil.copytree(folder / "run", tmp_path / "run"))
    shutil.rmtree(run / "unet/fold-2-of-3/seed-0/calibrated")  # trained, not yet calibrated
    (run / "unet/fold-3-of-3/seed-0/scores-out_of_fold.json").unlink()
    places = {"out": tmp_path / "out", "run_dir": run}
    cross_validate([str(phantoms)], "unet", RECIPE, folds=3, resume=True, **places)
    again = Results.read(tmp_path / "out" / "cross_validation.json")
    mine, theirs = (r.pooled["out_of_fold"]["postprocessed"] for r in (again, results))
    assert mine["all_images"]["dice"] == pytest.approx(theirs["all_images"]["dice"], abs=1e-6)
    with pytest.raises(RunError, match="Add --resume"):
        cross_validate([str(phantoms)], "unet", RECIPE, folds=3, **places)
    longer = Recipe(TINY, replace(LAST, epochs=3))
    with pytest.raises(RunError, match=r"train\.epochs: 2 then, 3 now"):
        cross_validate([str(phantoms)], "unet", longer, folds=3, resume=True, **places)


@pytest.mark.cluster
def test_ray_gives_the_same_results(validated, phantoms, tmp_path):
    pytest.importorskip("ray")
    folder, _, rows = validated
    places = {"out": tmp_path / "out", "run_dir": tmp_path / "run"}
    places["executor"] = RayExecutor("local")
    cross_validate([str(phantoms)], "unet", RECIPE, folds=3, **places)
    assert_same_trainings(tmp_path / "run", folder / "run")
    with open(tmp_path / "out" / "cross_validation.csv", newline="") as file:
        again = list(csv.DictReader(file))
    assert [(row["id"], row["split"]) for row in again] == [(r["id"], r["split"]) for r in rows]
    with pytest.raises(RunError, match="Add --resume"):
        cross_validate([str(phantoms)], "unet", RECIPE, folds=3, **places)


def test_results_do_not_go_to_a_bundle_of_another_recipe(tiny_bundle, phantoms, tmp_path):
    with pytest.raises(DatasetError, match="trained with other settings"):
        cross_validate([str(phantoms)], "unet", RECIPE, folds=3, out=tiny_bundle, run_dir=tmp_path)


def test_results_outlive_a_training_anew_of_the_same_recipe_only(validated, tiny_bundle, tmp_path):
    _, results, _ = validated
    old, new, other = tmp_path / "old", tmp_path / "new", tmp_path / "other"
    shutil.copytree(tiny_bundle, old)
    results.write(old / "cross_validation.json")
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
    _, results, _ = validated
    info = read_info(tiny_bundle)
    larger = {"config": to_dict(replace(LAST, epochs=LAST.epochs + 5, warmup_epochs=2))}
    info = replace(
        info, training=info.training | larger, model=replace(info.model, input_size=64, name="new")
    )
    assert same_recipe(results, info)
    assert not same_recipe(replace(results, datasets=["another"]), info)
    assert not same_recipe(results, replace(info, model=replace(info.model, filters=(4, 4))))
    assert not same_recipe(results, replace(info, inference=InferenceConfig(flip=True)))
    other = {"config": to_dict(replace(LAST, loss="cross_entropy_dice"))}
    assert not same_recipe(results, replace(info, training=info.training | other))
    metrics = json.loads((tiny_bundle / "metrics.json").read_text())
    text = card.model_card(info, metrics, results)
    assert f"smaller (at 32×32, {LAST.epochs} epochs)" in text


def test_a_finished_fit_that_is_resumed_keeps_the_ablation(tiny_bundle, phantoms, tmp_path):
    """Keras writes the date of saving into its files: only the weights say which network it is."""
    out = Path(shutil.copytree(tiny_bundle, tmp_path / "tiny"))
    run_dir = shutil.copytree(tiny_bundle.parent / "run", tmp_path / "run")
    metrics = json.loads((out / "metrics.json").read_text())["splits"]
    Results("ablation", "", [], {}, []).write(out / "ablation.json")
    fit([str(phantoms)], "unet", Recipe(TINY, QUICK), out=out, run_dir=run_dir, resume=True)
    assert (out / "ablation.json").exists()
    again = json.loads((out / "metrics.json").read_text())["splits"]
    for name in metrics:
        old, new = (
            m[name]["postprocessed"]["all_images"]["dice"]["value"] for m in (metrics, again)
        )
        assert new == pytest.approx(old, abs=1e-4)


def test_fit_with_flip_averaging_learns_what_agreement_means(phantoms, tmp_path):
    recipe = Recipe(
        replace(TINY, name="flipped"), replace(QUICK, epochs=1), InferenceConfig(flip=True)
    )
    places = {"out": tmp_path / "flipped", "run_dir": tmp_path / "run"}
    fit([str(phantoms)], "unet", recipe, **places)
    segmenter = Segmenter.load(tmp_path / "flipped")
    found = segmenter.analyze(np.full((40, 60), 90, np.uint8))
    assert found.disagreement_u8.shape == (40, 60)
    assert 0 <= found.agreement <= 1
    rows = list(csv.DictReader((tmp_path / "flipped" / "cases.csv").read_text().splitlines()))
    assert all(0 <= float(row["agreement"]) <= 1 for row in rows)


def test_the_card_shows_the_scores_and_the_command(validated, tiny_bundle):
    _, results, _ = validated
    metrics = json.loads((tiny_bundle / "metrics.json").read_text())
    text = card.model_card(read_info(tiny_bundle), metrics, results)
    assert ", 3-fold cross-validation, 18 images |" in text
    shown = text[text.index("## Cross-validation") :].split("\n## ")[0]
    assert "| Recall, lesion images |" in shown
    assert "Milliseconds" not in shown
    pooled = results.pooled["out_of_fold"]["postprocessed"]
    assert interval(pooled["lesion_images"]["dice"]) in text
    assert f"`{results.command}` made `cross_validation.json`" in text
    assert results.command.endswith("--folds 3")
