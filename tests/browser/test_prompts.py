"""Pointing at a lesion in a real browser: by mouse, keys and touch, with a server and without."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.site import needs_npm
from tests.browser.steps import VIEWER, painted_mask, pixels, set_threshold, upload
from tests.browser.test_clip import CLIP, all_there, areas, at
from tests.browser.test_clip import clip as clip  # a fixture
from tests.browser.test_edit import drag, on_screen
from tests.browser.test_files import download
from tests.browser.test_site import give
from unet import Segmenter
from unet.config import to_dict
from unet.core.prompts import Prompts, parse_prompts
from unet.data.phantom import make_phantom

SHAPE = (400, 500)  # of the scan
POINTING = f"{VIEWER}.viewer.pointing"
PROMPTS = f"{POINTING}.here().toJSON()"


@pytest.fixture(scope="session")
def interactive_model(networks) -> Segmenter:
    return networks.interactive_model()


@pytest.fixture
def lesion(scan) -> tuple[float, float]:
    """A place well inside the phantom's lesion, in pixels."""
    rows, columns = np.nonzero(pixels(scan.with_name("truth.png")))
    return float(columns.mean()), float(rows.mean())


def start(page: Page) -> None:
    page.locator("#viewer [data-tool=point]").click()
    page.locator("#viewer .stage").scroll_into_view_if_needed()


def answered(page: Page) -> None:
    """Wait until the last prompt is answered and shown."""
    page.wait_for_function(
        f"{POINTING}.waiting.size === 0 && {VIEWER}.viewer.stage.scene.said"
        f" && {VIEWER}.viewer.stage.scene.said.request === {POINTING}.request"
    )


def click(page: Page, place: tuple[float, float], **options) -> None:
    page.mouse.click(*on_screen(page, *place), **options)


def prompts_on(page: Page) -> Prompts:
    said = page.evaluate(PROMPTS)
    strokes = (
        tuple(tuple(map(tuple, stroke)) for stroke in said[k]) for k in ("positive", "negative")
    )
    return Prompts(*strokes, tuple(map(tuple, said["boxes"])))


def held_equal(page: Page, scan, interactive_model: Segmenter) -> np.ndarray:
    """The mask that is shown; it is what Python says to the same prompts."""
    mask = painted_mask(page, SHAPE)
    expected = interactive_model.analyze(pixels(scan), prompts_on(page)).segment()
    np.testing.assert_array_equal(mask, expected.mask)
    return mask


def test_a_click_is_answered_and_each_step_taken_back(page, scan, interactive_model, lesion):
    upload(page, scan)
    alone = painted_mask(page, SHAPE)
    start(page)
    click(page, lesion)
    answered(page)
    x, y = page.evaluate(PROMPTS)["positive"][0][0]
    assert np.hypot(x - lesion[0], y - lesion[1]) < 1
    once = held_equal(page, scan, interactive_model)
    assert once[int(y), int(x)]
    expect(page.locator("#viewer .answer span")).to_contain_text(
        "Guided by what you point at: it outlines"
    )
    here = (
        interactive_model.analyze(pixels(scan), prompts_on(page)).probability_u8[int(y), int(x)]
        / 255
    )
    read = page.locator("#viewer .readout")
    expect(read).to_have_text(f"x {int(x)} y {int(y)} probability {here:.2f}")

    page.keyboard.down("Alt")
    click(page, (30, 30))
    page.keyboard.up("Alt")
    answered(page)
    assert len(page.evaluate(PROMPTS)["negative"]) == 1
    twice = held_equal(page, scan, interactive_model)

    page.keyboard.press("Control+z")
    answered(page)
    np.testing.assert_array_equal(painted_mask(page, SHAPE), once)
    page.keyboard.press("Control+Shift+z")
    answered(page)
    np.testing.assert_array_equal(painted_mask(page, SHAPE), twice)
    page.locator("#viewer [data-point=clear]").click()
    page.wait_for_function(f"!{VIEWER}.viewer.stage.scene.said")
    np.testing.assert_array_equal(painted_mask(page, SHAPE), alone)
    page.locator("#viewer [data-point=undo]").click()
    answered(page)
    np.testing.assert_array_equal(painted_mask(page, SHAPE), twice)


def test_a_stroke_and_a_box_are_prompts_that_can_be_moved_and_deleted(
    page, scan, interactive_model, lesion
):
    upload(page, scan)
    start(page)
    x, y = lesion
    drag(page, (x - 15, y), (x, y + 4), (x + 15, y))
    answered(page)
    assert len(page.evaluate(PROMPTS)["positive"][0]) > 4
    held_equal(page, scan, interactive_model)

    page.locator("#viewer [data-prompt=box]").click()
    drag(page, (x - 60, y - 60), (x + 60, y + 60))
    answered(page)
    [box] = page.evaluate(PROMPTS)["boxes"]
    np.testing.assert_allclose(box, [x - 60, y - 60, x + 60, y + 60], atol=1.5)
    held_equal(page, scan, interactive_model)
    click(page, (x + 100, y + 100))  # no box
    assert len(page.evaluate(PROMPTS)["boxes"]) == 1

    drag(page, (x - 60, y - 60), (x - 50, y - 70))
    answered(page)
    [moved] = page.evaluate(PROMPTS)["boxes"]
    np.testing.assert_allclose(moved, np.add(box, [10, -10, 10, -10]), atol=1.5)
    held_equal(page, scan, interactive_model)
    click(page, (moved[0], moved[1]))
    page.keyboard.press("Delete")
    answered(page)
    assert page.evaluate(PROMPTS)["boxes"] == []
    assert len(page.evaluate(PROMPTS)["positive"]) == 1


