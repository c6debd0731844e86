"""Takes the README's pictures of the page, of phantoms: `python -m tests.take_pictures`."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

import app

FOLDER = Path(__file__).parent / "pictures"
VIEWER = "document.querySelector('#viewer .viewer')"
PICTURES = {  # name: colour scheme, example, key pressed
    "overlay": ("light", 1, "1"),
    "agreement": ("dark", 2, "6"),
}


def main() -> None:
    """Write a picture for each entry of PICTURES."""
    FOLDER.mkdir(exist_ok=True)
    page = app.build_page(app.networks_here())
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, **app.LAUNCH)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, (scheme, example, key) in PICTURES.items():
            size = {"width": 1240, "height": 1130}
            tab = browser.new_context(viewport=size, color_scheme=scheme).new_page()
            tab.goto(address)
            tab.wait_for_selector("#viewer canvas")
            tab.wait_for_timeout(1000)
            tab.locator("#examples button").nth(example).click()
            tab.wait_for_function(f"{VIEWER}.dataset.loaded")
            tab.wait_for_timeout(1500)
            tab.locator("#viewer .stage").focus()
            tab.keyboard.press(key)
            tab.evaluate("document.activeElement.blur()")
            tab.wait_for_timeout(500)
            tab.screenshot(path=FOLDER / f"{name}.png")
        browser.close()
    page.close()


if __name__ == "__main__":
    main()
