import re
import shutil
from dataclasses import replace

import pytest
from PIL import Image

from tests.experiments.test_ray_executor import assert_same_trainings
from unet import cli
from unet.config import RECIPES
from unet.data.phantom import make_phantom
from unet.experiments import run_store
from unet.experiments.run_store import RunStore
from unet.inference.bundle import read_info
from unet.page import about
from unet.page.about.relatives import relatives_charts
from unet.publishing.comparison import comparison_section, verdict
from unet.results import Results

pytestmark = pytest.mark.slow

WORDS = ["compare", "--input-size", "32", "--epochs", "1", "--seeds", "1"]


@pytest.fixture(scope="module")
def small():
    """All networks of few filters, in place of their own."""
    shape = {"filters": (4, 8), "dropout": (0.1, 0.1), "bottleneck_filters": 16}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("unet", "attention-unet"):
            recipe = RECIPES[name]
            smaller = replace(recipe, model=replace(recipe.model, **shape))
            patch.setitem(RECIPES, name, smaller)
        yield


@pytest.fixture(scope="module")
def other_phantoms(tmp_path_factory):
    """A folder of 18 other cases in a plain layout: another data set."""
    folder = tmp_path_factory.mktemp("data") / "elsewhere"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(18):
        phantom = make_phantom(50 + number, "normal" if number > 14 else "benign", 120, 160)
        Image.fromarray(phantom.image).save(folder / "images" / f"{number}.png")
        Image.fromarray(phantom.mask).save(folder / "masks" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def found(small, tmp_path_factory):
    """What `compare --data phantom` leaves: the folder, and comparison.json's content."""
    folder = tmp_path_factory.mktemp("compare")
    places = ["--out", str(folder / "comparison.json"), "--run-dir", str(folder / "runs")]
    assert cli.main([*WORDS, "--data", "phantom", "--models", "unet", "watershed", *places]) == 0
    return folder, Results.read(folder / "comparison.json")


def test_phantoms_are_compared_whole(found):
    folder, results = found
    assert list(results.paired) == ["unet", "watershed"]
    assert (folder / "comparison.png").stat().st_size > 5_000
    network, watershed = results.paired.values()
    for part in ("validation", "test"):
        assert network[part]["cases"] == watershed[part]["cases"] > 0
        difference = watershed[part]["dice"]["value"] - network[part]["dice"]["value"]
        assert watershed[part]["difference"]["value"] == pytest.approx(difference, abs=1e-9)
        assert "difference" not in network[part]
    assert "external" not in network
    assert results.costs["watershed"]["parameters"] == 0 < results.costs["unet"]["parameters"]
    assert results.costs["unet"]["milliseconds"] > 0


@pytest.mark.cluster
def test_ray_gives_the_same_numbers(found, small, tmp_path):
    pytest.importorskip("ray")
    folder, results = found
    words = [*WORDS, "--data", "phantom", "--models", "unet", "watershed", "--ray", "local"]
    places = ["--out", str(tmp_path / "c.json"), "--run-dir", str(tmp_path / "runs")]
    assert cli.main([*words, *places]) == 0
    assert_same_trainings(tmp_path / "runs", folder / "runs")
    again = Results.read(tmp_path / "c.json").paired["unet"]["test"]["dice"]["value"]
    assert again == pytest.approx(results.paired["unet"]["test"]["dice"]["value"], abs=0.01)


def test_what_is_finished_is_not_done_again_and_what_is_new_is_added(
    found, small, monkeypatch, tmp_path
):
    folder, results = found
    runs = shutil.copytree(folder / "runs", tmp_path / "runs")
    places = ["--out", str(tmp_path / "comparison.json"), "--run-dir", str(runs)]
    words = [*WORDS, "--data", "phantom", *places, "--models"]
    assert cli.main([*words, "unet"]) == 1  # --resume is asked for
    trained = []
    train = run_store.train

    def note_and_train(model, *arguments, **options):
        trained.append(model.name)
        return train(model, *arguments, **options)

    monkeypatch.setattr(run_store, "train", note_and_train)
    assert cli.main([*words, "unet", "--resume"]) == 0
    assert trained == []
    assert cli.main([*words, "attention-unet", "--resume"]) == 0
    assert trained == ["attention-unet"]
    again = Results.read(tmp_path / "comparison.json")
    assert again.paired["unet"] == results.paired["unet"]
    assert "difference" in again.paired["attention-unet"]["test"]


def test_nothing_is_scored_before_every_training_is_done(small, tmp_path, monkeypatch):
    order = []
    calibrated, scores = RunStore.calibrated, RunStore.scores

    def note_training(self, job, *arguments, **options):
        order.append(("trained", job.recipe.train.seed, job.recipe_name))
        return calibrated(self, job, *arguments, **options)

    def note_score(self, job, part, *arguments):
        order.append((part, job.recipe.train.seed, job.recipe_name))
        return scores(self, job, part, *arguments)

    monkeypatch.setattr(RunStore, "calibrated", note_training)
    monkeypatch.setattr(RunStore, "scores", note_score)
    words = [*WORDS[:-1], "2", "--models", "attention-unet", "--data", "phantom"]
    places = ["--out", str(tmp_path / "c.json"), "--run-dir", str(tmp_path / "runs")]
    assert cli.main([*words, *places]) == 0
    names = ("unet", "attention-unet")
    assert order[:4] == [("trained", seed, name) for seed in (0, 1) for name in names]
    assert {part for part, _, _ in order[4:]} == {"validation", "test"}
    assert len(Results.read(tmp_path / "c.json").paired["unet"]["test"]["by_seed"]) == 2


def test_other_data_sets_are_external(small, phantoms, tmp_path, other_phantoms):
    places = ["--out", str(tmp_path / "c.json"), "--run-dir", str(tmp_path / "runs")]
    data = ["--data", str(phantoms), "--data", str(other_phantoms)]
    assert cli.main([*WORDS, *data, *places, "--models", "unet"]) == 0
    results = Results.read(tmp_path / "c.json")
    split = read_info(tmp_path / "runs/unet/holdout/seed-0/calibrated").split
    assert all(case_id.startswith("elsewhere/") for case_id in split["external"])
    learnt = [i for name in ("train", "validation", "test") for i in split[name]]
    assert not [case_id for case_id in learnt if case_id.startswith("elsewhere/")]
    assert results.paired["unet"]["external"]["cases"] == len(split["external"]) > 0
    text = comparison_section(results)
    assert f"train.py compare --data {phantoms.name} --data elsewhere --input-size 32" in text
    assert "| elsewhere, never seen, " in text
    for chart in relatives_charts(results):
        assert [len(series["points"]) for series in chart["series"]] == [1, 1]


def test_a_network_that_is_not_known_is_refused(tmp_path, capsys):
    words = [*WORDS, "--data", "phantom", "--run-dir", str(tmp_path / "r"), "--models", "vnet"]
    assert cli.main(words) == 1
    assert "known are unet, unet-deep" in capsys.readouterr().err


def test_the_section_says_what_the_file_says(found):
    _, results = found
    text = comparison_section(results)
    for name, parts in results.paired.items():
        assert f"\n| {name} | {parts['test']['dice']['value']:.3f} [" in text
    assert re.search(r"\n\| watershed \| – \| – \| [\d.]+ \| no training \|", text)
    assert "with one training each" in text
    assert "spread over trainings" not in text
    told = [line for line in text.splitlines() if line.startswith("* ") and "better than" in line]
    assert len(told) == 1
    others = len(results.paired) - 1  # each stands in one of three lists
    named = len(re.findall(r"\([+-][\d.]+\)", told[0]))
    untold = re.search(r"of the other (\d+) it cannot be told", told[0])
    assert named + (int(untold[1]) if untold else 0) == others
    assert "Thresholds reduce over-segmentation: " in text
    assert "![" not in text
    assert "![Dice against cost](there.png)" in comparison_section(results, "there.png")


def test_the_about_tab_draws_and_tells_what_the_file_says(found):
    _, results = found
    *by_cost, by_network = relatives_charts(results)
    assert by_network["rows"] == list(results.paired)
    for row, parts in enumerate(results.paired.values()):
        value, place, tip, low, high = by_network["series"][0]["points"][row]
        assert (value, place) == (parts["test"]["dice"]["value"], row)
        assert (low, high) == (parts["test"]["dice"]["low"], parts["test"]["dice"]["high"])
        assert f"Dice {value:.3f}" in tip
    for chart, cost in zip(by_cost, ("multiply_adds", "parameters"), strict=True):
        [[x, y, tip]] = chart["series"][0]["points"]  # the watershed has no cost
        assert 10**x == pytest.approx(results.costs["unet"][cost])
        assert chart["x"]["low"] < x < chart["x"]["high"]
        assert y == results.paired["unet"]["test"]["dice"]["value"]
        assert chart["y"]["low"] <= y <= chart["y"]["high"]
        assert chart["x"]["ticks"]


def test_the_about_tab_shows_it_folded_and_without_it_nothing(found, tiny_bundle):
    _, results = found
    shown = about.content(tiny_bundle, comparison=results)
    assert "<summary>The paper&#x27;s relatives, under one protocol</summary>" in shown
    assert shown.count("data-charts=") == 2
    assert "<td>watershed</td>" in shown
    for nothing in (None, replace(results, paired={})):
        assert "relatives" not in about.content(tiny_bundle, comparison=nothing)


def test_a_claim_holds_only_where_the_whole_interval_is_on_its_side():
    assert verdict({"low": 0.01, "high": 0.2}) == "holds"
    assert verdict({"low": -0.2, "high": -0.01}) == "does not hold"
    assert verdict({"low": -0.1, "high": 0.1}) == "cannot be told"
