"""What happens at once: other callers, a network that arrives, two wishes for one picture."""

from __future__ import annotations

import re
import threading
import time

import httpx2
import pytest
from playwright.sync_api import expect

import app
from tests.browser.steps import VIEWER, upload
from unet import Segmenter
from unet.page import analysis, server
from unet.page.exports.download import image_sha256
from unet.page.model_registry import ModelRegistry, ModelSource


def test_downloads_do_not_depend_on_who_else_calls(page, address, scan):
    upload(page, scan)
    base = f"{address}gradio_api/call/segment"
    for _ in range(30):  # each takes a session of its own
        httpx2.post(base, json={"data": [None, 0.5]})
    with page.expect_download() as download:
        page.locator("#viewer [data-download=json]").click()
    assert download.value.suggested_filename == "findings.json"


def test_two_visitors_keep_their_own_pictures(open_page, scan, tmp_path):
    from PIL import Image

    with Image.open(scan) as whole:
        whole.crop((0, 0, 300, 260)).save(tmp_path / "other.png")
    first, second = open_page(), open_page()
    upload(first, scan)
    upload(second, tmp_path / "other.png")
    sizes = []
    for page in (first, second):
        with page.expect_download() as download:
            page.locator("#viewer [data-download=mask]").click()
        with Image.open(download.value.path()) as mask:
            sizes.append(mask.size)
    assert sizes == [(500, 400), (300, 260)]


def test_of_two_pictures_chosen_in_a_row_the_last_is_shown(page, monkeypatch):
    analyse = analysis.analyse

    def slow(*arguments, **options):
        time.sleep(1.5)
        return analyse(*arguments, **options)

    monkeypatch.setattr(analysis, "analyse", slow)
    for number in (0, 1):
        page.locator("#examples button").nth(number).click()
    example = analysis.example_images(app.EXAMPLES)[1]
    sha256 = image_sha256(example.picture.pixels)
    value = f"({VIEWER}.viewer.value() || {{}}).image_sha256"
    page.wait_for_function(f"{value} === '{sha256}'")
    page.wait_for_timeout(2500)  # whatever is late changes nothing any more
    assert page.evaluate(value) == sha256


def test_another_network_and_a_truth_at_once_are_both_followed(page, scan):
    upload(page, scan)
    page.locator("#network input").click()
    page.locator("[role=option][aria-label^='unet:']").click()
    page.locator("#truth input[type=file]").set_input_files(scan.with_name("truth.png"))
    page.wait_for_function(
        f"""() => {{
            const value = {VIEWER}.viewer.value();
            return value && value.truth && value.network.name === "unet";
        }}"""
    )
    page.wait_for_timeout(1500)  # whatever is late changes nothing any more
    value = page.evaluate(f"{VIEWER}.viewer.value()")
    assert value["truth"]
    assert value["network"]["name"] == "unet"


@pytest.fixture
def following(browser, monkeypatch):
    """A page that follows the Hub; the network arrives when the test says so."""
    monkeypatch.setenv("UNET_REPO", "user/net")
    networks = ModelRegistry([app.ROOT / "weights" / "efficientnet-unet"])
    blocks = app.build_page(networks)
    url = server.launch(blocks, networks, prevent_thread_lock=True, quiet=True, **app.LAUNCH)
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#viewer canvas")
    page.wait_for_selector("#upload input[type=file]", state="attached")
    yield page, networks
    context.close()
    blocks.close()


def test_a_network_that_arrives_answers_for_the_picture_that_is_shown(following, scan):
    page, networks = following
    upload(page, scan)
    assert page.evaluate(f"{VIEWER}.viewer.value().network.name") == "efficientnet-unet"
    folder = app.ROOT / "weights" / "unet"
    arrived = Segmenter.load(folder, "ab" * 20)
    threading.Thread(
        target=networks.take, args=("user/net", ModelSource(folder, "ab" * 20), arrived)
    ).start()
    expect(page.locator("#status")).to_contain_text(
        re.compile("user/net.*downloaded"), timeout=20_000
    )
    page.wait_for_function(f"{VIEWER}.viewer.value().network.revision === '{'ab' * 20}'")
