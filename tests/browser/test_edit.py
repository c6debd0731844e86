"""A mask corrected by hand, in a real browser: by mouse, keys and touch."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.steps import VIEWER, painted_mask, set_threshold, upload
from tests.browser.test_files import download
from tests.io.test_dicom import region, write
from unet.data.phantom import make_phantom

SHAPE = (400, 500)  # of the scan


def start(page: Page, tool: str = "brush") -> None:
    page.locator("#viewer [data-tool=edit]").click()
    if tool != "brush":
        page.locator(f"#viewer [data-hand={tool}]").click()
    page.locator("#viewer .stage").scroll_into_view_if_needed()


def on_screen(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a place of the picture lies in the window."""
    stage = page.evaluate(
        f"(() => {{ const s = {VIEWER}.viewer.stage; return [s.x, s.y, s.scale, s.ratio]; }})()"
    )
    box = page.locator("#viewer canvas").bounding_box()
    left, top, scale, ratio = stage
    return box["x"] + (left + x * scale) / ratio, box["y"] + (top + y * scale) / ratio


def drag(page: Page, *places: tuple[float, float]) -> None:
    page.mouse.move(*on_screen(page, *places[0]))
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*on_screen(page, *place), steps=4)
    page.mouse.up()
    page.wait_for_timeout(60)


def edited(page: Page) -> np.ndarray:
    page.wait_for_timeout(60)
    return painted_mask(page, SHAPE)


def test_a_hundred_strokes_are_taken_back_to_the_very_first_mask(page, scan):
    upload(page, scan)
    first = edited(page)
    page.wait_for_timeout(1500)  # until what Gradio does after an upload is over
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    start(page)
    random = np.random.default_rng(0)
    for number in range(100):
        if number == 50:
            page.locator("#viewer [data-hand=eraser]").click()
        x, y = random.uniform(30, 470), random.uniform(30, 370)
        drag(page, (x, y), (x + random.uniform(-25, 25), y + random.uniform(-25, 25)))
    last = edited(page)
    assert (last != first).sum() > 5000
    expect(page.locator("#viewer .answer strong")).to_contain_text("Edited by hand")
    expect(page.locator("#viewer input[name=threshold]")).to_be_disabled()
    done = page.evaluate(f"{VIEWER}.viewer.stage.scene.editor.done")
    assert 60 < done <= 100  # a stroke that changes nothing is no step
    for _ in range(done):
        page.keyboard.press("Control+z")
    np.testing.assert_array_equal(edited(page), first)
    expect(page.locator("#viewer .answer strong")).not_to_contain_text("Edited")
    expect(page.locator("#viewer input[name=threshold]")).to_be_enabled()
    for _ in range(done):
        page.keyboard.press("Control+Shift+z")
    np.testing.assert_array_equal(edited(page), last)
    page.locator("#viewer [data-step=reset]").click()
    np.testing.assert_array_equal(edited(page), first)
    page.locator("#viewer [data-step=undo]").click()
    np.testing.assert_array_equal(edited(page), last)
    assert seen == []


def test_polygon_removal_holes_smoothing_growing_and_shrinking(page, scan):
    upload(page, scan)
    first = edited(page)
    start(page, "polygon")
    for place in ((20, 300), (60, 300), (60, 340), (20, 340)):
        page.mouse.click(*on_screen(page, *place))
    page.keyboard.press("Enter")
    square = np.zeros(SHAPE, bool)
    square[300:340, 20:60] = True
    with_square = edited(page)
    rim = np.zeros(SHAPE, bool)
    rim[298:342, 18:62] = True
    rim[302:338, 22:58] = False
    np.testing.assert_array_equal(with_square[~rim], (first | square)[~rim])

    page.locator("#viewer [data-hand=eraser]").click()
    page.locator("#viewer input[name=radius]").fill("5")
    page.mouse.click(*on_screen(page, 40, 320))
    assert not edited(page)[318:322, 38:42].any()
    page.locator("#viewer [data-whole=fillHoles]").click()
    np.testing.assert_array_equal(edited(page), with_square)

    page.locator("#viewer [data-whole=grow]").click()
    assert edited(page).sum() > with_square.sum()
    assert edited(page)[with_square].all()
    page.locator("#viewer [data-whole=shrink]").click()
    page.locator("#viewer [data-whole=smooth]").click()
    assert abs(int(edited(page).sum()) - int(with_square.sum())) < 0.02 * with_square.sum()
    expect(page.locator("#viewer .regions tbody tr")).to_have_count(2)
    page.locator("#viewer [data-hand=remove]").click()
    page.mouse.click(*on_screen(page, 40, 320))
    assert not edited(page)[rim].any()
    expect(page.locator("#viewer .regions tbody tr")).to_have_count(1)


