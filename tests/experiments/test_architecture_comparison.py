import copy
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.experiments.test_ray_executor import assert_same_trainings
from unet import cli
from unet.config import RECIPES
from unet.data.loading import load_datasets
from unet.data.phantom import make_phantom
from unet.experiments import architecture_comparison
from unet.networks import build_network
from unet.page import about
from unet.page.about.relatives import relatives_charts
from unet.publishing.comparison import comparison_section, verdict

pytestmark = pytest.mark.slow

WORDS = ["compare", "--input-size", "32", "--epochs", "1", "--seeds", "1"]


@pytest.fixture(scope="module")
def small():
    """All networks of few filters, in place of their own."""
    shape = {"filters": (4, 8), "dropout": (0.1, 0.1), "bottleneck_filters": 16}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("unet", "attention-unet"):
            model, recipe = RECIPES[name]
            smaller = architecture_comparison.replace(model, **shape)
            patch.setitem(RECIPES, name, (smaller, recipe))
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
    return folder, json.loads((folder / "comparison.json").read_text())


def test_phantoms_are_compared_whole(found):
    folder, content = found
    assert list(content["networks"]) == ["unet", "watershed"]
    assert (folder / "comparison.png").stat().st_size > 5_000
    network, watershed = content["networks"].values()
    for part in ("validation", "test"):
        assert network[part]["cases"] == watershed[part]["cases"] > 0
        difference = watershed[part]["dice"]["value"] - network[part]["dice"]["value"]
        assert watershed[part]["difference"]["value"] == pytest.approx(difference, abs=1e-9)
        assert "difference" not in network[part]
    assert "external" not in network
    assert watershed["parameters"] == 0 < network["parameters"]
    assert network["milliseconds"] > 0


@pytest.mark.cluster
def test_ray_gives_the_same_numbers(found, small, tmp_path):
    pytest.importorskip("ray")
    folder, content = found
    words = [*WORDS, "--data", "phantom", "--models", "unet", "watershed", "--ray", "local"]
    places = ["--out", str(tmp_path / "c.json"), "--run-dir", str(tmp_path / "runs")]
    assert cli.main([*words, *places]) == 0
    assert_same_trainings(tmp_path / "runs", folder / "runs")
    again = json.loads((tmp_path / "c.json").read_text())["networks"]["unet"]["test"]["dice"]
    assert again["value"] == pytest.approx(
        content["networks"]["unet"]["test"]["dice"]["value"], abs=0.01
    )


def test_on_a_cluster_what_others_start_from_is_trained_first(
    small, phantoms, tmp_path, other_phantoms, monkeypatch
):
    waves = []
    monkeypatch.setattr(
        architecture_comparison, "finish", lambda _, runs, them: waves.append(set(them))
    )
    field = architecture_comparison.Field(load_datasets([phantoms, other_phantoms], 32))
    them = architecture_comparison.contenders(32, 1, "float32")
    chosen = {name: them[name] for name in ("unet", "unet-tuned-all", "unet-tuned-decoder")}
    architecture_comparison._train_on_cluster(
        "auto", architecture_comparison.Runs(field, tmp_path), chosen, 1
    )
    assert waves == [
        {"unet, seed 0", "source, seed 0"},
        {"unet-tuned-all, seed 0", "unet-tuned-decoder, seed 0"},
    ]  # fmt: skip


def test_what_is_finished_is_not_done_again_and_what_is_new_is_added(
    found, small, monkeypatch, phantoms, tmp_path
):
    folder, content = found[0], copy.deepcopy(found[1])
    runs = shutil.copytree(folder / "runs", tmp_path / "runs")
    places = ["--out", str(tmp_path / "comparison.json"), "--run-dir", str(runs)]
    words = [*WORDS, "--data", "phantom", *places, "--models"]
    assert cli.main([*words, "unet"]) == 1  # --resume is asked for
    trained = []
    train = architecture_comparison.train

    def note_and_train(model, *arguments, **options):
        trained.append(model.name)
        return train(model, *arguments, **options)

    monkeypatch.setattr(architecture_comparison, "train", note_and_train)
    assert cli.main([*words, "unet", "--resume"]) == 0
    assert trained == []
    assert cli.main([*words, "attention-unet", "--resume"]) == 0
    assert set(trained) == {"attention-unet"}
    again = json.loads((tmp_path / "comparison.json").read_text())
    for one in (again, content):
        assert one["networks"]["unet"].pop("milliseconds") > 0  # which is measured each time
    assert again["networks"]["unet"] == content["networks"]["unet"]
    assert "difference" in again["networks"]["attention-unet"]["test"]


