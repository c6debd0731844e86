"""The page without a server, in a real browser."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

import app
from tests.browser.conftest import windows
from tests.browser.site import needs_npm, ready, served
from tests.browser.steps import VIEWER, painted_mask
from unet import Segmenter
from unet.data.phantom import make_phantom
from unet.inference.bundle import list_bundles, read_info, write_info
from unet.io.images import read_picture
from unet.page.analysis import analyse
from unet.page.exports import download as exports_download
from unet.page.exports import report
from unet.page.site import build_site
from unet.publishing.report import sort_by_validation

pytestmark = needs_npm


def give(page: Page, path: Path) -> None:
    before = page.evaluate(f"{VIEWER}.dataset.loaded || ''")
    page.locator("#upload").set_input_files(path)
    page.wait_for_function(f"{VIEWER}.dataset.loaded && {VIEWER}.dataset.loaded !== '{before}'")


def download(page: Page, selector: str) -> bytes:
    with page.expect_download() as waiting:
        page.locator(selector).click()
    return Path(waiting.value.path()).read_bytes()


def pictures(folder: Path) -> list[Path]:
    """Four phantoms of as many sizes, and ten of BUSI's test images where they are to be had."""
    paths = []
    sizes = ((400, 500), (333, 257), (719, 1048), (190, 310))
    for seed, (height, width) in enumerate(sizes):
        kind = ("benign", "malignant", "benign", "normal")[seed]
        paths.append(folder / f"phantom-{seed}.png")
        Image.fromarray(make_phantom(seed + 20, kind, height, width).image).save(paths[-1])
    if os.environ.get("BUSI_DIR"):
        from unet.data.loading import find_cases

        cases = {case.id: case for case in find_cases(Path(os.environ["BUSI_DIR"]))[0]}
        test = read_info(app.ROOT / "weights" / "unet").split["test"]
        paths += [Path(cases[name].image) for name in test[::8]]
    return paths


def said(page: Page) -> dict:
    return page.evaluate(
        """() => { const { probability_u8, agreement, presence, familiar, confidence } =
                     window.site.shown.prediction;
                   return { probability_u8: Array.from(probability_u8),
                            agreement, presence, familiar, confidence }; }"""
    )


def test_the_browser_says_what_python_says_of_every_picture(open_site, segmenter, tmp_path):
    page = open_site()
    for path in pictures(tmp_path):
        give(page, path)
        expected = segmenter.analyze(read_picture(path).pixels)
        found = said(page)
        probability_u8 = np.array(found["probability_u8"], np.uint8).reshape(
            expected.probability_u8.shape
        )
        # Sums in another order: a probability may lie on the other side of a half level.
        apart = np.abs(probability_u8.astype(int) - expected.probability_u8)
        assert apart.max() <= 1, path.name
        assert (apart > 0).mean() < 1e-3, path.name
        np.testing.assert_array_equal(
            painted_mask(page, expected.probability_u8.shape),
            expected.segment().mask,
            err_msg=path.name,
        )
        assert found["agreement"] == pytest.approx(expected.agreement, abs=1e-4)
        assert found["presence"] == pytest.approx(expected.presence, abs=1e-4)
        assert found["familiar"] == expected.familiar
        assert found["confidence"] == expected.segment().confidence


def test_a_second_look_says_the_same_in_the_browser(browser, segmenter, tmp_path):
    bundle = shutil.copytree(app.ROOT / "weights" / segmenter.name, tmp_path / segmenter.name)
    info = read_info(bundle)
    write_info(bundle, replace(info, inference=replace(info.inference, second_look=0.7)))
    build_site([bundle], tmp_path / "site")
    looking = Segmenter.load(bundle)
    changed = 0
    with served(tmp_path / "site") as address, windows(browser, address) as open_it:
        page = open_it()
        ready(page)
        for path in pictures(tmp_path):
            give(page, path)
            picture = read_picture(path).pixels
            expected = looking.analyze(picture)
            found = np.array(said(page)["probability_u8"]).reshape(expected.probability_u8.shape)
            apart = np.abs(found - expected.probability_u8)
            assert apart.max() <= 1, path.name
            assert (apart > 0).mean() < 1e-3, path.name
            before = segmenter.analyze(picture).probability_u8
            changed += bool((expected.probability_u8 != before).any())
    assert changed >= 2  # of the others the candidate fills the picture, or there is none


