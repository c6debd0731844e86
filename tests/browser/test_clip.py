"""A clip in a real browser: its frames shown and played, the lesion's area over them."""

from __future__ import annotations

import io
import time
from pathlib import Path

import httpx2
import numpy as np
import pydicom
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

import app
from tests.browser.conftest import windows
from tests.browser.site import needs_npm, served
from tests.browser.steps import VIEWER, painted_mask, set_threshold, upload
from tests.browser.test_edit import drag, start
from tests.browser.test_files import download
from tests.io.test_dicom import region, write
from unet.data.phantom import make_phantom
from unet.page.site import build_site

FRAMES, SHAPE = 12, (240, 320)
MM2 = 0.2 * 0.1  # of a pixel
CLIP = f"{VIEWER}.viewer.clip"


def growing(frames: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """A lesion that moves and grows: a phantom ever nearer, uint8 `(N, H, W)`."""
    height, width = shape
    phantom = Image.fromarray(make_phantom(1, "benign", 2 * height, 2 * width).image)
    pictures = []
    for number in range(frames):
        far = number / (frames - 1)
        left, top, side = 0.3 * width * far, 0.2 * height * far, 1 - 0.35 * far
        box = (left, top, left + 2 * width * side, top + 2 * height * side)
        pictures.append(np.asarray(phantom.resize((width, height), Image.BILINEAR, box)))
    return np.stack(pictures)


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """Twelve frames with 0.2 × 0.1 mm pixels, 50 ms each."""
    spaced = [region(SHAPE[1], 0.01, 0.02, RegionLocationMaxY1=SHAPE[0])]
    path = tmp_path_factory.mktemp("clip") / "clip.dcm"
    write(path, growing(FRAMES), frames=FRAMES, SequenceOfUltrasoundRegions=spaced, FrameTime=50)
    return path


@pytest.fixture(scope="session")
def predictions(clip, segmenter) -> list:
    return [segmenter.analyze(frame) for frame in pydicom.dcmread(clip).pixel_array]


def areas_by(predictions: list, threshold: float | None = None) -> list[int]:
    return [int(prediction.segment(threshold).mask.sum()) for prediction in predictions]


def areas(page: Page) -> list[int]:
    """What the plot is drawn from, in pixels."""
    return page.evaluate(f"{CLIP}.areas().map(point => point && point.area)")


def all_there(page: Page) -> None:
    expect(page.locator("#viewer .progress")).to_be_hidden(timeout=60_000)


def at(page: Page, number: int) -> None:
    page.wait_for_function(f"{CLIP}.at === {number - 1}")


@pytest.fixture
def whole(page, clip) -> Page:
    """The page with the clip, all its frames segmented."""
    upload(page, clip)
    all_there(page)
    return page


def test_every_frame_is_segmented_and_the_plot_follows_the_threshold(page, clip, predictions):
    upload(page, clip)
    expect(page.locator("#viewer .progress")).to_contain_text(f"of {FRAMES} frames segmented")
    all_there(page)
    assert areas(page) == areas_by(predictions)
    assert len(set(areas(page))) > 6
    page.wait_for_timeout(500)
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    for threshold in (0.02, 0.2, 0.8, 1.0):
        set_threshold(page, threshold)
        assert areas(page) == areas_by(predictions, threshold)
    assert seen == []
    expect(page.locator("#viewer .areas figcaption")).to_contain_text("in mm², all regions")


def test_small_regions_and_closed_gates_are_left_out_of_the_areas(page, networks):
    from unet.config import to_dict
    from unet.core.mask import PostProcessing, segment

    random = np.random.default_rng(3)
    noise = Image.fromarray(random.integers(0, 256, (9, 12), np.uint8))
    probability_u8 = np.asarray(noise.resize((97, 61), Image.BICUBIC))
    for rules in (PostProcessing(min_area=0.01), PostProcessing(min_area=0.2), PostProcessing()):
        given = {
            "probability_u8": probability_u8.ravel().tolist(),
            "width": 97,
            "height": 61,
            "postprocessing": to_dict(rules),
        }
        for presence in (None, 0.5):
            found = page.evaluate(
                f"said => Array.from({VIEWER}.viewer.areasByLevel("
                "{ ...said, probability_u8: Uint8Array.from(said.probability_u8) }))",
                given | {"presence": presence},
            )
            assert found == [
                int(segment(probability_u8, rules, v / 255, presence).sum()) for v in range(256)
            ]
    closed = given | {"presence": 0.1, "postprocessing": to_dict(PostProcessing(min_presence=0.2))}
    asked = f"said => Array.from({VIEWER}.viewer.areasByLevel(said))"
    assert set(page.evaluate(asked, closed)) == {0}


def test_a_frame_is_reached_by_button_key_slider_and_plot(whole, predictions):
    page = whole
    page.locator("#viewer [data-clip=on]").click()
    at(page, 2)
    np.testing.assert_array_equal(painted_mask(page, SHAPE), predictions[1].segment().mask)
    page.locator("#viewer .stage").press(".")
    at(page, 3)
    page.keyboard.press(",")
    at(page, 2)
    page.locator("#viewer [data-clip=back]").click()
    at(page, 1)
    expect(page.locator("#viewer [data-clip=back]")).to_be_disabled()
    page.locator("#viewer [name=frame]").fill("12")
    at(page, 12)
    expect(page.locator("#viewer [data-out=frame]")).to_have_text("12 of 12")
    expect(page.locator("#viewer [data-clip=on]")).to_be_disabled()
    plot = page.locator("#viewer .areas svg")
    plot.focus()
    plot.press("Home")
    for _ in range(3):
        plot.press("ArrowRight")
    expect(plot.locator(".label text")).to_have_text(
        f"Frame 4: {areas_by(predictions)[3] * MM2:.1f} mm²"
    )
    plot.press("Enter")
    at(page, 4)
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 14, box["y"] + 60)
    expect(plot.locator(".label text")).to_contain_text("Frame 12:")
    page.mouse.click(box["x"] + 54, box["y"] + 60)
    at(page, 1)