def test_keys_and_fingers_point_too(open_page, scan, interactive_model, lesion):
    page = open_page(390, 844, has_touch=True)
    upload(page, scan)
    start(page)
    page.touchscreen.tap(*on_screen(page, *lesion))
    answered(page)
    held_equal(page, scan, interactive_model)
    page.locator("#viewer .stage").focus()
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press(" ")
    answered(page)
    _, second = page.evaluate(PROMPTS)["positive"]
    height, width = SHAPE  # a finger that is lifted is nowhere: keys begin in the middle
    np.testing.assert_allclose(second[0], [width / 2 + 30, height / 2], atol=0.01)


def test_what_is_pointed_at_goes_home_and_comes_back(
    open_page, scan, interactive_model, lesion, tmp_path
):
    page = open_page()
    upload(page, scan)
    start(page)
    click(page, lesion)
    answered(page)
    mask = painted_mask(page, SHAPE)
    found = json.loads(download(page, "json"))
    prompts = page.evaluate(PROMPTS)
    assert found["prompts"] == prompts
    assert found["network"]["sha256"] == interactive_model.network.sha256
    session = tmp_path / "session.json"
    session.write_bytes(download(page, "session"))
    # A mask is corrected on top of it; until that is taken back, nobody points.
    page.locator("#viewer [data-tool=edit]").click()
    drag(page, (40, 40), (60, 40))
    page.locator("#viewer [data-tool=point]").click()
    click(page, (200, 200))
    expect(page.locator("#viewer .pointing small")).to_contain_text("edited by hand")
    assert page.evaluate(PROMPTS) == prompts
    edited = tmp_path / "edited.json"
    edited.write_bytes(download(page, "session"))
    corrected = painted_mask(page, SHAPE)
    assert (corrected != mask).any()

    for path, expected in ((session, mask), (edited, corrected)):
        page = open_page()
        upload(page, scan)
        drop(page, path.name, path.read_text())
        expect(page.locator("#viewer .notice")).to_have_text("The session is open again.")
        answered(page)
        assert page.evaluate(PROMPTS) == prompts
        np.testing.assert_array_equal(painted_mask(page, SHAPE), expected)