def test_the_test_cases_are_scored_when_every_training_is_done(tmp_path, monkeypatch):
    order = []
    for what in ("validated", "held_out"):

        def spy(self, name, contender, seed, what=what):
            order.append((what, seed, name))

        monkeypatch.setattr(architecture_comparison.Runs, what, spy)
    monkeypatch.setattr(architecture_comparison, "_summaries", lambda *_: {})
    monkeypatch.setattr(architecture_comparison.plots, "side_by_side", lambda *_: None)
    words = ["compare", "--input-size", "32", "--seeds", "2", "--models", "attention-unet"]
    places = ["--out", str(tmp_path / "c.json"), "--run-dir", str(tmp_path / "runs")]
    assert cli.main([*words, "--data", "phantom", *places]) == 0
    names = ("unet", "attention-unet")
    trained = [("validated", seed, name) for seed in (0, 1) for name in names]
    assert order[:4] == trained
    assert sorted(order[4:]) == sorted(("held_out", seed, name) for _, seed, name in trained)


def test_fine_tuning_starts_from_the_other_data_set_and_leaves_layers_as_they_are(
    small, phantoms, tmp_path, other_phantoms
):
    import keras

    places = ["--out", str(tmp_path / "c.json"), "--run-dir", str(tmp_path / "runs")]
    data = ["--data", str(phantoms), "--data", str(other_phantoms)]
    words = [*WORDS, *data, *places, "--models", "unet-tuned-encoder", "--precision"]
    assert cli.main([*words, "mixed_bfloat16"]) == 0
    content = json.loads((tmp_path / "c.json").read_text())
    assert content["networks"]["unet"]["external"]["cases"] > 0
    text = comparison_section(content)
    assert (
        f"train.py compare --data {content['trained_on']} --data elsewhere --input-size 32" in text
    )
    assert "\n| unet-tuned-encoder † | " in text.split("never seen")[1]
    assert "as many steps on elsewhere before, then its encoder alone" in text
    assert "* elsewhere, never seen: better" not in text  # only what never saw it is held to that
    for chart in relatives_charts(content):
        known, unknown = (len(series["points"]) for series in chart["series"])
        assert (known, unknown) == (2, 1)
    field = architecture_comparison.Field(load_datasets([phantoms, other_phantoms], 32))
    tuned = architecture_comparison.contenders(32, 1, "mixed_bfloat16")["unet-tuned-encoder"]
    network = architecture_comparison.Runs(field, tmp_path / "runs").train(
        "unet-tuned-encoder", tuned, 0
    )
    source = build_network(tuned.model)
    source.load_weights(tmp_path / "runs" / "source" / "seed-0" / "network.weights.h5")
    for layer in network.network.layers:
        same = [
            np.array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))
            for a, b in zip(layer.weights, source.get_layer(layer.name).weights)
        ]
        assert all(same) if not layer.name.startswith("encoder") else not same or not all(same)


def test_one_data_set_is_too_few_for_fine_tuning(small, phantoms, tmp_path, capsys):
    words = [*WORDS, "--data", str(phantoms), "--run-dir", str(tmp_path / "r")]
    assert cli.main([*words, "--models", "unet-tuned-all"]) == 1
    assert "Give --data twice" in capsys.readouterr().err


def test_a_network_that_is_not_known_is_refused(tmp_path, capsys):
    words = [*WORDS, "--data", "phantom", "--run-dir", str(tmp_path / "r"), "--models", "vnet"]
    assert cli.main(words) == 1
    assert "known are unet, unet-deep" in capsys.readouterr().err


