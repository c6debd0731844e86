"""The page in a real browser, on the trained network."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

import app
from unet import Segmenter
from unet.phantom import make_phantom

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    page = app.build_page(Segmenter.load(app.WEIGHTS))
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **app.LAUNCH)
    yield url
    page.close()


@pytest.fixture(scope="session")
def browser():
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    assert path, f"the browser tests need one of {', '.join(BROWSERS)}; see the README"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    problems: list[str] = []
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    elsewhere: list[str] = []
    page.on("request", lambda r: None if _is_local(r.url, address) else elsewhere.append(r.url))
    page.goto(address)
    yield page
    page.close()
    assert problems == []
    assert elsewhere == []


def _is_local(url: str, address: str) -> bool:
    return url.startswith((address, "data:", "blob:"))


@pytest.fixture(scope="session")
def ultrasound(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "scan.png"
    Image.fromarray(make_phantom(1, "benign").image).save(path)
    return path


def pixels(page: Page, selector: str) -> np.ndarray:
    """The picture a component shows, as the browser got it."""
    image = page.locator(f"{selector} img").first
    response = page.request.get(image.get_attribute("src"))
    path = Path(page.context.browser.contexts[0].pages[0].url and "/tmp") / "shown.png"
    path.write_bytes(response.body())
    return np.asarray(Image.open(path).convert("RGB"))


def test_an_uploaded_lesion_comes_back_outlined(page, ultrasound):
    page.locator("input[type=file]").first.set_input_files(ultrasound)
    findings = page.locator("#findings textarea")
    expect(findings).to_have_value(re.compile(r"^\d regions?"), timeout=30_000)


"""
"""
