"""What people give the page goes when they clear it or leave; nothing asks another host."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import httpx2
import numpy as np
import pytest
from gradio.utils import get_upload_folder
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.steps import VIEWER, upload
from tests.io.test_dicom import write
from unet.data.phantom import make_phantom


def copies(content: bytes) -> list[Path]:
    """Files of the page that hold this."""
    found = []
    for folder, _, names in os.walk(get_upload_folder()):
        for path in (Path(folder, name) for name in names):
            with suppress(FileNotFoundError):  # it goes at this moment
                if path.read_bytes() == content:
                    found.append(path)
    return found


def gone(content: bytes) -> bool:
    """Whether they are within some seconds: what is under way ends first."""
    for _ in range(150):
        if not copies(content):
            return True
        time.sleep(0.1)
    return False


@pytest.fixture
def mine(tmp_path) -> Path:
    """A picture that no other test gives to the page."""
    path = tmp_path / "Jane Doe.png"
    pixels = make_phantom(7, "benign").image
    pixels[:4] = np.random.default_rng().integers(0, 256, pixels[:4].shape)
    Image.fromarray(pixels).save(path)
    return path


def test_a_picture_is_gone_once_it_is_cleared_and_its_truth_with_it(page, mine, tmp_path):
    upload(page, mine)
    truth = tmp_path / "Jane truth.png"
    Image.fromarray(make_phantom(7, "benign").mask).save(truth, compress_level=2)
    upload(page, truth, "truth")
    content = mine.read_bytes()
    (kept,) = copies(content)
    assert "Jane" not in str(kept)
    assert len(copies(truth.read_bytes())) == 1
    expect(page.locator("#upload")).to_contain_text("Jane Doe")  # to its owner it is what it was
    page.locator("#upload button[aria-label='Clear']").click()
    assert gone(content)
    assert gone(truth.read_bytes())


def test_a_picture_that_another_replaces_is_gone(page, mine, scan):
    upload(page, mine)
    page.locator("#examples button").first.click()
    assert gone(mine.read_bytes())


def test_whoever_closes_the_tab_leaves_nothing_and_takes_nothing_of_others(open_page, mine):
    page, other = open_page(), open_page()
    upload(page, mine)
    upload(other, mine)
    assert len(copies(mine.read_bytes())) == 2
    page.close()
    for _ in range(150):
        if len(copies(mine.read_bytes())) == 1:
            break
        time.sleep(0.1)
    assert len(copies(mine.read_bytes())) == 1
    with other.expect_download() as waiting:
        other.locator("#viewer [data-download=mask]").click()
    assert waiting.value.path().stat().st_size > 0
    other.close()
    assert gone(mine.read_bytes())


def test_a_batch_goes_with_its_visitor_and_so_do_its_results(open_page, mine):
    page = open_page()
    page.get_by_role("tab", name="Many images").click()
    page.locator("#batch-files input[type=file]").set_input_files(mine)
    expect(page.locator("#batch-files")).to_contain_text("Jane Doe")
    page.locator("#batch-start").click()
    link = page.locator("#batch-zip a").first
    expect(link).to_be_visible(timeout=60_000)
    expect(page.locator("#batch-table")).to_contain_text("Jane Doe.png")
    expect(page.locator("#batch-gallery")).to_contain_text("Jane Doe.png")
    with page.expect_download() as waiting:
        link.click()
    assert waiting.value.suggested_filename == "results.zip"
    archive = waiting.value.path().read_bytes()
    source = page.locator("#batch-gallery img").first.get_attribute("src")
    overlay = httpx2.get(source).content
    assert overlay.startswith(b"\x89PNG")
    for content in (mine.read_bytes(), archive, overlay):
        assert len(copies(content)) == 1
        assert "Jane" not in str(copies(content))
    page.close()
    for content in (mine.read_bytes(), archive, overlay):
        assert gone(content)


def test_a_batch_whose_visitor_leaves_ends_and_leaves_nothing(open_page, mine, capfd):
    def archives() -> set[Path]:
        return set(Path(get_upload_folder()).glob("*/results.zip"))

    before, page = archives(), open_page()
    page.get_by_role("tab", name="Many images").click()
    page.locator("#batch-files input[type=file]").set_input_files([mine] * 60)
    expect(page.locator("#batch-files")).to_contain_text("Jane Doe")
    page.locator("#batch-start").click()
    expect(page.locator("#batch-table")).to_contain_text("Jane Doe.png", timeout=60_000)
    assert archives() - before
    page.close()
    assert gone(mine.read_bytes())
    for _ in range(100):
        if not archives() - before:
            break
        time.sleep(0.1)
    assert not archives() - before
    assert "Traceback" not in capfd.readouterr().err


def test_files_of_a_batch_that_are_taken_out_are_gone(page, mine, scan):
    page.get_by_role("tab", name="Many images").click()
    page.locator("#batch-files input[type=file]").set_input_files([mine, scan])
    expect(page.locator("#batch-files")).to_contain_text("scan")
    page.wait_for_timeout(500)
    assert copies(mine.read_bytes())
    page.locator("#batch-files button[aria-label='Remove this file']").first.click()
    assert gone(mine.read_bytes())
    assert copies(scan.read_bytes())


def test_a_clip_that_is_cleared_while_it_is_worked_on_is_gone_without_a_word(page, tmp_path):
    frames = np.stack([make_phantom(seed, "benign", 240, 320).image for seed in range(12)])
    clip = write(tmp_path / "Jane.dcm", frames, frames=12)
    upload(page, clip)
    assert copies(clip.read_bytes())
    page.locator("#upload button[aria-label='Clear']").click()
    assert gone(clip.read_bytes())
    page.wait_for_timeout(1000)
    expect(page.locator(".toast-body")).to_have_count(0)


def violations_of(page: Page) -> list[str]:
    return page.evaluate("window.violations")


WATCH = """window.violations = [];
addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.effectiveDirective} ${event.blockedURI}`);
});"""


def test_an_example_is_segmented_within_the_policy_and_by_this_host_alone(browser, address):
    context = browser.new_context()
    context.add_init_script(WATCH)
    page = context.new_page()
    hosts, said, policies = set(), [], []
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    page.on("console", lambda message: said.append(message.text))
    answer = page.goto(address)
    policies.append(answer.headers["content-security-policy"])
    page.wait_for_selector("#viewer canvas")
    page.locator("#examples button").first.click()
    page.wait_for_function(f"{VIEWER}.dataset.loaded")
    expect(page.locator("#viewer .answer strong")).to_be_visible()
    page.get_by_role("tab", name="About this network").click()
    expect(page.locator("#about svg").first).to_be_visible()
    assert violations_of(page) == []
    assert not [text for text in said if "Content Security Policy" in text]
    assert {host for host in hosts if host} == {address.split("/")[2]}  # "" of data: and blob:

    # And the policy is one that tells: what it forbids is refused.
    page.evaluate("""() => {
      const script = document.createElement("script");
      script.textContent = "window.broken = true";
      document.body.append(script);
      document.body.insertAdjacentHTML("beforeend", "<img src='https://example.org/x.png'>");
      const button = document.createElement("button");
      button.setAttribute("onclick", "window.broken = true");
      button.click();
    }""")
    page.wait_for_function("window.violations.length >= 3")
    kinds = sorted(violation.split()[0] for violation in violations_of(page))
    assert kinds == ["img-src", "script-src-attr", "script-src-elem"]
    assert page.evaluate("window.broken") is None
    context.close()