def test_more_images_an_epoch_are_fewer_epochs(small, phantoms, tmp_path, monkeypatch):
    epochs = {}

    def instead(model, config, *_, **__):
        epochs[model.name] = config.epochs

    monkeypatch.setattr(architecture_comparison, "train", instead)
    monkeypatch.setattr(
        architecture_comparison,
        "RECIPE",
        architecture_comparison.replace(architecture_comparison.RECIPE, batch_size=1),
    )
    field = architecture_comparison.Field(load_datasets([phantoms], 32))
    runs = architecture_comparison.Runs(field, tmp_path)
    them = architecture_comparison.contenders(32, 40, "float32")
    for name in ("unet", "unet-balanced"):
        runs.train(name, them[name], 0)
    lesions = field.dataset.masks[field.parts["train"]].any(axis=(1, 2, 3)).sum()
    normals = len(field.parts["train"]) - lesions
    assert epochs["unet"] == 40
    assert epochs["unet-balanced"] == round(40 * (lesions + normals) / (lesions + 3 * normals))


def test_the_section_says_what_the_file_says(found):
    _, content = found
    text = comparison_section(content)
    for name, network in content["networks"].items():
        assert f"\n| {name} | {network['test']['dice']['value']:.3f} [" in text
    assert re.search(r"\n\| watershed \| – \| – \| [\d.]+ \| no training \|", text)
    assert "with one training each" in text
    assert "spread over trainings" not in text
    told = [line for line in text.splitlines() if line.startswith("* ") and "better than" in line]
    assert len(told) == 1
    others = len(content["networks"]) - 1  # each stands in one of three lists
    named = len(re.findall(r"\([+-][\d.]+\)", told[0]))
    untold = re.search(r"of the other (\d+) it cannot be told", told[0])
    assert named + (int(untold[1]) if untold else 0) == others
    assert "Thresholds reduce over-segmentation: " in text
    assert "![" not in text
    assert "![Dice against cost](there.png)" in comparison_section(content, "there.png")


def test_the_about_tab_draws_and_tells_what_the_file_says(found):
    _, content = found
    *by_cost, by_network = relatives_charts(content)
    assert by_network["rows"] == list(content["networks"])
    for row, network in enumerate(content["networks"].values()):
        value, place, tip, low, high = by_network["series"][0]["points"][row]
        assert (value, place) == (network["test"]["dice"]["value"], row)
        assert (low, high) == (network["test"]["dice"]["low"], network["test"]["dice"]["high"])
        assert f"Dice {value:.3f}" in tip
    network = content["networks"]["unet"]
    for chart, cost in zip(by_cost, ("multiply_adds", "parameters"), strict=True):
        [[x, y, tip]] = chart["series"][0]["points"]  # the watershed has no cost
        assert 10**x == pytest.approx(network[cost])
        assert chart["x"]["low"] < x < chart["x"]["high"]
        assert y == network["test"]["dice"]["value"]
        assert chart["y"]["low"] <= y <= chart["y"]["high"]
        assert chart["x"]["ticks"]


def test_the_about_tab_shows_it_folded_and_without_it_nothing(found, tiny_bundle):
    _, content = found
    shown = about.content(tiny_bundle, comparison=content)
    assert "<summary>The paper&#x27;s relatives, under one protocol</summary>" in shown
    assert shown.count("data-charts=") == 2
    assert "<td>watershed</td>" in shown
    for nothing in (None, {}, {"networks": {"unet": 3}}):
        assert "relatives" not in about.content(tiny_bundle, comparison=nothing)


def test_a_claim_holds_only_where_the_whole_interval_is_on_its_side():
    assert verdict({"low": 0.01, "high": 0.2}) == "holds"
    assert verdict({"low": -0.2, "high": -0.01}) == "does not hold"
    assert verdict({"low": -0.1, "high": 0.1}) == "cannot be told"