def test_a_frame_is_reached_by_touch(open_page, clip):
    page = open_page(390, 800, has_touch=True, is_mobile=True)
    upload(page, clip)
    all_there(page)
    page.locator("#viewer [data-clip=on]").tap()
    at(page, 2)
    page.locator("#viewer .areas svg").tap()
    page.wait_for_function(f"4 <= {CLIP}.at && {CLIP}.at <= 7")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_playing_goes_round_and_stops(whole):
    page = whole
    page.evaluate(f"window.seen = new Set(); setInterval(() => window.seen.add({CLIP}.at), 5); 0")
    page.locator("#viewer [data-clip=play]").click()
    page.wait_for_function(f"window.seen.size === {FRAMES}")
    page.locator("#viewer .stage").press("k")
    expect(page.locator("#viewer [data-clip=play]")).to_have_text("Play")
    page.wait_for_timeout(200)
    stopped = page.evaluate(f"{CLIP}.at")
    page.wait_for_timeout(400)
    assert page.evaluate(f"{CLIP}.at") == stopped


def test_editing_stops_what_plays(whole):
    page = whole
    page.locator("#viewer [data-clip=play]").click()
    start(page)
    expect(page.locator("#viewer [data-clip=play]")).to_have_text("Play")
    expect(page.locator("#viewer .editing")).to_be_visible()


def test_an_edit_stays_with_its_frame_and_counts_in_the_plot(whole, predictions):
    page = whole
    page.locator("#viewer [name=frame]").fill("3")
    at(page, 3)
    start(page)
    drag(page, (20, 20), (300, 20))
    page.keyboard.press("Escape")
    mask = painted_mask(page, SHAPE)
    own = areas_by(predictions)
    assert mask.sum() > own[2] + 1000
    expected = [*own[:2], int(mask.sum()), *own[3:]]
    assert areas(page) == expected
    page.keyboard.press(".")
    at(page, 4)
    np.testing.assert_array_equal(painted_mask(page, SHAPE), predictions[3].segment().mask)
    assert areas(page) == expected
    set_threshold(page, 0.8)
    changed = areas_by(predictions, 0.8)
    assert areas(page) == [*changed[:2], expected[2], *changed[3:]]
    expect(page.locator("#viewer .areas .edited")).to_have_count(1)
    expect(page.locator("#viewer .areas figcaption")).to_contain_text("edited by hand")
    page.keyboard.press(",")
    at(page, 3)
    np.testing.assert_array_equal(painted_mask(page, SHAPE), mask)
    expect(page.locator("#viewer input[name=threshold]")).to_be_disabled()
    page.keyboard.press(".")
    at(page, 4)
    expect(page.locator("#viewer input[name=threshold]")).to_have_value("0.8")
    taken = Image.open(io.BytesIO(download(page, "mask")))
    np.testing.assert_array_equal(np.asarray(taken) > 0, predictions[3].segment(0.8).mask)


