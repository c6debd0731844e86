"""The other parts of the page: clips, many images."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.steps import VIEWER, painted_mask, upload
from tests.io.test_dicom import region, write
from unet.data.phantom import KINDS, make_phantom


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """A DICOM clip of three phantoms with 0.2 × 0.1 mm pixels."""
    frames = np.stack([make_phantom(seed, "benign", 240, 320).image for seed in (1, 2, 3)])
    spaced = [region(320, 0.01, 0.02, RegionLocationMaxY1=240)]
    path = tmp_path_factory.mktemp("clip") / "clip.dcm"
    return write(path, frames, frames=3, SequenceOfUltrasoundRegions=spaced)


def test_a_dicom_clip_shows_its_frames_and_millimetres(page, clip, segmenter):
    import pydicom

    upload(page, clip)
    assert page.evaluate(f"{VIEWER}.viewer.stage.scene.spacing") == pytest.approx([0.2, 0.1])
    slider = page.locator("#viewer [name=frame]")
    expect(slider).to_have_value("1")
    before = page.evaluate(f"{VIEWER}.dataset.loaded")
    slider.fill("3")
    page.wait_for_function(f"{VIEWER}.dataset.loaded !== '{before}'")
    frame = pydicom.dcmread(clip).pixel_array[2]
    np.testing.assert_array_equal(painted_mask(page, (240, 320)), segmenter.segment(frame))


def test_an_image_after_a_clip_hides_the_frame_slider(page, clip, scan):
    upload(page, clip)
    expect(page.locator("#viewer .clip")).to_be_visible()
    page.locator("#upload button[aria-label='Clear']").click()
    expect(page.locator("#viewer .clip")).to_be_hidden()
    upload(page, scan)
    expect(page.locator("#viewer .clip")).to_be_hidden()


def batch_files(folder: Path) -> list[Path]:
    """Eleven phantoms and a broken file."""
    for number in range(11):
        phantom = make_phantom(number, KINDS[number % 3], 200, 260)
        Image.fromarray(phantom.image).save(folder / f"scan {number:02d}.png")
    (folder / "broken.png").write_bytes((folder / "scan 00.png").read_bytes()[:3000])
    return sorted(folder.glob("*.png"))


def start_batch(page: Page, files: list[Path]) -> None:
    page.get_by_role("tab", name="Many images").click()
    page.locator("#batch-files input[type=file]").set_input_files(files)
    expect(page.locator("#batch-files")).to_contain_text(files[-1].stem)
    page.locator("#batch-start").click()


def test_a_batch_of_twelve_with_a_broken_one_is_finished(page, tmp_path, segmenter):
    files = batch_files(tmp_path)
    start_batch(page, files)
    link = page.locator("#batch-zip a").first
    expect(link).to_be_visible(timeout=60_000)
    expect(page.locator("#batch-table")).to_contain_text("not read: damaged or cut off")
    expect(page.locator("#batch-gallery img")).to_have_count(11)
    with page.expect_download() as waiting:
        link.click()
    with zipfile.ZipFile(waiting.value.path()) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("results.csv").decode())))
        assert [row["file"] for row in rows] == [path.name for path in files]
        for path in files[1:]:
            mask = np.asarray(Image.open(io.BytesIO(archive.read(f"masks/{path.name}"))))
            np.testing.assert_array_equal(mask, segmenter.segment(Image.open(path)) * 255)


def test_a_batch_can_be_cancelled_and_the_page_goes_on(page, tmp_path, scan):
    files = batch_files(tmp_path)
    start_batch(page, files * 5)
    expect(page.locator("#batch-table")).to_contain_text("region marked", timeout=30_000)
    page.locator("#batch-cancel").click()
    page.wait_for_timeout(3000)
    expect(page.locator("#batch-zip a")).to_have_count(0)
    page.get_by_role("tab", name="One image").click()
    upload(page, scan)


def test_on_a_phone_a_batch_is_as_wide_as_the_phone_and_its_table_can_be_read(open_page, tmp_path):
    page = open_page(390, 844)
    start_batch(page, batch_files(tmp_path)[1:4])
    expect(page.locator("#batch-gallery img")).to_have_count(3, timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    heights = page.locator("#batch-table th").evaluate_all("all => all.map(th => th.offsetHeight)")
    assert max(heights) < 50  # a line, not a letter under the other
