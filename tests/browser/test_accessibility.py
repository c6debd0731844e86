"""axe-core's judgement of each tab and of the page without a server, light and dark."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.site import needs_npm
from tests.browser.steps import VIEWER, upload
from tests.browser.test_site import give
from unet.page.site import HERE

AXE = Path(HERE / "node_modules" / "axe-core" / "axe.min.js")
RUN = """axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) =>
  violations.flatMap(({ id, nodes }) => nodes.map((n) => [id, n.html, n.failureSummary])))"""
GRADIO = {  # its own faults: rule, and what its element's HTML holds
    "aria-prohibited-attr": 'aria-label="Empty value"',
    "image-redundant-alt": "/gradio_api/file=",
    "label-content-name-mismatch": 'aria-label="',
}

pytestmark = needs_npm


def faults(page: Page) -> list[list[str]]:
    page.evaluate(f"{AXE.read_text()};0")
    found = page.evaluate(RUN)
    return [[rule, html, why] for rule, html, why in found if GRADIO.get(rule, "\0") not in html]


@pytest.fixture
def axe(site_folder):
    """Building the page without a server has fetched it."""
    assert AXE.is_file()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_tab_is_for_everybody(open_page, scan, axe, scheme):
    page = open_page(color_scheme=scheme)
    upload(page, scan)
    page.locator("#truth input[type=file]").set_input_files(scan.with_name("truth.png"))
    page.locator("#viewer .truth").wait_for()
    page.locator("#viewer [data-tool=edit]").click()
    for tab in ("One image", "Many images", "About this network"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(1000)
        assert faults(page) == [], tab


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_without_a_server_is_for_everybody(open_site, scan, axe, scheme):
    page = open_site(color_scheme=scheme)
    give(page, scan)
    page.evaluate(f"{VIEWER}.viewer.stage.root.focus()")
    page.keyboard.press("e")
    assert faults(page) == []