def test_keys_alone_draw_and_choose(page, scan):
    upload(page, scan)
    first = edited(page)
    page.locator("#viewer .stage").focus()
    page.keyboard.press("e")
    expect(page.locator("#viewer [data-hand=brush]")).to_have_attribute("aria-pressed", "true")
    before = page.locator("#viewer [data-out=radius]").text_content()
    page.keyboard.press("]")
    assert page.locator("#viewer [data-out=radius]").text_content() != before
    threshold = page.locator("#viewer input[name=threshold]").input_value()
    for _ in range(15):
        page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press(" ")
    drawn = edited(page)
    assert drawn[200, 100]
    assert not first[200, 100]
    assert page.locator("#viewer input[name=threshold]").input_value() == threshold
    page.keyboard.press("x")
    page.keyboard.press(" ")
    assert not edited(page)[200, 100]
    page.keyboard.press("Escape")
    expect(page.locator("#viewer [data-hand=eraser]")).to_have_attribute("aria-pressed", "false")


def test_fingers_draw_with_one_and_move_the_picture_with_two(open_page, scan):
    page = open_page(390, 844, has_touch=True)
    upload(page, scan)
    first = edited(page)
    page.locator("#viewer [data-tool=edit]").tap()
    page.locator("#viewer .stage").scroll_into_view_if_needed()
    cdp = page.context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(places)]
        cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    a, b = on_screen(page, 60, 320), on_screen(page, 120, 320)
    touch("touchStart", a)
    touch("touchMove", b)
    touch("touchEnd")
    drawn = edited(page)
    assert drawn[320, 65:115].all()
    scale = page.evaluate(f"{VIEWER}.viewer.stage.scale")
    touch("touchStart", a)
    touch("touchStart", a, b)
    touch("touchMove", (a[0] - 30, a[1]), (b[0] + 30, b[1]))
    touch("touchEnd")
    assert page.evaluate(f"{VIEWER}.viewer.stage.scale") > scale * 1.2
    np.testing.assert_array_equal(edited(page), drawn)  # the stroke of the first is as if not begun
    page.locator("#viewer [data-hand=polygon]").tap()
    page.locator("#viewer .stage").scroll_into_view_if_needed()
    for place in (on_screen(page, 60, 250), on_screen(page, 100, 250), on_screen(page, 100, 290)):
        page.touchscreen.tap(*place)
    c = on_screen(page, 60, 290)
    touch("touchStart", c)
    touch("touchStart", c, (c[0] + 40, c[1]))
    touch("touchMove", (c[0] - 20, c[1]), (c[0] + 60, c[1]))
    touch("touchEnd")
    assert len(page.evaluate(f"{VIEWER}.viewer.stage.hand.points")) == 3
    page.locator("#viewer .stage").press("Escape")
    page.locator("#viewer [data-step=undo]").tap()
    np.testing.assert_array_equal(edited(page), first)


def test_what_is_taken_home_says_that_it_was_edited(page, scan, segmenter):
    upload(page, scan)
    start(page)
    drag(page, (30, 350), (90, 350))
    mask = edited(page)
    answer = segmenter.analyze(np.asarray(Image.open(scan))).segment()
    found = json.loads(download(page, "json"))
    assert found["edited_by_hand"] is True
    assert found["confidence"] is None
    assert sum(region["area_px"] for region in found["regions"]) == mask.sum()
    assert [r["area_px"] for r in found["network_answer"]["regions"]] == [
        r.area_px for r in answer.regions
    ]
    both = 2 * (mask & answer.mask).sum() / (mask.sum() + answer.mask.sum())
    assert found["network_answer"]["dice_with_edited"] == pytest.approx(both)
    taken = np.asarray(Image.open(io.BytesIO(download(page, "mask")))) > 0
    np.testing.assert_array_equal(taken, mask)
    assert "True" in download(page, "csv").decode()
    note = page.locator("#viewer .answer span").text_content()
    assert float(re.search(r"Dice of the two (\d\.\d+)", note)[1]) == pytest.approx(both, abs=1e-3)


