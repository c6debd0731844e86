"""What people do in the viewer, done in a real browser."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from unet.findings import find_regions
from unet.metrics import Confusion, hausdorff_95
from unet.phantom import make_phantom
from unet.postprocessing import PostProcessing, quantise, segment

VIEWER = "document.querySelector('#viewer .viewer')"
MASK_RUNS = f"{VIEWER}.viewer.stage.scene.segmented.runs.map(r => [r.y, r.x0, r.x1])"


def upload(page: Page, path: Path, place: str = "upload") -> None:
    before = page.evaluate(f"{VIEWER}.dataset.loaded || ''")
    page.locator(f"#{place} input[type=file]").set_input_files(path)
    page.wait_for_function(f"{VIEWER}.dataset.loaded && {VIEWER}.dataset.loaded !== '{before}'")


def set_threshold(page: Page, value: float) -> None:
    page.locator("#viewer input[name=threshold]").fill(str(value))


def painted_mask(page: Page, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for y, start, end in page.evaluate(MASK_RUNS):
        mask[y, start:end] = True
    return mask


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def canvas(page: Page) -> np.ndarray:
    page.wait_for_timeout(100)
    return np.asarray(Image.open(io.BytesIO(page.locator("#viewer .stage").screenshot())))


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
    p8 = np.round(255 * (field - field.min()) / np.ptp(field)).astype(np.uint8)
    p8[:2, :2] = [[255, 0], [0, 255]]  # joined at a corner
    for threshold in (0.0, 0.3, 0.45, 0.5, 0.62, 0.9, 1.0):
        mask = segment(p8, PostProcessing(threshold, **rules), presence=0.4)
        found = page.evaluate(
            f"""([values, width, height, rules, threshold]) => {{
                const tools = {VIEWER}.viewer, p8 = Uint8Array.from(values);
                const peak = p8.reduce((a, b) => Math.max(a, b), 0);
                const s = tools.segmentMap(p8, width, height, rules, threshold, peak, 0.4);
                return [s.runs.map(r => [r.y, r.x0, r.x1]),
                        tools.measureRegions(s, p8, width, height, [0.1, 0.2])];
            }}""",
            [p8.ravel().tolist(), 217, 131, rules, threshold],
        )
        painted = np.zeros(p8.shape, bool)
        for y, start, end in found[0]:
            painted[y, start:end] = True
        np.testing.assert_array_equal(painted, mask)
        regions = find_regions(mask, p8, (0.1, 0.2))
        assert [r["area_px"] for r in found[1]] == [r.area_px for r in regions]
        for ours, theirs in zip(regions, sorted(found[1], key=lambda r: -r["area_px"])):
            if sum(r.area_px == ours.area_px for r in regions) > 1:
                continue  # equal areas may come in either order
            assert tuple(theirs["box_px"]) == ours.box_px
            for name in ("longest_px", "mean_probability", "peak_probability", "share",
                         "area_mm2", "longest_mm"):  # fmt: skip
                assert theirs[name] == pytest.approx(getattr(ours, name), rel=1e-6), name


def test_a_region_at_the_limit_of_size_is_kept_on_both_sides(page):
    p8 = np.zeros((450, 280), np.uint8)
    p8[20:27, 30:39] = 255  # 63 pixels; 0.0005 of 280 × 450 is 63
    rules = {"threshold": 0.5, "min_area": 0.0005, "min_peak": 0.0}
    pixels_kept = page.evaluate(
        f"""([values, rules]) => {VIEWER}.viewer.segmentMap(
            Uint8Array.from(values), 280, 450, rules, 0.5, 255).pixels""",
        [p8.ravel().tolist(), rules],
    )
    assert pixels_kept == segment(p8, PostProcessing(**rules)).sum() == 63


def test_every_mode_shows_something_else_and_number_keys_choose_them(page, scan):
    upload(page, scan)
    page.locator("#viewer .stage").focus()
    seen = []
    for key, mode in zip("12345", ("overlay", "contour", "heat", "original", "mask")):
        page.keyboard.press(key)
        expect(page.locator(f"#viewer [data-mode={mode}]")).to_have_attribute(
            "aria-checked", "true"
        )
        picture = canvas(page)
        assert all((picture != other).any() for other in seen)
        seen.append(picture)
    original = seen[3][:, :, :3]
    assert (original[:, :, 0] == original[:, :, 1])[50:-50, 200:-200].mean() > 0.99  # grey
    page.keyboard.press("6")  # no ground truth: stays
    expect(page.locator("#viewer [data-mode=mask]")).to_have_attribute("aria-checked", "true")


def test_the_uncertainty_map_is_the_networks(page, scan, segmenter):
    upload(page, scan)
    page.locator("#viewer [data-mode=uncertainty]").click()
    expect(page.locator("#viewer .legend.uncertainty")).to_be_visible()
    shown = page.evaluate(f"Array.from({VIEWER}.viewer.stage.scene.u8)")
    expected = quantise(segmenter.examine(pixels(scan)).uncertainty)
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
    give_scene(page, confidence="high", warning=None, presence=0.12, rules=rules)
    expect(answer.locator("strong")).to_have_text("No lesion found.")
    expect(answer).to_contain_text("there is a lesion at all, 0.12, stays under 0.3")
    expect(answer).to_contain_text("high confidence")
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
        const layer = {VIEWER}.viewer.stage.layer;
        const data = layer.getContext('2d').getImageData(0, 0, layer.width, layer.height).data;
        return Array.from(data).filter((_, i) => i % 4 === 0);
    }})()""")
    mask = segmenter.segment(pixels(scan))
    np.testing.assert_array_equal(np.reshape(shown, mask.shape), mask * 255)


