"""A second answer beside the first, another network's or threshold's, in a real browser."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

import app
from tests.browser.conftest import windows
from tests.browser.site import needs_npm, served
from tests.browser.steps import VIEWER, canvas, painted_mask, pixels, set_threshold, upload
from tests.browser.test_edit import drag, edited, start
from tests.browser.test_site import give, ready
from unet.core.metrics import Confusion
from unet.data.phantom import make_phantom
from unet.inference.bundle import BundleError, list_bundles
from unet.page.analysis import example_images
from unet.page.site import build_site
from unet.publishing.report import sort_by_validation

SECOND = f"{VIEWER}.viewer.two.second"
SHAPE = (400, 500)  # of the scan


@pytest.fixture(scope="session")
def other(networks):
    """The network that the page does not start with."""
    return networks.get(next(name for name in networks.sources if name != networks.default))


def compare_with(page: Page, label: str) -> None:
    page.locator("#viewer [name=second]").select_option(label=label)
    page.wait_for_function(SECOND)


def second_mask(page: Page, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for y, first, end in page.evaluate(f"{SECOND}.segmented.runs.map(r => [r.y, r.x0, r.x1])"):
        mask[y, first:end] = True
    return mask


def told_dice(page: Page) -> float:
    page.wait_for_timeout(60)
    text = page.locator("#viewer .pair p").text_content()
    return float(re.search(r"Dice of A and B: (\d\.\d{3})", text)[1])


def share(page: Page) -> float:
    return page.evaluate(f"{VIEWER}.viewer.two.divider.share")


def look(page: Page, way: str) -> np.ndarray:
    page.locator(f"#viewer [data-way={way}]").click()
    page.locator("#viewer .stage").scroll_into_view_if_needed()
    return canvas(page)


def test_the_second_network_says_what_python_says_of_it(page, scan, segmenter, other):
    select = page.locator("#viewer [name=second]")
    expect(select).to_be_hidden()
    upload(page, scan)
    assert select.locator("option").all_text_contents() == [
        "nothing", "another threshold", other.name,
    ]  # fmt: skip
    expect(page.locator("#viewer .pair")).to_be_hidden()
    compare_with(page, other.name)
    image = pixels(scan)
    for first, second in ((segmenter.threshold, other.threshold), (0.2, 0.9), (0.8, 0.1)):
        set_threshold(page, first)
        page.locator("#viewer input[name=threshold-b]").fill(str(second))
        said = told_dice(page)
        a, b = segmenter.segment(image, first), other.segment(image, second)
        np.testing.assert_array_equal(painted_mask(page, SHAPE), a)
        np.testing.assert_array_equal(second_mask(page), b)
        assert said == pytest.approx(Confusion.of(a, b).dice, abs=6e-4)
    expect(page.locator("#viewer .pair table")).to_be_hidden()


def test_with_a_truth_both_are_scored(page, scan, segmenter, other):
    upload(page, scan)
    compare_with(page, other.name)
    page.locator("#truth input[type=file]").set_input_files(scan.with_name("truth.png"))
    page.wait_for_function(f"{VIEWER}.viewer.stage.scene.truth")
    page.wait_for_function(SECOND)
    rows = page.locator("#viewer .pair tbody tr")
    expect(rows).to_have_count(2)
    truth = pixels(scan.with_name("truth.png")) > 0
    for row, letter, by in zip(rows.all(), "AB", (segmenter, other), strict=True):
        counts = Confusion.of(by.segment(pixels(scan)), truth)
        assert row.locator("th, td").all_text_contents() == [
            letter, by.name, f"{by.threshold:.2f}", f"{counts.dice:.3f}", f"{counts.iou:.3f}",
        ]  # fmt: skip


def test_another_threshold_of_the_same_network_asks_nothing(page, scan, segmenter):
    upload(page, scan)
    page.wait_for_timeout(1500)  # until what Gradio does after an upload is over
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    compare_with(page, "another threshold")
    page.locator("#viewer input[name=threshold-b]").fill("0.9")
    page.wait_for_timeout(60)
    np.testing.assert_array_equal(second_mask(page), segmenter.segment(pixels(scan), 0.9))
    for way in ("side", "difference", "swipe"):
        look(page, way)
    page.locator("#viewer [name=second]").select_option(label="nothing")
    expect(page.locator("#viewer .divider")).to_be_hidden()
    assert seen == []


def test_the_divider_follows_mouse_and_keys_and_asks_nothing(page, scan, other):
    upload(page, scan)
    compare_with(page, other.name)
    page.wait_for_timeout(1500)
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    page.locator("#viewer .stage").scroll_into_view_if_needed()
    divider, stage = page.locator("#viewer .divider"), page.locator("#viewer .stage").bounding_box()
    middle = canvas(page)
    box = divider.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 0.3 * stage["width"], y + 20, steps=5)
    page.mouse.up()
    assert share(page) == pytest.approx(0.2, abs=0.01)
    assert (canvas(page) != middle).any()
    expect(divider).to_have_attribute("role", "slider")
    expect(divider).to_have_attribute("aria-valuenow", "20")
    expect(divider).to_be_focused()
    threshold = page.locator("#viewer input[name=threshold]").input_value()
    for key, percent in (
        ("ArrowRight", 21), ("Shift+ArrowRight", 31), ("PageDown", 21), ("Home", 0),
        ("ArrowLeft", 0), ("End", 100), ("ArrowDown", 99),
    ):  # fmt: skip
        page.keyboard.press(key)
        expect(divider).to_have_attribute("aria-valuenow", str(percent))
    assert page.locator("#viewer input[name=threshold]").input_value() == threshold
    page.keyboard.press("5")  # other keys are still the stage's
    expect(page.locator("#viewer [data-mode=mask]")).to_have_attribute("aria-checked", "true")
    assert seen == []


def test_a_finger_moves_the_divider_and_not_the_picture(open_page, scan, other):
    page = open_page(390, 844, has_touch=True)
    upload(page, scan)
    compare_with(page, other.name)
    page.locator("#viewer .stage").scroll_into_view_if_needed()
    box = page.locator("#viewer .divider").bounding_box()
    assert box["width"] >= 44
    where = page.evaluate(f"{VIEWER}.viewer.stage.x")
    cdp = page.context.new_cdp_session(page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for kind, points in (
        ("touchStart", [(x, y)]), ("touchMove", [(x + 60, y)]), ("touchMove", [(x + 120, y)]),
        ("touchEnd", []),
    ):  # fmt: skip
        touches = [{"x": at, "y": down} for at, down in points]
        cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
    width = page.locator("#viewer .stage").bounding_box()["width"]
    assert share(page) == pytest.approx(0.5 + 120 / width, abs=0.01)
    assert page.evaluate(f"{VIEWER}.viewer.stage.x") == where
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_each_half_shows_its_own_mask_at_the_same_place(page, scan, other):
    upload(page, scan)
    compare_with(page, other.name)
    page.locator("#viewer [data-mode=mask]").click()
    look(page, "side")
    stage = page.locator("#viewer .stage").bounding_box()
    page.mouse.move(stage["x"] + 0.7 * stage["width"], stage["y"] + 0.5 * stage["height"])
    expect(page.locator("#viewer .readout")).to_contain_text("  B 0.")
    page.mouse.wheel(0, -200)  # over B's half
    page.mouse.down()
    page.mouse.move(stage["x"] + 0.3 * stage["width"], stage["y"] + 0.4 * stage["height"], steps=3)
    page.mouse.up()  # a drag across the middle does not jump
    page.wait_for_timeout(100)
    masks = painted_mask(page, SHAPE), second_mask(page)
    # The canvas' own pixels: where the middle of a pixel of the picture is painted, in each half.
    found = page.evaluate(f"""(() => {{
        const {{ x, y, scale, canvas, context, paneWidth }} = {VIEWER}.viewer.stage;
        const seen = [];
        for (let v = 0; v < {SHAPE[0]}; v += 7) for (let u = 0; u < {SHAPE[1]}; u += 7) {{
            const left = Math.round(x + (u + 0.5) * scale), top = Math.round(y + (v + 0.5) * scale);
            if (left < 2 || left > paneWidth - 2 || top < 2 || top > canvas.height - 2) continue;
            const at = (dx) => context.getImageData(left + dx, top, 1, 1).data[0];
            seen.push([v, u, at(0), at(paneWidth)]);
        }}
        return seen;
    }})()""")
    assert len(found) > 500
    for number, mask in enumerate(masks):
        painted = np.array([row[2 + number] > 127 for row in found])
        expected = np.array([mask[v, u] for v, u, *_ in found])
        assert (painted != expected).mean() < 0.01  # but at its edge
        assert painted.any()


def test_the_difference_is_coloured_by_who_marks_it(page, scan, other):
    upload(page, scan)
    compare_with(page, other.name)
    page.locator("#viewer input[name=threshold-b]").fill("0.1")
    look(page, "difference")
    expect(page.locator("#viewer .legend.difference")).to_be_visible()
    expect(page.locator("#viewer .divider")).to_be_hidden()
    a, b = painted_mask(page, SHAPE), second_mask(page)
    colours = np.array(
        page.evaluate(f"""Array.from({VIEWER}.viewer.two.second.difference.context
            .getImageData(0, 0, {SHAPE[1]}, {SHAPE[0]}).data)""")
    ).reshape(*SHAPE, 4)
    for where, colour in (
        (a & ~b, (255, 176, 0, 255)), (b & ~a, (86, 180, 233, 255)),
        (a & b, (240, 240, 240, 255)), (~a & ~b, (0, 0, 0, 0)),
    ):  # fmt: skip
        assert (colours[where] == colour).all()
    assert (b & ~a).any()
    page.locator("#viewer [data-mode=heat]").click()  # a map has no difference: both are shown
    expect(page.locator("#viewer [data-way=swipe]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#viewer .legend.difference")).to_be_hidden()


@pytest.mark.parametrize("way", ["swipe", "side"])
def test_edits_are_a_s_alone(page, scan, other, way):
    upload(page, scan)
    compare_with(page, other.name)
    look(page, way)
    first, second = edited(page), second_mask(page)
    start(page)
    drag(page, (30, 350), (90, 350))
    mask = edited(page)
    assert mask[350, 35:85].all()
    assert (mask != first).any()
    np.testing.assert_array_equal(second_mask(page), second)
    assert told_dice(page) == pytest.approx(Confusion.of(mask, second).dice, abs=6e-4)
    expect(page.locator("#viewer .pair p")).to_contain_text("edited by hand")
    page.locator("#viewer input[name=threshold-b]").fill("0.9")  # which is not held
    page.wait_for_timeout(60)
    assert (second_mask(page) != second).any()
    np.testing.assert_array_equal(edited(page), mask)


def test_another_picture_is_asked_about_anew(page, scan, other):
    upload(page, scan)
    compare_with(page, other.name)
    before = page.evaluate(f"{VIEWER}.dataset.loaded")
    page.locator("#examples button").nth(1).click()
    page.wait_for_function(f"{VIEWER}.dataset.loaded !== '{before}'")
    page.wait_for_function(SECOND)
    image = example_images(app.EXAMPLES)[1].picture.pixels
    np.testing.assert_array_equal(second_mask(page, image.shape[:2]), other.segment(image))


def test_choosing_b_as_the_network_ends_the_comparison(page, scan, networks, other):
    upload(page, scan)
    compare_with(page, other.name)
    page.locator("#network input").click()
    page.locator(f"[role=option][aria-label^='{other.name}:']").click()
    page.wait_for_function(f"{VIEWER}.viewer.value().network.name === '{other.name}'")
    expect(page.locator("#viewer .pair")).to_be_hidden()
    select = page.locator("#viewer [name=second]")
    assert select.input_value() == ""
    assert select.locator("option").all_text_contents()[2:] == [networks.default]


def test_a_late_answer_never_replaces_a_newer_one(page, scan, networks, other, monkeypatch):
    import threading

    upload(page, scan)
    go, get = threading.Event(), networks.get

    def slow(name):
        if name == other.name:
            go.wait(20)
        return get(name)

    monkeypatch.setattr(networks, "get", slow)
    page.locator("#viewer [name=second]").select_option(label=other.name)
    expect(page.locator("#viewer .pair p")).to_have_text(f"Asking {other.name} about this picture…")
    expect(page.locator("#viewer input[name=threshold-b]")).to_be_disabled()
    page.wait_for_timeout(500)  # it is on its way
    compare_with(page, "another threshold")
    mask = second_mask(page)
    go.set()
    page.wait_for_timeout(1500)
    np.testing.assert_array_equal(second_mask(page), mask)
    assert page.evaluate(f"{SECOND}.name") == networks.default


def test_what_fails_is_said_in_words(page, scan, networks, other, monkeypatch):
    upload(page, scan)
    get = networks.get

    def broken(name):
        if name == other.name:
            raise BundleError("its weights are not whole")
        return get(name)

    monkeypatch.setattr(networks, "get", broken)
    select, notice = page.locator("#viewer [name=second]"), page.locator("#viewer .notice")
    select.select_option(label=other.name)
    expect(notice).to_have_text(f"{other.name} could not be compared: its weights are not whole.")
    assert select.input_value() == ""
    monkeypatch.undo()
    compare_with(page, other.name)
    expect(notice).to_be_hidden()


def test_swiping_and_both_thresholds_repaint_a_large_image_within_a_frame(page, tmp_path, other):
    path = tmp_path / "large.png"
    Image.fromarray(make_phantom(1, "malignant", 719, 1048).image).save(path)
    upload(page, path)
    compare_with(page, other.name)

    def frames(move) -> np.ndarray:
        page.evaluate(f"{VIEWER}.viewer.stage.frames.length = 0")
        for step in range(40):
            move(step)
            page.wait_for_timeout(20)
        return np.array(page.evaluate(f"{VIEWER}.viewer.stage.frames"))

    slide = f"{VIEWER}.viewer.two.divider.slide"
    second = page.locator("#viewer input[name=threshold-b]")
    for way in ("swipe", "side", "difference"):
        look(page, way)
        taken = {
            "line": frames(lambda step: page.evaluate(f"{slide}({0.1 + step / 50})")),
            "A": frames(lambda step: set_threshold(page, round(0.2 + 0.01 * step, 2))),
            "B": frames(lambda step: second.fill(f"{0.2 + 0.01 * step:.2f}")),
        }
        for name, times in taken.items():
            print(f"{way}, {name}: median {np.median(times):.1f}, "
                  f"95 % {np.percentile(times, 95):.1f} ms of {len(times)}")  # fmt: skip
            assert np.median(times) < 16, (way, name)


@needs_npm
def test_the_page_without_a_server_compares_too(browser, scan, other, tmp_path):
    build_site(sort_by_validation(list_bundles(app.ROOT / "weights")), tmp_path / "site")
    with served(tmp_path / "site") as address, windows(browser, address) as open_it:
        page = open_it()
        ready(page)
        give(page, scan)
        compare_with(page, other.name)
        np.testing.assert_array_equal(second_mask(page), other.segment(pixels(scan)))
        expect(page.locator("#status")).to_contain_text("ready")
        seen: list[str] = []
        page.on("request", lambda request: seen.append(request.url))
        a, b = painted_mask(page, SHAPE), second_mask(page)
        assert told_dice(page) == pytest.approx(Confusion.of(a, b).dice, abs=6e-4)
        page.locator("#viewer .divider").focus()
        page.keyboard.press("Shift+ArrowLeft")
        assert share(page) == pytest.approx(0.4)
        page.locator("#viewer input[name=threshold-b]").fill("0.9")
        page.wait_for_timeout(60)
        np.testing.assert_array_equal(second_mask(page), other.segment(pixels(scan), 0.9))
        assert seen == []
