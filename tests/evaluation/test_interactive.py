"""What pointing gives, by simulated people."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.conftest import predicted
from unet.core.mask import PostProcessing
from unet.errors import UserError
from unet.evaluation.interactive import grow_region, interactive_summary
from unet.experiments.interactive import evaluate_interactive
from unet.page import about
from unet.publishing.card import card_of
from unet.publishing.interactive import interactive_section

pytestmark = pytest.mark.slow


class Pointer:
    """Stands in for a guided network: answers with discs about what is clicked."""

    def __init__(self, radius: float):
        self.radius, self.asked = radius, []

    def analyze(self, grey, prompts=None):
        self.asked.append(prompts)
        y, x = np.mgrid[: grey.shape[0], : grey.shape[1]] + 0.5
        probability_u8 = np.zeros(grey.shape, np.uint8)
        for strokes, value in ((prompts.positive, 255), (prompts.negative, 0)) if prompts else ():
            for (px, py), *_ in strokes:
                probability_u8[(x - px) ** 2 + (y - py) ** 2 < self.radius**2] = value
        return predicted(probability_u8)


def test_people_click_and_the_answers_are_scored(phantoms):
    from unet.data.loading import load_datasets

    cases = load_datasets([phantoms], 32).cases
    interactive_model = Pointer(12)
    found = interactive_summary(Pointer(12), interactive_model, cases, clicks=3, people=2)
    [one] = found.values()
    lesions = sum(case.label != "normal" for case in cases)
    assert one["lesions"] == lesions
    assert one["dice"][0]["value"] == 0  # nothing is found alone
    assert one["dice"][1]["value"] > 0.05
    assert one["dice"][3]["value"] > one["dice"][1]["value"]
    assert one["dice"][3]["low"] < one["dice"][3]["value"] < one["dice"][3]["high"]
    assert one["lost"] == lesions
    assert 0 <= one["rescued"] <= 1
    assert np.shape(one["people"]) == (2, 4)
    assert one["people"][0][1] != one["people"][1][1]  # they click elsewhere
    first = [
        prompts
        for prompts in interactive_model.asked
        if len(prompts.positive) + len(prompts.negative) == 1
    ]
    assert len(first) == 2 * lesions + 2 * one["stray"]["images"]
    stray = one["stray"]
    assert 0 < stray["share"] <= stray["largest"] < 0.05
    assert stray["after_not_here"] == 0
    assert interactive_summary(Pointer(12), Pointer(12), cases, 3, 2) == found  # the same people


def test_a_region_grows_about_a_click_down_to_where_the_click_is_in_it():
    probability_u8 = np.full((20, 30), 10, np.uint8)
    probability_u8[4:9, 4:9], probability_u8[12:18, 15:25] = 200, 90
    prediction = predicted(probability_u8, PostProcessing(threshold=0.5))
    assert grow_region(prediction, (6.0, 6.0)).sum() == 25
    assert grow_region(prediction, (20.0, 15.0)).sum() == 60
    assert grow_region(prediction, (1.0, 19.0)).sum() == 600


def test_the_numbers_are_written_beside_the_network(tiny_guide, tiny_bundle, phantoms, tmp_path):
    from unet.inference.bundle import read_info, write_info

    bundle = tmp_path / "guided-unet"
    shutil.copytree(tiny_guide, bundle)
    info = replace(read_info(bundle), training=read_info(tiny_bundle).training)
    info.split["validation"] = read_info(tiny_bundle).split["validation"]
    write_info(bundle, info)
    with pytest.raises(UserError, match="takes no prompts"):
        evaluate_interactive(tiny_bundle, tiny_bundle, [str(phantoms)], "validation", 2, 1)
    with pytest.raises(UserError, match="holds none of the test cases"):
        evaluate_interactive(bundle, tiny_bundle, [str(phantoms)], "test", 2, 1)
    with pytest.raises(UserError, match="has no external split, only"):
        evaluate_interactive(bundle, tiny_bundle, [str(phantoms)], "external", 2, 1)
    info.split["validation"] = read_info(tiny_bundle).split["train"][:2]
    write_info(tmp_path / "guided-unet", info)
    with pytest.raises(UserError, match="has seen 2 of the validation cases"):
        evaluate_interactive(bundle, tiny_bundle, [str(phantoms)], "validation", 2, 1)
    info.split["validation"] = read_info(tiny_bundle).split["validation"]
    write_info(bundle, info)
    metrics = json.loads((tiny_bundle / "metrics.json").read_text())
    (bundle / "metrics.json").write_text(json.dumps(metrics))
    evaluate_interactive(bundle, tiny_bundle, [str(phantoms)], "validation", 2, 1)
    written = json.loads((bundle / "clicks.json").read_text())["validation"]
    [one] = written["datasets"].values()
    assert len(one["dice"]) == 3
    card = card_of(bundle)
    assert "## What pointing gives" in card
    assert "two maps of prompts" in card
    assert "# float32 (B, 32, 32, 3) to (B, 32, 32, 1)" in card
    assert "Prompts(positive=" in card
    assert f"{one['dice'][2]['value']:.3f}" in card
    shown = about.content(tiny_bundle, bundle)
    assert "<summary>What pointing gives</summary>" in shown
    assert f"{one['dice'][2]['value']:.3f}" in shown
    with Image.open(bundle / "plots" / "clicks_validation.png") as picture:
        assert picture.width > 400


def test_what_neither_network_has_seen_is_told_apart_in_another_bundle(
    tiny_guide, tiny_bundle, phantoms, tmp_path
):
    from unet.inference.bundle import read_info, write_info

    bundle, out = tmp_path / "bundle", tmp_path / "guided-unet"
    shutil.copytree(tiny_guide, bundle)
    out.mkdir()
    info = read_info(bundle)
    info = replace(info, training=info.training | {"split_name": "without a scanner"})
    info.split["external"] = read_info(tiny_bundle).split["test"]
    write_info(bundle, info)
    (out / "clicks.json").write_text(json.dumps({"validation": {"people": 7}}))
    with pytest.raises(UserError, match=r"is not the network that .* started from"):
        evaluate_interactive(bundle, tiny_bundle, [str(phantoms)], "external", 1, 1, out)
    info.training["start"] = {"sha256": read_info(tiny_bundle).sha256["model.weights.h5"]}
    write_info(bundle, info)
    evaluate_interactive(bundle, tiny_bundle, [str(phantoms)], "external", 1, 1, out)
    written = json.loads((out / "clicks.json").read_text())
    assert written["validation"] == {"people": 7}
    assert written["without a scanner"]["people"] == 1
    assert (out / "plots" / "clicks_without_a_scanner.png").exists()
    assert not (bundle / "clicks.json").exists()
    new = tmp_path / "new" / "folder"  # made before anything is measured
    evaluate_interactive(bundle, tiny_bundle, [str(phantoms)], "external", 1, 1, new)
    assert (new / "clicks.json").exists()
    del written["validation"]
    text = interactive_section("guided-unet", written, pictures=True)
    assert "1 at each lesion of what was left out, click it" in text
    assert "trained without a scanner, the second starting from the first" in text
    assert (
        "--simulations 1 --split external --weights DIR --baseline DIR --out weights/guided-unet"
        in text
    )
    assert "(plots/clicks_without_a_scanner.png)" in text


def _cases(folder):
    from unet.data.loading import load_datasets

    return load_datasets([folder], 32).cases
