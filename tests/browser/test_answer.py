"""What the page says of an image: the mask, the numbers, how sure it is."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.steps import VIEWER, canvas, painted_mask, pixels, set_threshold, upload
from tests.conftest import predicted
from unet.config import to_dict
from unet.core.mask import PostProcessing, segment
from unet.core.metrics import Confusion, hausdorff_95
from unet.core.regions import find_regions
from unet.inference.confidence import Confidence


def test_an_uploaded_lesion_comes_back_outlined(page, scan):
    upload(page, scan)
    expect(page.locator("#viewer .answer strong")).to_contain_text(re.compile(r"^\d+ region"))
    truth = pixels(scan.with_name("truth.png")) > 0
    assert Confusion.of(painted_mask(page, truth.shape), truth).dice > 0.6
    colours = canvas(page)[:, :, :3].reshape(-1, 3)
    assert (np.abs(colours.astype(int) - (255, 176, 0)).max(axis=1) < 30).sum() > 200  # outline


def test_thirty_slider_steps_make_no_request_and_paint_what_numpy_does(page, scan, segmenter):
    upload(page, scan)
    page.wait_for_timeout(500)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    for step in range(30):
        threshold = round(0.05 + 0.03 * step, 2)
        set_threshold(page, threshold)
        expected = segmenter.segment(pixels(scan), threshold)
        count = page.evaluate(f"{VIEWER}.viewer.stage.scene.segmented.pixels")
        assert count == expected.sum()
    assert requests == []


@pytest.mark.parametrize(
    "rules",
    [
        {"min_area": 0.0, "min_peak": 0.0, "min_presence": 0.0},
        {"min_area": 0.002, "min_peak": 0.7, "min_presence": 0.4},
        {"min_area": 0.0, "min_peak": 0.0, "min_presence": 0.41},
    ],
)
def test_browser_and_numpy_agree_on_every_pixel_and_every_region(page, rules):
    from scipy import ndimage

    noise = np.random.default_rng(0).normal(size=(131, 217))
    field = ndimage.gaussian_filter(noise, 3)
    probability_u8 = np.round(255 * (field - field.min()) / np.ptp(field)).astype(np.uint8)
    probability_u8[:2, :2] = [[255, 0], [0, 255]]  # joined at a corner
    for threshold in (0.0, 0.3, 0.45, 0.5, 0.62, 0.9, 1.0):
        mask = segment(probability_u8, PostProcessing(threshold, **rules), presence=0.4)
        found = page.evaluate(
            f"""([values, width, height, rules, threshold]) => {{
                const tools = {VIEWER}.viewer, probability_u8 = Uint8Array.from(values);
                const peak = probability_u8.reduce((a, b) => Math.max(a, b), 0);
                const s = tools.segmentMap(
                    probability_u8, width, height, rules, threshold, peak, 0.4);
                return [s.runs.map(r => [r.y, r.x0, r.x1]),
                        tools.measureRegions(s, probability_u8, width, height, [0.1, 0.2])];
            }}""",
            [probability_u8.ravel().tolist(), 217, 131, rules, threshold],
        )
        painted = np.zeros(probability_u8.shape, bool)
        for y, start, end in found[0]:
            painted[y, start:end] = True
        np.testing.assert_array_equal(painted, mask)
        regions = find_regions(mask, probability_u8, (0.1, 0.2))
        assert [r["area_px"] for r in found[1]] == [r.area_px for r in regions]
        for ours, theirs in zip(regions, sorted(found[1], key=lambda r: -r["area_px"])):
            if sum(r.area_px == ours.area_px for r in regions) > 1:
                continue  # equal areas may come in either order
            assert tuple(theirs["box_px"]) == ours.box_px
            for name in ("longest_px", "mean_probability", "peak_probability", "share",
                         "area_mm2", "longest_mm"):  # fmt: skip
                assert theirs[name] == pytest.approx(getattr(ours, name), rel=1e-6), name


@pytest.mark.parametrize("presence", [0.2, 0.9])
@pytest.mark.parametrize("peak", [120, 200])
def test_browser_and_python_give_one_answer(page, peak, presence):
    """Mask, reason and confidence, as `Prediction.answer` gives them."""
    probability_u8 = np.full((60, 90), 40, np.uint8)
    probability_u8[10:14, 20:26] = peak
    for rules in (
        PostProcessing(0.5),
        PostProcessing(0.5, min_peak=0.6),
        PostProcessing(0.5, min_presence=0.3),
        PostProcessing(0.5, min_presence=0.3, unsure_presence=0.25),
        PostProcessing(0.4, min_area=0.01),
    ):
        limits = {"agreement": 0.9, "confidence": Confidence(0.2, 0.5)}
        prediction = predicted(probability_u8, rules, presence=presence, **limits)
        for threshold in (0.0, 0.4, 0.5, 0.501, 0.7, 1.0):
            answer = prediction.segment(threshold)
            found = page.evaluate(
                f"""([values, rules, presence, confidence, threshold]) => {{
                    const probability_u8 = Uint8Array.from(values);
                    const a = {VIEWER}.viewer.answerOf({{
                        probability_u8, width: 90, height: 60, presence, confidence,
                        postprocessing: rules,
                        peak: Math.max(...values) }}, threshold);
                    const look = a.segmented.withheld.reduce((n, r) => n + r.x1 - r.x0, 0);
                    return [a.segmented.pixels, a.reason, a.confidence, a.regions.length, look];
                }}""",
                [probability_u8.ravel().tolist(), to_dict(rules), presence,
                 prediction.segment().confidence, threshold],
            )  # fmt: skip
            expected = [answer.mask.sum(), answer.reason, answer.confidence, len(answer.regions),
                        answer.withheld_mask.sum()]  # fmt: skip
            assert found == expected, (rules, threshold)


def test_a_region_at_the_limit_of_size_is_kept_on_both_sides(page):
    probability_u8 = np.zeros((450, 280), np.uint8)
    probability_u8[20:27, 30:39] = 255  # 63 pixels; 0.0005 of 280 × 450 is 63
    rules = {"threshold": 0.5, "min_area": 0.0005, "min_peak": 0.0}
    pixels_kept = page.evaluate(
        f"""([values, rules]) => {VIEWER}.viewer.segmentMap(
            Uint8Array.from(values), 280, 450, rules, 0.5, 255).pixels""",
        [probability_u8.ravel().tolist(), rules],
    )
    assert pixels_kept == segment(probability_u8, PostProcessing(**rules)).sum() == 63


def test_the_uncertainty_map_is_the_networks(page, scan, segmenter):
    upload(page, scan)
    page.locator("#viewer [data-mode=uncertainty]").click()
    expect(page.locator("#viewer .legend.uncertainty")).to_be_visible()
    shown = page.evaluate(f"Array.from({VIEWER}.viewer.stage.scene.disagreement_u8)")
    expected = segmenter.analyze(pixels(scan)).disagreement_u8
    np.testing.assert_array_equal(np.reshape(shown, expected.shape), expected)
    assert np.ptp(expected) > 50  # along the outline


def give_scene(page: Page, **changes) -> None:
    """Show the scene that is shown with something else said of it."""
    loaded = page.evaluate(f"{VIEWER}.dataset.loaded")
    page.evaluate(
        """changes => {
            const host = document.querySelector("#viewer .viewer");
            return host.viewer.show({ ...host.viewer.value(), ...changes });
        }""",
        {"id": f"{loaded}-changed", **changes},
    )


def test_low_confidence_absence_and_an_unfamiliar_picture_are_said(page, scan):
    upload(page, scan)
    answer = page.locator("#viewer .answer")
    give_scene(page, confidence="low", warning=None)
    expect(page.locator("#viewer .warning")).to_be_hidden()
    expect(answer).to_contain_text("low confidence")
    expect(answer).to_contain_text("look at the uncertainty map")
    give_scene(page, confidence="low", warning="Not like a breast ultrasound.")
    expect(page.locator("#viewer .warning")).to_have_text("Not like a breast ultrasound.")
    rules = {"threshold": 0.5, "min_area": 0.0, "min_peak": 0.0, "min_presence": 0.3}
    rules["unsure_presence"] = 0.2
    give_scene(page, confidence="high", warning=None, presence=0.12, postprocessing=rules)
    expect(answer.locator("strong")).to_have_text("No lesion found.")
    expect(answer).to_contain_text("This does not rule a lesion out.")
    expect(answer).to_contain_text("there is a lesion at all, 0.120, stays under 0.3, below which")
    expect(page.locator("#viewer .confidence")).to_be_hidden()  # at another threshold than its own
    set_threshold(page, 0.5)
    expect(answer).to_contain_text("high confidence")
    expect(page.locator("#viewer .warning")).to_be_hidden()


def test_confidence_is_said_of_the_networks_own_answer_only(page, scan):
    upload(page, scan)
    rules = {"threshold": 1.0, "min_area": 0.5, "min_peak": 0.0, "min_presence": 0.0}
    give_scene(page, confidence="high", warning=None, presence=1.0, postprocessing=rules)
    set_threshold(page, 1)
    expect(page.locator("#viewer .answer strong")).to_have_text("No lesion found.")
    expect(page.locator("#viewer .confidence")).to_have_text("high confidence")
    set_threshold(page, 0)  # all of the image: not what the network is sure of
    expect(page.locator("#viewer .answer strong")).to_contain_text("1 region")
    expect(page.locator("#viewer .confidence")).to_be_hidden()


def test_a_phantom_of_the_page_is_not_warned_of_whichever_network_is_chosen(page):
    page.locator("#examples button").first.click()
    expect(page.locator("#viewer .answer strong")).to_contain_text("region")
    expect(page.locator("#viewer .warning")).to_be_hidden()
    for name in ("unet", "efficientnet-unet"):
        loaded = page.evaluate(f"{VIEWER}.dataset.loaded")
        page.locator("#network input").click()
        page.locator(f"[role=option][aria-label^='{name}:']").click()
        page.wait_for_function(f"{VIEWER}.dataset.loaded !== '{loaded}'")
        expect(page.locator("#viewer .warning")).to_be_hidden()


def test_a_photograph_is_warned_of_and_still_answered(page, tmp_path):
    rows, columns = np.mgrid[:300, :400]
    stripes = (127 + 127 * np.sin(rows / 3) * np.cos(columns / 40)).astype(np.uint8)
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    upload(page, tmp_path / "stripes.png")
    expect(page.locator("#viewer .warning")).to_contain_text("does not look like the breast")
    expect(page.locator("#viewer .confidence")).to_have_text("low confidence")
    expect(page.locator("#viewer .answer strong")).not_to_be_empty()


def test_the_mask_mode_is_the_mask(page, scan, segmenter):
    upload(page, scan)
    page.locator("#viewer .stage").focus()
    page.keyboard.press("5")
    page.wait_for_timeout(200)
    shown = page.evaluate(f"""(() => {{
        const layer = {VIEWER}.viewer.stage.painted.layer;
        const data = layer.getContext('2d').getImageData(0, 0, layer.width, layer.height).data;
        return Array.from(data).filter((_, i) => i % 4 === 0);
    }})()""")
    mask = segmenter.segment(pixels(scan))
    np.testing.assert_array_equal(np.reshape(shown, mask.shape), mask * 255)


def test_a_ground_truth_is_scored_as_the_evaluation_scores_it(page, scan, segmenter):
    upload(page, scan)
    page.locator("#truth input[type=file]").set_input_files(scan.with_name("truth.png"))
    page.wait_for_function(f"{VIEWER}.viewer.stage.scene.truth")
    agreement = page.locator("#viewer [data-mode=agreement]")
    expect(agreement).to_have_attribute("aria-checked", "true")
    truth = pixels(scan.with_name("truth.png")) > 0
    for threshold in (0.2, 0.5, 0.7):
        set_threshold(page, threshold)
        page.wait_for_function(f"Number.isFinite({VIEWER}.viewer.stage.scene.hausdorff)")
        mask = segmenter.segment(pixels(scan), threshold)
        counts = Confusion.of(mask, truth)
        shown = page.evaluate(f"{VIEWER}.viewer.stage.scene.agreement")
        for name in ("dice", "iou", "precision", "recall"):
            assert shown[name] == pytest.approx(getattr(counts, name), abs=1e-9)
        distance = page.evaluate(f"{VIEWER}.viewer.stage.scene.hausdorff")
        assert distance == pytest.approx(hausdorff_95(mask, truth), abs=1e-6)
    page.wait_for_function(f"{VIEWER}.viewer.stage.scene.curve")
    curve = page.evaluate(f"{VIEWER}.viewer.stage.scene.curve")
    assert len(curve) == 101
    mask = segmenter.segment(pixels(scan), 0.5)
    assert curve[50] == pytest.approx(Confusion.of(mask, truth).dice)


def test_what_a_gate_keeps_back_is_outlined_dashed_and_not_filled(page, scan):
    upload(page, scan)

    def amber() -> int:
        colours = canvas(page)[:, :, :3].reshape(-1, 3).astype(int)
        return int((np.abs(colours - (255, 176, 0)).sum(axis=1) < 40).sum())

    page.locator("#viewer [data-mode=contour]").click()
    solid = amber()
    rules = {"threshold": 0.5, "min_area": 0.0, "min_peak": 0.0, "min_presence": 0.5}
    unsure = {"presence": 0.3, "confidence": "low", "warning": None, "series": "gated"}
    give_scene(page, **unsure, postprocessing=rules | {"unsure_presence": 0.2})
    expect(page.locator("#viewer .answer strong")).to_have_text(
        "Unsure: look at the dashed outline."
    )
    page.locator("#viewer [data-mode=contour]").click()
    assert 0.25 * solid < amber() < 0.75 * solid
    give_scene(page, **unsure, postprocessing=rules | {"unsure_presence": 0.4})
    expect(page.locator("#viewer .answer strong")).to_have_text("No lesion found.")
    assert amber() == 0