def test_holding_compare_shows_the_bare_image(page, scan):
    upload(page, scan)
    page.locator("#viewer .stage").focus()
    before = canvas(page)
    page.keyboard.down("c")
    bare = canvas(page)
    page.keyboard.up("c")
    np.testing.assert_array_equal(canvas(page), before)
    page.keyboard.press("4")
    np.testing.assert_array_equal(canvas(page), bare)


def test_zoom_pan_and_fit(page, scan):
    upload(page, scan)
    stage = f"{VIEWER}.viewer.stage"
    fitted = page.evaluate(f"{stage}.scale")
    box = page.locator("#viewer canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2 + 60, box["y"] + box["height"] / 2 - 40
    page.mouse.move(x, y)

    def under_pointer() -> list[int]:
        text = page.locator("#viewer .readout").text_content()
        return [int(number) for number in re.findall(r"[xy] (\d+)", text)]

    under = under_pointer()
    page.mouse.wheel(0, -600)
    page.wait_for_function(f"{stage}.scale > {fitted} * 2")
    page.mouse.move(x + 0.4, y)
    assert under_pointer() == pytest.approx(under, abs=1)  # zoomed about the pointer
    offset = page.evaluate(f"{stage}.x")
    page.mouse.down()
    page.mouse.move(x + 50, y, steps=4)
    page.mouse.up()
    assert page.evaluate(f"{stage}.x") == pytest.approx(offset + 50, abs=1)
    page.mouse.dblclick(x, y)
    page.wait_for_function(f"{stage}.scale === {fitted}")


def test_the_readout_gives_position_and_probability(page, scan, segmenter):
    upload(page, scan)
    p8 = quantise(segmenter.predict(pixels(scan)))
    row, column = np.argwhere(p8 == p8.max())[0]
    scale, x, y = page.evaluate(f"(s => [s.scale, s.x, s.y])({VIEWER}.viewer.stage)")
    box = page.locator("#viewer canvas").bounding_box()
    page.mouse.move(box["x"] + x + (column + 0.5) * scale, box["y"] + y + (row + 0.5) * scale)
    expect(page.locator("#viewer .readout")).to_have_text(
        f"x {column} y {row} probability {p8.max() / 255:.2f}"
    )


def test_the_ruler_measures_in_pixels_and_millimetres(page, scan):
    upload(page, scan)
    page.locator("#viewer [data-tool=ruler]").click()
    scale = page.evaluate(f"{VIEWER}.viewer.stage.scale")
    box = page.locator("#viewer canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def measure(width: float, height: float) -> str:
        page.mouse.click(x, y)
        page.mouse.click(x + width * scale, y + height * scale)
        return page.evaluate(f"{VIEWER}.viewer.stage.rulerText()")

    assert float(measure(30, 40).split()[0]) == pytest.approx(50, abs=1.5)
    page.locator("#examples button").first.click()
    page.wait_for_function(f"{VIEWER}.viewer.stage.scene.spacing")
    text = measure(30, 40)  # 0.1 mm a pixel
    assert float(text.split()[0]) == pytest.approx(5, abs=0.2)
    assert " mm (" in text


def test_arrow_keys_move_the_threshold(page, scan, segmenter):
    upload(page, scan)
    page.locator("#viewer .stage").focus()
    out = page.locator("#viewer [data-out=threshold]")
    for key, change in (("ArrowRight", 0.01), ("ArrowUp", 0.02), ("Shift+ArrowLeft", -0.03)):
        page.keyboard.press(key)
        expect(out).to_have_text(f"{segmenter.threshold + change:.2f}")


def test_every_control_can_be_reached_by_tab_and_shows_focus(page, scan):
    upload(page, scan)
    page.locator("#viewer [data-mode=overlay]").focus()
    reached = []
    for _ in range(16):
        reached.append(
            page.evaluate("""(() => { const e = document.activeElement, d = e.dataset;
            return [d.tool || d.mode || d.download || e.name || e.className,
                    getComputedStyle(e).outlineStyle]; })()""")
        )
        page.keyboard.press("Tab")
    names = [name for name, _ in reached]
    for name in ("overlay", "compare", "ruler", "out", "fit", "in", "stage", "threshold", "opacity",
                 "mask", "report"):  # fmt: skip
        assert name in names
    assert all(outline != "none" for name, outline in reached[1:] if name)


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


def test_a_truth_of_another_size_is_refused_in_words(page, scan, tmp_path):
    upload(page, scan)
    Image.new("1", (30, 20)).save(tmp_path / "other.png")
    page.locator("#truth input[type=file]").set_input_files(tmp_path / "other.png")
    expect(page.get_by_text("The mask is 30 × 20 pixels, the image 500 × 400")).to_be_visible()


def download(page: Page, kind: str) -> bytes:
    with page.expect_download() as waiting:
        page.locator(f"#viewer [data-download={kind}]").click()
    return Path(waiting.value.path()).read_bytes()


def test_downloads_hold_what_the_viewer_paints_and_no_identity(page, tmp_path, segmenter):
    exif = Image.Exif()
    exif[0x010E] = "SECRET NAME"
    path = tmp_path / "patient.jpg"
    Image.fromarray(make_phantom(1, "benign").image).save(path, exif=exif, quality=95)
    upload(page, path)
    set_threshold(page, 0.4)
    painted = painted_mask(page, (400, 500))
    assert painted.any()

    mask = Image.open(io.BytesIO(download(page, "mask")))
    assert (mask.mode, mask.info) == ("L", {})
    np.testing.assert_array_equal(np.asarray(mask), painted * 255)

    overlay = Image.open(io.BytesIO(download(page, "overlay")))
    assert overlay.info == {}
    changed = (np.asarray(overlay) != pixels(path)[:, :, None]).any(axis=2)
    assert not (changed & ~painted).any()

    contours = json.loads(download(page, "contours"))["contours"]
    refilled = Image.new("1", (5000, 4000))
    for outline in contours:
        shape = Image.new("1", refilled.size)
        corners = [(10 * x, 10 * y) for x, y in outline]
        ImageDraw.Draw(shape).polygon(corners, fill=1)
        refilled = Image.fromarray(np.asarray(refilled) ^ np.asarray(shape))
    np.testing.assert_array_equal(np.asarray(refilled)[5::10, 5::10], painted)

    found = json.loads(download(page, "json"))
    assert sum(region["area_px"] for region in found["regions"]) == painted.sum()
    rows = list(csv.DictReader(io.StringIO(download(page, "csv").decode())))
    assert [int(row["area_px"]) for row in rows] == [r["area_px"] for r in found["regions"]]
    report = download(page, "report")
    assert report.startswith(b"%PDF-")
    assert report.count(b"/Type /Page\n") == 1
    for content in (download(page, "mask"), download(page, "overlay"), report):
        assert b"SECRET" not in content
        assert b"patient" not in content


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("empty.png", b"", "empty.png: the file is empty"),
        ("text.png", b"hello", "text.png: not an image"),
        ("half.png", None, "half.png: damaged or cut off"),
        ("report.pdf", b"%PDF-1.7 /Encrypt 1 0 R", "report.pdf: not an image"),
        ("scan.dcm", b"\0" * 128 + b"DICM" + b"\7" * 40, "scan.dcm: a DICOM file"),
    ],
)
def test_a_bad_file_is_a_sentence_and_the_page_goes_on(
    page, scan, tmp_path, name, content, sentence
):
    path = tmp_path / name
    path.write_bytes(scan.read_bytes()[:4000] if content is None else content)
    page.locator("#upload input[type=file]").set_input_files(path)
    toast = page.get_by_text(sentence)
    expect(toast).to_be_visible()
    assert "/" not in toast.text_content()
    page.locator("#upload button[aria-label='Clear']").click()
    upload(page, scan)
    expect(page.locator("#viewer .answer strong")).to_be_visible()


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (Image.new("1", (20_000, 20_000)), "image.tiff: too large"),
        (Image.fromarray(np.full((8, 9), np.nan, np.float32)), "image.tiff: expected 8 or 16 bits"),
    ],
)
def test_an_image_that_cannot_be_meant_is_a_sentence(page, tmp_path, image, sentence):
    image.save(tmp_path / "image.tiff", compression="tiff_deflate")
    page.locator("#upload input[type=file]").set_input_files(tmp_path / "image.tiff")
    expect(page.get_by_text(sentence)).to_be_visible()