def test_a_truth_given_later_leaves_the_edits_and_is_compared_with_them(page, scan):
    upload(page, scan)
    start(page)
    drag(page, (30, 350), (90, 350))
    mask = edited(page)
    before = page.evaluate(f"{VIEWER}.dataset.loaded")
    page.locator("#truth input[type=file]").set_input_files(scan.with_name("truth.png"))
    page.wait_for_function(f"{VIEWER}.dataset.loaded !== '{before}'")
    np.testing.assert_array_equal(edited(page), mask)
    truth = np.asarray(Image.open(scan.with_name("truth.png"))) > 0
    dice = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
    expect(page.locator("#viewer .truth dd").first).to_have_text(f"{dice:.3f}")
    page.locator("#examples button").first.click()  # another picture
    page.wait_for_function(f"{VIEWER}.viewer.stage.scene.editor === null")
    expect(page.locator("#viewer .answer strong")).not_to_contain_text("Edited")


def calibrate(page: Page, pixels: int, millimetres: int) -> None:
    """Say how long so many pixels of a row are."""
    page.locator("#viewer [data-tool=ruler]").click()
    page.mouse.click(*on_screen(page, 100, 100))
    page.mouse.click(*on_screen(page, 100 + pixels, 100))
    page.locator("#viewer input[name=mm]").fill(str(millimetres))
    page.keyboard.press("Enter")


def test_millimetres_calibrated_by_hand_follow_everywhere(page, scan):
    upload(page, scan)
    calibrate(page, 200, 20)
    expect(page.locator("#viewer [data-out=scale]")).to_contain_text("0.100 mm")
    expect(page.locator("#viewer .answer strong")).to_contain_text("mm")
    found = json.loads(download(page, "json"))
    assert found["millimetres_calibrated_by_hand"] is True
    region = found["regions"][0]
    assert region["longest_mm"] == pytest.approx(region["longest_px"] * 0.1, rel=0.02)
    assert region["depth_mm"] == pytest.approx(region["depth_px"] * 0.1, rel=0.02)
    page.locator("#viewer [data-tool=forget]").click()
    expect(page.locator("#viewer .answer strong")).to_contain_text("pixels")


def test_a_scale_keeps_the_shape_of_pixels_that_are_not_square(page, tmp_path):
    spaced = [region(320, 0.01, 0.02, RegionLocationMaxY1=240)]
    picture = make_phantom(1, "benign", 240, 320).image
    upload(page, write(tmp_path / "scan.dcm", picture, SequenceOfUltrasoundRegions=spaced))
    calibrate(page, 100, 20)
    expect(page.locator("#viewer [data-out=scale]")).to_contain_text("0.200 × 0.400 mm")


def test_a_frame_while_painting_takes_less_than_one_of_the_screen(page, tmp_path):
    path = tmp_path / "large.png"
    Image.fromarray(make_phantom(4, "malignant", 719, 1048).image).save(path)
    upload(page, path)
    start(page)
    page.evaluate(f"{VIEWER}.viewer.stage.frames.length = 0")
    random = np.random.default_rng(1)
    page.mouse.move(*on_screen(page, 300, 300))
    page.mouse.down()
    for _ in range(40):
        page.mouse.move(*on_screen(page, *random.uniform(200, 500, 2)), steps=2)
    page.mouse.up()
    frames = page.evaluate(f"{VIEWER}.viewer.stage.frames")
    assert len(frames) > 20
    print(f"median {np.median(frames):.1f} ms, 95 % {np.percentile(frames, 95):.1f} ms")
    assert np.median(frames) <= 16


def test_the_threshold_moves_again_when_the_edits_are_taken_back(page, scan):
    upload(page, scan)
    start(page)
    drag(page, (30, 350), (90, 350))
    page.locator("#viewer [data-step=undo]").click()
    set_threshold(page, 0.9)
    expect(page.locator("#viewer [data-step=redo]")).to_be_disabled()


def drop(page: Page, *paths) -> None:
    """Drop files on the picture."""
    import base64

    files = [(path.name, base64.b64encode(path.read_bytes()).decode()) for path in paths]
    page.evaluate(
        """(files) => {
          const transfer = new DataTransfer();
          for (const [name, content] of files) {
            const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
            transfer.items.add(new File([bytes], name));
          }
          document.querySelector("#viewer .stage").dispatchEvent(
            new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
        }""",
        files,
    )