def test_truth_and_network_are_of_the_frame_that_is_shown(whole, tmp_path):
    page = whole
    page.locator("#viewer [name=frame]").fill("5")
    at(page, 5)
    page.wait_for_timeout(1000)
    Image.new("L", SHAPE[::-1], 255).save(tmp_path / "truth.png")
    upload(page, tmp_path / "truth.png", "truth")
    assert page.evaluate(f"{CLIP}.at") == 4
    assert page.evaluate(f"{VIEWER}.viewer.stage.scene.truth.pixels") == SHAPE[0] * SHAPE[1]
    page.locator("#viewer [data-clip=on]").click()
    at(page, 6)
    expect(page.locator("#viewer .truth")).to_be_hidden()
    page.wait_for_timeout(1000)
    page.locator("#network input").click()
    page.locator("[role=option][aria-label^='unet:']").click()
    page.wait_for_function(f"{VIEWER}.viewer.value().network.name === 'unet'")
    at(page, 6)
    all_there(page)
    assert all(frame is not None for frame in areas(page))


def test_another_picture_ends_the_clip_and_its_work(page, clip, scan):
    upload(page, clip)
    expect(page.locator("#viewer .clip")).to_be_visible()
    page.locator("#upload button[aria-label='Clear']").click()
    expect(page.locator("#viewer .clip")).to_be_hidden()
    upload(page, scan)
    page.wait_for_timeout(500)  # a frame that was under way
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    page.wait_for_timeout(1500)
    assert seen == []
    assert page.evaluate(f"{CLIP}.frames") == []
    expect(page.locator("#viewer .areas")).to_be_hidden()


def test_the_second_network_follows_from_frame_to_frame(whole, clip, networks):
    other = networks.get(next(name for name in networks.sources if name != networks.default))
    second, shown = f"{VIEWER}.viewer.two.second", f"{VIEWER}.viewer.stage.scene.value.frame"
    whole.locator("#viewer [name=second]").select_option(label=other.name)
    for number, frame in enumerate(pydicom.dcmread(clip).pixel_array[:3]):
        whole.evaluate(f"{CLIP}.visit({number})")
        whole.wait_for_function(f"{shown} === {number} && {second}")
        expected = int(other.segment(frame).sum())
        assert whole.evaluate(f"{second}.segmented.pixels") == expected


def test_a_picture_of_another_visitor_does_not_wait_for_the_clip(
    open_page, address, scan, tmp_path
):
    path = write(tmp_path / "long.dcm", growing(60), frames=60)
    viewing, other = open_page(), open_page()
    upload(other, scan)
    other.locator("#upload button[aria-label='Clear']").click()
    upload(viewing, path)
    started = time.monotonic()
    upload(other, scan)
    waited = time.monotonic() - started
    done = sum(area is not None for area in areas(viewing))
    print(f"another's picture took {waited:.2f} s beside a clip, of which {done} frames were there")
    assert done < 60
    assert waited < 5
    assert httpx2.get(address).status_code == 200


def test_frames_that_are_far_make_room_and_are_asked_for_again(page, clip, predictions):
    upload(page, clip)
    all_there(page)
    page.evaluate(f"{CLIP}.most = 1; {CLIP}.makeRoom()")
    assert page.evaluate(f"{CLIP}.frames.filter(frame => frame.value).length") == 1
    assert areas(page) == areas_by(predictions)
    page.locator("#viewer [name=frame]").fill("9")
    at(page, 9)
    np.testing.assert_array_equal(painted_mask(page, SHAPE), predictions[8].segment().mask)


@needs_npm
def test_the_page_without_a_server_shows_the_same(browser, clip, predictions, tmp_path):
    build_site([app.ROOT / "weights" / predictions[0].network.name], tmp_path / "site")
    with served(tmp_path / "site") as url, windows(browser, url) as open_it:
        page = open_it()
        expect(page.locator("#status")).to_contain_text("ready", timeout=30_000)
        page.locator("#upload").set_input_files(clip)
        expect(page.locator("#viewer .progress")).to_contain_text("of 12 frames", timeout=30_000)
        all_there(page)
        # Sums in another order: some pixels may lie on the other side of the threshold.
        assert areas(page) == pytest.approx(areas_by(predictions), rel=0.01, abs=3)
        page.locator("#viewer [name=frame]").fill("7")
        at(page, 7)
        painted = painted_mask(page, SHAPE)
        with page.expect_download() as waiting:
            page.locator("#viewer [data-download=mask]").click()
        taken = np.asarray(Image.open(waiting.value.path()))
        np.testing.assert_array_equal(taken > 0, painted)
        page.locator("#viewer [data-clip=play]").click()
        at(page, 11)
        page.locator("#viewer .stage").press("k")
        expect(page.locator("#viewer [data-clip=play]")).to_have_text("Play")