def test_an_image_of_one_pixel_is_answered(page, tmp_path):
    Image.new("L", (1, 1), 80).save(tmp_path / "one.png")
    upload(page, tmp_path / "one.png")
    expect(page.locator("#viewer .answer strong")).to_be_visible()


def test_pasted_images_are_segmented_one_after_the_other(page, scan):
    paste(page, scan)
    page.wait_for_function(f"{VIEWER}.dataset.loaded")
    before = page.evaluate(f"{VIEWER}.dataset.loaded")
    paste(page, scan)
    page.wait_for_function(f"{VIEWER}.dataset.loaded && {VIEWER}.dataset.loaded !== '{before}'")


def paste(page: Page, path: Path) -> None:
    content = list(path.read_bytes())
    page.evaluate(
        """bytes => { const data = new DataTransfer();
        data.items.add(new File([Uint8Array.from(bytes)], 'pasted.png', {type: 'image/png'}));
        document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data})); }""",
        content,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phones_width_needs_no_sideways_scrolling(open_page, scan, scheme):
    page = open_page(360, 740, color_scheme=scheme)
    upload(page, scan)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    stage = page.locator("#viewer canvas").bounding_box()
    assert stage["width"] > 300
    assert stage["x"] >= 0
    text, background = page.evaluate(f"""[getComputedStyle({VIEWER}).color,
        getComputedStyle(document.body).backgroundColor].map(c => c.match(/\\d+/g).map(Number))""")
    assert abs(sum(text[:3]) - sum(background[:3])) > 450  # readable


def test_the_slider_repaints_a_large_image_within_a_frame(page, tmp_path):
    path = tmp_path / "large.png"
    Image.fromarray(make_phantom(1, "malignant", 719, 1048).image).save(path)
    upload(page, path)
    for step in range(60):
        set_threshold(page, round(0.2 + 0.01 * step, 2))
        page.wait_for_timeout(20)
    frames = page.evaluate(f"{VIEWER}.viewer.stage.frames")[-55:]
    print(f"frame: median {np.median(frames):.1f} ms, 95 % {np.percentile(frames, 95):.1f} ms")
    assert np.median(frames) < 16


def test_the_time_from_drop_to_outline_is_known_part_by_part(page, scan, segmenter):
    """Prints where the time goes on a warm page; fails only if it is out of all proportion."""
    import time

    from unet import viewer
    from unet.images import read_picture

    upload(page, scan)
    page.locator("#upload button[aria-label='Clear']").click()
    page.wait_for_timeout(300)
    responses = []
    page.on("response", lambda r: responses.append((r.url, time.perf_counter())))
    page.evaluate("performance.clearMarks()")
    dropped = time.perf_counter()
    begun = page.evaluate("performance.now()")
    upload(page, scan)
    page.wait_for_function("performance.getEntriesByName('painted').length")
    marks = page.evaluate("""['received', 'painted'].map(
        name => performance.getEntriesByName(name)[0].startTime)""")
    uploaded = next(at for url, at in responses if "/upload?" in url or url.endswith("/upload"))
    parts = {"upload": 1000 * (uploaded - dropped)}

    def timed(name, work):
        started = time.perf_counter()
        value = work()
        parts[name] = 1000 * (time.perf_counter() - started)
        return value

    picture = timed("decode", lambda: read_picture(scan))
    p8 = quantise(timed("network", lambda: segmenter.predict(picture.pixels)))
    timed("encode", lambda: viewer.scene("x", "x", picture.pixels, p8, segmenter.postprocessing))
    parts["paint"] = marks[1] - marks[0]
    parts["all"] = marks[1] - begun
    print("milliseconds:", ", ".join(f"{name} {value:.0f}" for name, value in parts.items()))
    assert parts["all"] < 10_000