def test_what_is_taken_home_is_what_python_writes(open_site, scan, segmenter):
    page = open_site()
    give(page, scan)
    analysed = analyse(segmenter, read_picture(scan))
    answer = analysed.segment()
    for kind, make in (("mask", report.mask_png), ("overlay", report.overlay_png)):
        ours = np.asarray(Image.open(io.BytesIO(download(page, f"[data-download={kind}]"))))
        np.testing.assert_array_equal(ours, Image.open(io.BytesIO(make(analysed, answer))))

    found = json.loads(download(page, "[data-download=json]"))
    expected = json.loads(report.findings_json(analysed, answer))
    assert set(found) == set(expected)
    assert found["network"] == expected["network"]
    for ours, theirs in zip(found["regions"], expected["regions"], strict=True):
        known = {k: pytest.approx(v, rel=1e-6) for k, v in theirs.items() if v is not None}
        assert ours == theirs | known

    contours = json.loads(download(page, "[data-download=contours]"))["contours"]
    theirs = json.loads(report.contours_json(analysed, answer))["contours"]
    corners = [sorted(map(tuple, outline)) for outline in contours]
    assert sorted(corners) == sorted(sorted(map(tuple, outline)) for outline in theirs)

    rows = list(csv.reader(io.StringIO(download(page, "[data-download=csv]").decode())))
    assert rows[0] == report.findings_csv(analysed, answer).decode().splitlines()[0].split(",")
    assert len(rows) == 1 + len(answer.regions)
    assert not page.locator("[data-download=report]").is_visible()


def test_an_edited_mask_is_taken_home_as_python_writes_it(open_site, scan, segmenter):
    page = open_site()
    give(page, scan)
    page.locator("#viewer [data-tool=edit]").click()
    page.locator("#viewer .stage").focus()
    for _ in range(12):
        page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press(" ")
    page.locator("#viewer [data-whole=grow]").click()
    page.evaluate("document.querySelector('#viewer .viewer').viewer.calibrate([0.07, 0.07])")
    mask = painted_mask(page, (400, 500))
    analysed = analyse(segmenter, read_picture(scan))
    answer = analysed.segment(edited=mask, calibrated_mm=(0.07, 0.07))
    found = json.loads(download(page, "[data-download=json]"))
    expected = json.loads(report.findings_json(analysed, answer))
    for name in ("edited_by_hand", "millimetres_calibrated_by_hand", "pixel_spacing_mm",
                 "confidence", "reason_for_no_mask"):  # fmt: skip
        assert found[name] == expected[name], name
    assert found["network_answer"]["dice_with_edited"] == pytest.approx(
        expected["network_answer"]["dice_with_edited"]
    )
    for ours, theirs in zip(found["regions"], expected["regions"], strict=True):
        known = {k: pytest.approx(v, rel=1e-6) for k, v in theirs.items() if v is not None}
        assert ours == theirs | known
    session = json.loads(download(page, "[data-download=session]"))
    theirs = json.loads(exports_download.session_json(analysed, answer))
    assert session == theirs


def test_a_truth_is_compared_and_one_of_another_size_refused(open_site, scan, tmp_path):
    page = open_site()
    give(page, scan)
    page.locator("#truth").set_input_files(scan.with_name("truth.png"))
    expect(page.locator("#viewer .truth")).to_be_visible()
    Image.new("L", (30, 20)).save(tmp_path / "other.png")
    page.locator("#truth").set_input_files(tmp_path / "other.png")
    expect(page.locator("#status")).to_contain_text("The mask is 30 × 20 pixels, the image 500 ×")
    assert page.locator("#viewer .truth").is_visible()  # nothing is lost


def test_many_images_become_a_table_and_a_zip(open_site, scan, tmp_path):
    page = open_site()
    (tmp_path / "bad.png").write_bytes(b"no image")
    same = tmp_path / "scan.png"
    same.write_bytes(scan.read_bytes())
    page.locator("#upload").set_input_files([scan, tmp_path / "bad.png", same])
    expect(page.locator("#zip")).to_be_enabled(timeout=30_000)
    assert page.locator("#rows tr").count() == 3
    archive = zipfile.ZipFile(io.BytesIO(download(page, "#zip")))
    assert set(archive.namelist()) == {
        "masks/scan.png", "overlays/scan.png", "masks/scan-2.png", "overlays/scan-2.png",
        "results.csv",
    }  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(archive.read("results.csv").decode())))
    assert [row["result"][:8] for row in rows] == ["region m", "not read", "region m"]
    page.locator("#rows tr").first.click()
    expect(page.locator("#viewer .answer")).to_contain_text("region")


