"""Takes the README's pictures of the page, of phantoms: `python -m tests.take_pictures`."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

import app
from tests.browser.test_edit import on_screen
from tests.browser.test_prompts import answered
from unet.page import server

FOLDER = Path(__file__).parent / "pictures"
VIEWER = "document.querySelector('#viewer .viewer')"
PICTURES = {  # name: colour scheme, example, keys pressed
    "overlay": ("light", 1, "1"),
    "agreement": ("dark", 2, "6"),
    "not_found": ("light", 4, "1"),
    "pointed_at": ("light", 4, "1g"),
}
CLICKED = ("pointed_at", (400, 145))
"""The picture in which one points at a lesion, and where, in pixels of the example."""


def main() -> None:
    """Write a picture for each entry of PICTURES."""
    FOLDER.mkdir(exist_ok=True)
    networks = app.networks_here()
    page = app.build_page(networks)
    address = server.launch(page, networks, prevent_thread_lock=True, quiet=True, **app.LAUNCH)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, (scheme, example, keys) in PICTURES.items():
            size = {"width": 1240, "height": 1130}
            tab = browser.new_context(viewport=size, color_scheme=scheme).new_page()
            tab.goto(address)
            tab.wait_for_selector("#viewer canvas")
            tab.wait_for_timeout(1000)
            tab.locator("#examples button").nth(example).click()
            tab.wait_for_function(f"{VIEWER}.dataset.loaded")
            tab.wait_for_timeout(1500)
            tab.locator("#viewer .stage").focus()
            for key in keys:
                tab.keyboard.press(key)
            if name == CLICKED[0]:
                tab.mouse.click(*on_screen(tab, *CLICKED[1]))
                answered(tab)
            tab.evaluate("document.activeElement.blur()")
            tab.wait_for_timeout(500)
            tab.screenshot(path=FOLDER / f"{name}.png")
        browser.close()
    page.close()


if __name__ == "__main__":
    main()
