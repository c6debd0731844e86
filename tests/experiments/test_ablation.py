import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import QUICK, TINY
from tests.experiments.test_ray_executor import assert_same_trainings
from unet import cli
from unet.config import RECIPES, InferenceConfig, Recipe
from unet.experiments import ablation
from unet.experiments.experiment import Experiment
from unet.experiments.fit import fit
from unet.experiments.splitters import holdout
from unet.inference.bundle import read_info
from unet.publishing import card
from unet.results import Results
from unet.training.sampling import make_training_set

pytestmark = pytest.mark.slow

CHANGES = {ablation.WHOLE: {}, "no augmentation": {"augmentation": "none"}}


@pytest.fixture(scope="module")
def found(phantoms, tiny_bundle, tmp_path_factory):
    """What `train.py ablate` writes, of a tiny network and two trainings."""
    folder = tmp_path_factory.mktemp("ablation")
    copy = shutil.copytree(tiny_bundle, folder / "tiny")
    return ablated(copy, phantoms, folder / "run"), folder / "run"


def ablated(bundle: Path, data: Path, run_dir: Path, *words: str) -> Results:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("CHANGES", CHANGES), ("SIZE", 32), ("EPOCHS", 1)):
            patch.setattr(ablation, name, value)
        places = ["--weights", str(bundle), "--data", str(data), "--run-dir", str(run_dir)]
        assert cli.main(["ablate", *places, *words]) == 0
    return Results.read(bundle / "ablation.json")


@pytest.mark.cluster
def test_ray_gives_the_same_rows(found, phantoms, tiny_bundle, tmp_path):
    pytest.importorskip("ray")
    results, run_dir = found
    copy = Path(shutil.copytree(tiny_bundle, tmp_path / "tiny"))
    again = ablated(copy, phantoms, tmp_path / "run", "--ray", "local")
    assert_same_trainings(tmp_path / "run", run_dir)
    assert again.inference == results.inference
    assert list(again.paired) == list(CHANGES)


def test_the_whole_is_scored_as_the_evaluation_scores_it(found, tiny_bundle):
    results, _ = found
    metrics = json.loads((tiny_bundle / "metrics.json").read_text())["splits"]["validation"]
    whole = results.inference["the shipped network"]
    for ours, name in (("dice_all", "all_images"), ("dice", "lesion_images")):
        expected = metrics["postprocessed"][name]["dice"]["value"]
        assert whole[ours]["value"] == pytest.approx(expected, abs=1e-6)


def test_each_averaged_view_is_left_out(phantoms, tmp_path, monkeypatch):
    inference = InferenceConfig(flip=True, scales=(1.0, 0.8))
    recipe = Recipe(replace(TINY, name="views"), replace(QUICK, epochs=1), inference)
    places = {"out": tmp_path / "views", "run_dir": tmp_path / "run"}
    fit([str(phantoms)], "unet", recipe, **places)
    averaged = []

    def spy(segmenter, cases):
        averaged.append(len(segmenter.predict_views(np.eye(40, dtype=np.uint8)).probability))
        return predict_cases(segmenter, cases)

    predict_cases = ablation.predict_cases
    monkeypatch.setattr(ablation, "predict_cases", spy)
    rows = ablation.compare_inference([phantoms], places["out"], read_info(places["out"]))
    assert list(rows)[:3] == ["the shipped network", "one view alone", "no smaller view"]
    assert averaged == [3, 1, 2]


def test_differences_are_to_the_whole(found):
    results, _ = found
    first, *others = results.inference.values()
    for row in others:
        difference = row["dice_all"]["value"] - first["dice_all"]["value"]
        assert row["difference_all"]["value"] == pytest.approx(difference, abs=1e-9)
    first, second = (parts["validation"] for parts in results.paired.values())
    assert "difference_all" not in first
    assert "difference_all" in second


def test_the_card_shows_every_row(found, tiny_bundle):
    results, _ = found
    metrics = json.loads((tiny_bundle / "metrics.json").read_text())
    text = card.model_card(read_info(tiny_bundle), metrics, ablation=results)
    for name in (*results.inference, *results.paired):
        assert f"\n| {name} | " in text


def test_a_training_that_would_be_the_recipes_own_is_not_done():
    recipe = RECIPES["efficientnet-unet"]
    every = ablation.recipes_without(recipe, all_lesions=False)
    assert list(every) == list(ablation.CHANGES)
    assert every[ablation.WHOLE] == recipe
    lesions = ablation.recipes_without(recipe, all_lesions=True)
    assert set(every) - set(lesions) == {"no oversampling of normals"}
    plain = replace(recipe, train=replace(recipe.train, patches=False))
    without = ablation.recipes_without(plain, all_lesions=False)
    assert set(every) - set(without) == {"no patches"}


def test_parts_are_scored_on_a_set_that_no_training_saw(phantoms, other, tmp_path):
    data = [str(phantoms), str(other)]
    config = replace(QUICK, presence_head=True, patches=True)
    fit(data, "unet", Recipe(TINY, config), out=tmp_path / "tiny", run_dir=tmp_path / "fit")
    words = ("--data", str(other), "--leave-out-domain", "Elsewhere")
    results = ablated(tmp_path / "tiny", phantoms, tmp_path / "run", *words)
    assert [run.recipe for run in results.runs] == list(CHANGES)
    for path in (tmp_path / "run").glob("*/*/seed-0/calibrated"):
        split = read_info(path).split
        assert not [i for name in ("train", "validation") for i in split[name] if "elsewhere" in i]
        assert all(case_id.startswith("elsewhere/") for case_id in split["external"])
    for run in results.runs:
        assert run.split == "without elsewhere"
        assert 0 <= run.parts["external"]["auc"]["presence"] <= 1
        assert run.parts["external"]["gates"]["missed"] <= 1
    text = card.card_of(tmp_path / "tiny")
    assert "| trained without elsewhere, scored on it | Dice, lesion images |" in text
    assert "--leave-out-domain elsewhere` made `ablation.json`" in text


def test_all_recipes_train_as_many_steps(phantoms):
    from unet.data.loading import load_datasets
    from unet.experiments.splitters import indices_of

    dataset = load_datasets([phantoms], 32)
    train = replace(QUICK, epochs=6, warmup_epochs=2, patches=True, batch_size=1)
    recipes = {"whole": Recipe(TINY, train), "plain": Recipe(TINY, replace(train, patches=False))}
    experiment = Experiment("x", recipes, holdout(train), equal_steps=True)
    whole, plain = experiment.jobs(dataset)
    assert whole.recipe == recipes["whole"]
    assert plain.recipe.train.epochs > 2 * train.epochs
    assert plain.recipe.train.warmup_epochs > 2 * train.warmup_epochs > 0
    indices = indices_of(dataset, plain.split)["train"]
    shown = [len(make_training_set(dataset, indices, job.recipe.train)) for job in (whole, plain)]
    steps = [n * job.recipe.train.epochs for n, job in zip(shown, (whole, plain), strict=True)]
    assert abs(steps[0] - steps[1]) <= shown[1] / 2
