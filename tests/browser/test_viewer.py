"""What people do in the viewer, done in a real browser."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.steps import VIEWER, canvas, pixels, set_threshold, upload
from unet.core.mask import quantise
from unet.data.phantom import make_phantom


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
    probability_u8 = quantise(segmenter.predict(pixels(scan)))
    row, column = np.argwhere(probability_u8 == probability_u8.max())[0]
    scale, x, y = page.evaluate(f"(s => [s.scale, s.x, s.y])({VIEWER}.viewer.stage)")
    box = page.locator("#viewer canvas").bounding_box()
    page.mouse.move(box["x"] + x + (column + 0.5) * scale, box["y"] + y + (row + 0.5) * scale)
    expect(page.locator("#viewer .readout")).to_have_text(
        f"x {column} y {row} probability {probability_u8.max() / 255:.2f}"
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
        own = f"(the network's own: {segmenter.threshold:.2f})"
        expect(out).to_have_text(f"{segmenter.threshold + change:.2f} {own}")


def test_every_control_can_be_reached_by_tab_and_shows_focus(page, scan):
    upload(page, scan)
    page.locator("#viewer [data-mode=overlay]").focus()
    reached = []
    for _ in range(20):
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

    from unet.io.images import read_picture
    from unet.page import viewer
    from unet.page.analysis import analyse

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
    analysed = timed("network", lambda: analyse(segmenter, picture))
    timed("encode", lambda: viewer.scene(analysed))
    parts["paint"] = marks[1] - marks[0]
    parts["all"] = marks[1] - begun
    print("milliseconds:", ", ".join(f"{name} {value:.0f}" for name, value in parts.items()))
    assert parts["all"] < 10_000
