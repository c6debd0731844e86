"""A real browser on a real server with the trained network."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

import app
from tests.browser.site import ready, served
from unet import Segmenter
from unet.data.phantom import make_phantom
from unet.inference.bundle import find_interactive_bundle, list_bundles
from unet.page import server
from unet.page.model_registry import ModelRegistry
from unet.page.site import build_site
from unet.publishing.report import sort_by_validation

expect.set_options(timeout=20_000)  # a machine may be slow
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def networks() -> ModelRegistry:
    return app.networks_here()


@pytest.fixture(scope="session")
def segmenter(networks) -> Segmenter:
    """The network the page starts with."""
    return networks.get(networks.default)


@pytest.fixture(scope="session")
def upload_folder(tmp_path_factory) -> Iterator[Path]:
    """Where the page keeps what is given to it; no other process does."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("uploads")
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield folder


@pytest.fixture(scope="session")
def address(networks, upload_folder) -> Iterator[str]:
    page = app.build_page(networks)
    url = server.launch(page, networks, prevent_thread_lock=True, quiet=True, **app.LAUNCH)
    yield url
    page.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    assert path, f"the browser tests need one of {', '.join(BROWSERS)}; see the README"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def windows(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Opens an address in windows; afterwards, nothing may have failed or gone elsewhere."""
    contexts, problems, elsewhere = [], [], []

    def open_it(width: int = 1280, height: int = 900, **options) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        local = (address, "data:", "blob:")
        page.on("request", lambda r: None if r.url.startswith(local) else elsewhere.append(r.url))
        page.goto(address)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert problems == []
    assert elsewhere == []


@pytest.fixture
def open_page(browser, address) -> Iterator:
    """Opens the page in a window, as `windows` does."""
    with windows(browser, address) as open_it:

        def open_ready(*size: int, **options) -> Page:
            page = open_it(*size, **options)
            page.wait_for_selector("#viewer canvas")
            page.wait_for_selector("#upload input[type=file]", state="attached")
            return page

        yield open_ready


@pytest.fixture
def page(open_page) -> Page:
    return open_page()


@pytest.fixture(scope="session")
def site_folder(tmp_path_factory) -> Path:
    """The page without a server, of the bundles here."""
    out = tmp_path_factory.mktemp("site") / "site"
    weights = app.ROOT / "weights"
    build_site(
        sort_by_validation(list_bundles(weights)),
        out,
        interactive_model=find_interactive_bundle(weights),
    )
    return out


@pytest.fixture(scope="session")
def site_address(site_folder) -> Iterator[str]:
    with served(site_folder) as url:
        yield url


@pytest.fixture
def open_site(browser, site_address) -> Iterator:
    """Opens the site in a window, as `windows` does."""
    with windows(browser, site_address) as open_it:

        def open_ready(*size: int, **options) -> Page:
            page = open_it(*size, **options)
            ready(page)
            return page

        yield open_ready


@pytest.fixture(scope="session")
def scan(tmp_path_factory) -> Path:
    """A phantom with a benign lesion, as a file, its truth beside it."""
    path = tmp_path_factory.mktemp("scan") / "scan.png"
    phantom = make_phantom(1, "benign")
    Image.fromarray(phantom.image).save(path)
    Image.fromarray(phantom.mask).save(path.with_name("truth.png"))
    return path
