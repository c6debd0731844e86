import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import QUICK, TINY
from tests.experiments.test_ray_executor import assert_same_trainings
from unet import cli
from unet.config import RECIPES
from unet.data.loading import load_datasets
from unet.experiments import ablation
from unet.experiments.fit import fit
from unet.experiments.leave_one_domain_out import leave_out
from unet.inference.bundle import read_info
from unet.publishing import card
from unet.training.sampling import make_training_set

pytestmark = pytest.mark.slow

CHANGES = {"the recipe": {}, "no augmentation": {"augmentation": "none"}}


@pytest.fixture(scope="module")
def found(phantoms, tiny_bundle, tmp_path_factory):
    """What `train.py ablate` writes, of a tiny network and two trainings."""
    folder = tmp_path_factory.mktemp("ablation")
    copy = shutil.copytree(tiny_bundle, folder / "tiny")
    content = ablated(copy, phantoms, folder / "run")
    return content, folder / "run"


def ablated(bundle: Path, data: Path, run_dir: Path, *words: str) -> dict:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("TRAININGS", CHANGES), ("SIZE", 32), ("EPOCHS", 1)):
            patch.setattr(ablation, name, value)
        places = ["--weights", str(bundle), "--data", str(data), "--run-dir", str(run_dir)]
        assert cli.main(["ablate", *places, *words]) == 0
    return json.loads((bundle / "ablation.json").read_text())


@pytest.mark.cluster
def test_ray_gives_the_same_rows(found, phantoms, tiny_bundle, tmp_path):
    pytest.importorskip("ray")
    content, run_dir = found
    copy = Path(shutil.copytree(tiny_bundle, tmp_path / "tiny"))
    again = ablated(copy, phantoms, tmp_path / "run", "--ray", "local")
    assert_same_trainings(tmp_path / "run", run_dir)
    assert again["after_the_network"] == content["after_the_network"]
    assert [row["what"] for row in again["training"]] == list(CHANGES)


def test_the_whole_is_scored_as_the_evaluation_scores_it(found, tiny_bundle):
    found, _ = found
    metrics = json.loads((tiny_bundle / "metrics.json").read_text())["splits"]["validation"]
    whole = found["after_the_network"][0]
    for part, name in (("all", "all_images"), ("lesion", "lesion_images")):
        expected = metrics["postprocessed"][name]["dice"]["value"]
        assert whole[f"dice_{part}"]["value"] == pytest.approx(expected, abs=1e-6)


def test_each_averaged_view_is_left_out(phantoms, tmp_path, monkeypatch):
    model = replace(TINY, name="views", flip_averaging=True, smaller_view=0.8)
    places = {"out": tmp_path / "views", "run_dir": tmp_path / "run"}
    fit([str(phantoms)], "unet", model, replace(QUICK, epochs=1), **places)
    averaged = []

    def spy(segmenter, cases):
        averaged.append(len(segmenter.predict_views(np.eye(40, dtype=np.uint8)).probability))
        return predict_cases(segmenter, cases)

    predict_cases = ablation.predict_cases
    monkeypatch.setattr(ablation, "predict_cases", spy)
    rows = ablation.ablate_rules([phantoms], places["out"], read_info(places["out"]))
    names = [row["what"] for row in rows]
    assert names[:3] == ["the shipped network", "one view alone", "no smaller view"]
    assert averaged == [3, 1, 2]


def test_differences_are_to_the_whole(found):
    found, _ = found
    rows = found["after_the_network"]
    for row in rows[1:]:
        difference = row["dice_all"]["value"] - rows[0]["dice_all"]["value"]
        assert row["difference_all"]["value"] == pytest.approx(difference, abs=1e-9)
    first, second = found["training"]
    assert "difference_all" not in first
    assert "difference_all" in second


def test_the_card_shows_every_row(found, tiny_bundle):
    found, _ = found
    metrics = json.loads((tiny_bundle / "metrics.json").read_text())
    text = card.model_card(read_info(tiny_bundle), metrics, ablation=found)
    for row in (*found["after_the_network"], *found["training"]):
        assert f"\n| {row['what']} | " in text


def test_a_training_that_would_be_the_recipes_own_is_not_done():
    recipe = RECIPES["efficientnet-unet"][1]
    every = ablation.recipes_without(recipe, all_lesions=False)
    assert list(every) == list(ablation.TRAININGS)
    assert every["the recipe"] == recipe
    lesions = ablation.recipes_without(recipe, all_lesions=True)
    assert set(every) - set(lesions) == {"no oversampling of normals"}
    without = ablation.recipes_without(replace(recipe, patches=False), all_lesions=False)
    assert set(every) - set(without) == {"no patches"}


def test_parts_are_scored_on_a_set_that_no_training_saw(phantoms, other, tmp_path, monkeypatch):
    data = [str(phantoms), str(other)]
    config = replace(QUICK, presence_head=True, patches=True)
    fit(data, "unet", TINY, config, out=tmp_path / "tiny", run_dir=tmp_path / "fit")
    learnt = []

    def spy(dataset, indices, **options):
        learnt.append({dataset.cases[i].dataset for i in indices})
        return train_on_cases(dataset, indices, **options)

    train_on_cases = ablation.train_on_cases
    monkeypatch.setattr(ablation, "train_on_cases", spy)
    words = ("--data", str(other), "--leave-out-domain", "Elsewhere")
    found = ablated(tmp_path / "tiny", phantoms, tmp_path / "run", *words)
    assert learnt == [{phantoms.name}] * 2
    assert found["left_out"] == "elsewhere"
    for row in found["training"]:
        assert 0 <= row["auc"] <= 1
        assert row["gates"]["missed"] <= 1
    text = card.card_of(tmp_path / "tiny")
    assert "| elsewhere, never seen | Dice, lesion images |" in text
    assert "--leave-out-domain elsewhere` made `ablation.json`" in text

    # The recipe without that set is one training, whichever command asks for it.
    run_dir = tmp_path / "run" / "0"
    before = (run_dir / "history.csv").read_bytes()
    recipe = replace(config, epochs=1, checkpoint="last")
    leave_out(
        data, "unet", TINY, recipe, left_out="elsewhere",
        out=tmp_path / "left out", run_dir=run_dir, resume=True,
    )  # fmt: skip
    assert (run_dir / "history.csv").read_bytes() == before


def test_all_trainings_are_shown_as_many_pictures(phantoms):
    dataset = load_datasets([phantoms], 32)
    indices = list(range(len(dataset.cases)))
    recipe = replace(QUICK, epochs=6, warmup_epochs=2, patches=True)
    recipes = {"the recipe": recipe, "no patches": replace(recipe, patches=False)}
    found = ablation.shown_as_many_pictures(dataset, indices, recipes)
    assert found["the recipe"] == recipe
    assert found["no patches"].epochs > 2 * recipe.epochs
    assert found["no patches"].warmup_epochs > 2 * recipe.warmup_epochs > 0
    shown = {name: len(make_training_set(dataset, indices, r)) for name, r in recipes.items()}
    with_pieces, without = (found[name].epochs * shown[name] for name in recipes)
    assert abs(with_pieces - without) <= shown["no patches"] / 2