def test_a_lesion_pointed_at_in_one_frame_is_carried_to_the_others(page, clip):
    upload(page, clip)
    all_there(page)
    alone = areas(page)
    page.evaluate(f"{CLIP}.visit(5)")
    at(page, 6)
    start(page)
    rows = page.evaluate(f"{VIEWER}.viewer.stage.scene.segmented.runs.map(r => [r.y, r.x0, r.x1])")
    y, left, right = rows[len(rows) // 2]
    click(page, ((left + right) / 2, y + 0.5))
    answered(page)
    page.locator("#viewer [data-point=carry]").click()
    notice = page.locator("#viewer .notice")
    expect(notice).to_contain_text("Carried to 11 other frames.", timeout=30_000)
    carried = areas(page)
    assert sum(a != b for a, b in zip(alone, carried, strict=True)) > 8
    page.evaluate(f"{CLIP}.visit(7)")
    at(page, 8)
    assert len(page.evaluate(PROMPTS)["positive"]) == 1
    assert page.evaluate(f"{VIEWER}.viewer.stage.scene.segmented.pixels") == carried[7]
    page.locator("#viewer [data-point=back]").click()
    page.wait_for_function(f"!{VIEWER}.viewer.stage.scene.said")
    page.wait_for_function(f"{CLIP}.areas().every((p, i) => i === 5 || p.area === {alone}[i])")


@needs_npm
def test_the_page_without_a_server_answers_as_python_does(
    open_site, scan, interactive_model, lesion
):
    site = open_site()
    give(site, scan)
    start(site)
    click(site, lesion)
    answered(site)
    x, y = lesion
    site.locator("#viewer [data-prompt=negative]").click()
    drag(site, (x + 90, y), (x + 120, y + 10))
    answered(site)
    site.locator("#viewer [data-prompt=box]").click()
    drag(site, (x + 70, y + 50), (x - 70, y - 50))  # from whichever corner
    answered(site)
    said = site.evaluate(PROMPTS)
    here = np.array(
        site.evaluate(f"Array.from({VIEWER}.viewer.stage.scene.probability_u8)")
    ).reshape(SHAPE)
    python = interactive_model.analyze(pixels(scan), parse_prompts(said, *SHAPE)).probability_u8
    assert np.abs(here - python.astype(int)).max() <= 1
    found = json.loads(download(site, "json"))
    assert found["network"]["name"] == interactive_model.name
    [[right, bottom, left, top]] = said["boxes"]
    assert found["prompts"] == said | {"boxes": [[left, top, right, bottom]]}
    site.keyboard.press("Control+z")
    answered(site)
    drag(site, (x, y), (x + 1.5, y + 1))  # less than a pixel of the network's
    answered(site)
    here = np.array(
        site.evaluate(f"Array.from({VIEWER}.viewer.stage.scene.probability_u8)")
    ).reshape(SHAPE)
    python = interactive_model.analyze(
        pixels(scan), parse_prompts(site.evaluate(PROMPTS), *SHAPE)
    ).probability_u8
    assert np.abs(here - python.astype(int)).max() <= 1


@needs_npm
def test_prompts_that_only_exclude_keep_the_gate_on_both_pages(
    open_site, tmp_path, interactive_model, segmenter
):
    """They do not say that there is a lesion: the lesion classifier and the rules still decide."""
    image = make_phantom(4, "normal", *SHAPE).image
    Image.fromarray(image).save(tmp_path / "normal.png")
    site = open_site()
    give(site, tmp_path / "normal.png")
    start(site)
    site.locator("#viewer [data-prompt=negative]").click()
    click(site, (40, 350))
    answered(site)
    expected = interactive_model.analyze(image, parse_prompts(site.evaluate(PROMPTS), *SHAPE))
    expected = replace(expected, familiar=segmenter.analyze(image).familiar)  # as on the server
    said = site.evaluate(
        f"(({{ postprocessing, presence, confidence }}) =>"
        f" ({{ postprocessing, presence, confidence }}))({VIEWER}.viewer.stage.scene.said)"
    )
    assert said["postprocessing"] == to_dict(expected.postprocessing)
    assert said["postprocessing"]["min_presence"] > 0
    assert said["presence"] == pytest.approx(expected.presence, abs=1e-4)
    assert said["confidence"] == expected.segment().confidence
    np.testing.assert_array_equal(painted_mask(site, SHAPE), expected.segment().mask)


def drop(page: Page, name: str, text: str) -> None:
    page.evaluate(
        """([name, text]) => { const files = new DataTransfer();
        files.items.add(new File([text], name, { type: "application/json" }));
        document.querySelector("#viewer .stage").dispatchEvent(
          new DragEvent("drop", { dataTransfer: files, bubbles: true })); }""",
        [name, text],
    )


def test_a_session_replaces_what_is_pointed_at_and_may_hold_a_long_stroke(page, scan, lesion):
    upload(page, scan)
    session = json.loads(download(page, "session"))
    assert session["prompts"] is None
    start(page)
    click(page, lesion)
    answered(page)
    x, y = lesion
    stroke = [[x + n / 10, y] for n in range(150)]
    long = session | {"prompts": {"positive": [stroke], "negative": [], "boxes": []}}
    notice = page.locator("#viewer .notice")
    for saved, inside in ((long, [stroke]), (session, [])):
        drop(page, "session.json", json.dumps(saved))
        expect(notice).to_contain_text("The session is open again.")
        assert page.evaluate(PROMPTS)["positive"] == inside
        assert page.evaluate(f"Boolean({VIEWER}.viewer.stage.scene.said)") == bool(inside)
        page.evaluate("document.querySelector('#viewer .notice').textContent = ''")


def test_prompts_that_cannot_be_meant_are_a_sentence_and_lose_nothing(page, scan, lesion):
    upload(page, scan)
    start(page)
    click(page, lesion)
    answered(page)
    mask = painted_mask(page, SHAPE)
    page.evaluate(f"{POINTING}.here().make([{{ kind: 'positive', points: [['a', 1]] }}])")
    page.evaluate(f"{POINTING}.follow()")
    expect(page.locator("#viewer .notice")).to_contain_text("expected")
    np.testing.assert_array_equal(painted_mask(page, SHAPE), mask)
    page.keyboard.press("Control+z")
    answered(page)
    np.testing.assert_array_equal(painted_mask(page, SHAPE), mask)


def test_a_threshold_that_nobody_moved_is_the_answering_networks_own(page, scan, lesion, networks):
    upload(page, scan)
    shown = page.locator("#viewer input[name=threshold]")
    own, interactive = (
        networks.get(networks.default).threshold,
        networks.interactive_model().threshold,
    )
    assert own != interactive
    assert float(shown.input_value()) == own
    start(page)
    click(page, lesion)
    answered(page)
    assert float(shown.input_value()) == interactive
    page.locator("#viewer [data-point=clear]").click()
    page.wait_for_function(f"!{VIEWER}.viewer.stage.scene.said")
    assert float(shown.input_value()) == own
    set_threshold(page, 0.6)
    page.locator("#viewer [data-point=undo]").click()
    answered(page)
    assert float(shown.input_value()) == 0.6