def test_an_uncompressed_dicom_is_read_as_python_reads_it(open_site, segmenter, tmp_path):
    import pydicom
    from pydicom.data import get_testdata_file

    path = Path(get_testdata_file("CT_small.dcm"))
    page = open_site()
    give(page, path)
    picture = read_picture(path)
    found = page.evaluate("Array.from(window.site.shown.picture.grey)")
    apart = np.abs(np.array(found).reshape(picture.pixels.shape) - picture.pixels.astype(int))
    assert apart.max() <= 1  # float32 against float64, at a half
    assert page.evaluate("window.site.shown.picture.spacing") == pytest.approx(picture.spacing_mm)
    compressed = Path(get_testdata_file("MR_small_RLE.dcm"))
    page.locator("#upload").set_input_files(compressed)
    expect(page.locator("#status")).to_contain_text("compressed")
    assert str(pydicom.dcmread(path).PatientName) not in page.inner_text("body")


def test_another_network_answers_for_the_picture_that_is_shown(open_site, scan):
    page = open_site()
    give(page, scan)
    page.locator("#network").select_option("unet")
    page.wait_for_function(f"{VIEWER}.dataset.loaded.includes(' unet')", timeout=30_000)
    assert "unet" in page.inner_text("#status")


def test_a_network_that_cannot_be_loaded_leaves_the_one_that_answers(browser, site_address, scan):
    context = browser.new_context(service_workers="block")
    page = context.new_page()
    page.goto(site_address)
    ready(page)
    give(page, scan)
    before = json.loads(download(page, "#viewer [data-download=json]"))
    context.route("**/*.onnx", lambda route: route.abort())
    page.locator("#network").select_option("unet")
    expect(page.locator("#status")).to_contain_text("could not be loaded", timeout=30_000)
    expect(page.locator("#network")).to_have_value(before["network"]["name"])
    assert json.loads(download(page, "#viewer [data-download=json]")) == before
    context.unroute("**/*.onnx")
    page.locator("#network").select_option("unet")
    page.wait_for_function(f"{VIEWER}.dataset.loaded.includes(' unet')", timeout=30_000)
    after = json.loads(download(page, "#viewer [data-download=json]"))
    assert after["network"]["name"] == "unet"
    context.close()


def test_after_a_first_visit_it_works_without_a_connection(open_site, scan):
    page = open_site()
    page.evaluate("navigator.serviceWorker.ready")
    page.wait_for_function(
        "async () => { for (const name of await caches.keys()) {"
        " const kept = await (await caches.open(name)).keys();"
        " if (kept.some(r => r.url.endsWith('.onnx'))) return true; } return false; }",
        timeout=30_000,
    )
    page.reload()
    ready(page)
    page.context.set_offline(True)
    page.reload()
    ready(page)
    give(page, scan)
    expect(page.locator("#viewer .answer")).to_contain_text("region")


def test_it_fits_a_phone(open_site, scan):
    page = open_site(360, 740, has_touch=True)
    give(page, scan)
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_one_file_opens_from_a_disk(browser, segmenter, tmp_path):
    bundles = sort_by_validation(list_bundles(app.ROOT / "weights"))
    build_site(bundles, tmp_path / "page.html", single_file=True)
    page = browser.new_context().new_page()
    asked = []
    page.on("request", lambda r: asked.append(r.url) if r.url.startswith("http") else None)
    page.goto((tmp_path / "page.html").as_uri())
    ready(page)
    page.locator("#examples button").first.click()
    page.wait_for_function(f"{VIEWER}.dataset.loaded.startsWith('1 ')")
    expected = segmenter.analyze(make_phantom(1, "benign").image)
    np.testing.assert_array_equal(
        painted_mask(page, expected.probability_u8.shape), expected.segment().mask
    )
    assert asked == []
    page.context.close()
