"""What people give the page, and take home."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from tests.browser.steps import VIEWER, painted_mask, pixels, set_threshold, upload
from unet.data.phantom import make_phantom


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


def test_on_a_phone_the_line_to_upload_says_so_and_then_which_file_it_holds(open_page, scan):
    page = open_page(390, 844)

    def wait_in_sight(part: str) -> None:
        page.wait_for_function(
            """(part) => {
              const [box, inner] = ["#upload", `#upload ${part}`].map(
                (place) => document.querySelector(place)?.getBoundingClientRect());
              return inner && box.top <= inner.top && inner.bottom <= box.bottom;
            }""",
            arg=part,
        )

    wait_in_sight(".upload-container")
    upload(page, scan)
    wait_in_sight(".filename")