def test_a_session_comes_back_with_its_picture(open_page, page, scan, tmp_path):
    upload(page, scan)
    set_threshold(page, 0.6)
    start(page)
    drag(page, (30, 350), (90, 350))
    page.locator("#viewer [data-tool=ruler]").click()
    page.mouse.click(*on_screen(page, 100, 100))
    page.mouse.click(*on_screen(page, 300, 100))
    page.locator("#viewer input[name=mm]").fill("10")
    page.keyboard.press("Enter")
    mask = edited(page)
    path = tmp_path / "session.json"
    path.write_bytes(download(page, "session"))
    assert "scan" not in path.read_text()  # no file name

    other = open_page()
    drop(other, path)
    expect(other.locator("#viewer .notice")).to_contain_text("waits for its picture")
    drop(other, scan)
    other.wait_for_function(f"{VIEWER}.dataset.loaded")
    expect(other.locator("#viewer .notice")).to_contain_text("open again")
    np.testing.assert_array_equal(edited(other), mask)
    assert other.locator("#viewer input[name=threshold]").input_value() == "0.6"
    expect(other.locator("#viewer [data-out=scale]")).to_contain_text("0.0500 mm")
    path.write_text("{}")
    drop(other, path)
    expect(other.locator("#viewer .notice")).to_contain_text("is no session")
    np.testing.assert_array_equal(edited(other), mask)


def test_everything_comes_in_one_zip_without_what_names_the_patient(page, scan):
    import zipfile

    upload(page, scan)
    archive = zipfile.ZipFile(io.BytesIO(download(page, "all")))
    assert sorted(archive.namelist()) == [
        "coco.json", "contours.json", "findings.csv", "findings.json", "image.json", "image.png",
        "mask.png", "overlay.png", "report.pdf", "session.json",
    ]  # fmt: skip
    assert not page.locator("#viewer [data-download=seg]").is_visible()


def test_a_dicom_picture_goes_back_as_dicom(page, tmp_path):
    import pydicom
    from pydicom.uid import UltrasoundImageStorage, generate_uid

    path = write(
        tmp_path / "scan.dcm", make_phantom(3, "benign").image, SOPClassUID=UltrasoundImageStorage,
        SOPInstanceUID=generate_uid(), StudyInstanceUID=generate_uid(),
        SeriesInstanceUID=generate_uid(),
    )  # fmt: skip
    upload(page, path)
    page.wait_for_timeout(200)
    mask = painted_mask(page, SHAPE)
    (tmp_path / "seg.dcm").write_bytes(download(page, "seg"))
    found = pydicom.dcmread(tmp_path / "seg.dcm")
    np.testing.assert_array_equal(found.pixel_array.astype(bool), mask)
    assert found.PatientName == pydicom.dcmread(path).PatientName
    (tmp_path / "capture.dcm").write_bytes(download(page, "capture"))
    assert pydicom.dcmread(tmp_path / "capture.dcm").pixel_array.shape == (*SHAPE, 3)


def test_edits_stay_with_the_network_that_they_are_of(page, scan, networks):
    """Another network's answer is its own; back at the first, what was drawn is there again."""
    first, second = list(networks.sources)[:2]
    upload(page, scan)
    start(page)
    drag(page, (20, 20), (60, 30), (90, 20))
    drawn = edited(page)
    answer = page.locator("#viewer .answer strong")
    expect(answer).to_contain_text("Edited by hand")

    def choose(network: str) -> None:
        page.locator("#network input").click()
        page.locator(f"[role=option][aria-label^='{network}:']").click()
        page.wait_for_function(
            f"{VIEWER}.viewer.stage.scene.value.network.name === '{network}'", timeout=30_000
        )

    choose(second)
    expect(answer).not_to_contain_text("Edited by hand")
    expected = networks.get(second).segment(np.asarray(Image.open(scan)))
    np.testing.assert_array_equal(edited(page), expected)
    choose(first)
    expect(answer).to_contain_text("Edited by hand")
    np.testing.assert_array_equal(edited(page), drawn)
    mask = np.asarray(Image.open(io.BytesIO(download(page, "mask"))))
    np.testing.assert_array_equal(mask > 0, drawn)
