"""What the browser tests do with the viewer, and read from it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page

VIEWER = "document.querySelector('#viewer .viewer')"
MASK_RUNS = f"{VIEWER}.viewer.stage.scene.segmented.runs.map(r => [r.y, r.x0, r.x1])"


def upload(page: Page, path: Path, place: str = "upload") -> None:
    before = page.evaluate(f"{VIEWER}.dataset.loaded || ''")
    page.locator(f"#{place} input[type=file]").set_input_files(path)
    page.wait_for_function(f"{VIEWER}.dataset.loaded && {VIEWER}.dataset.loaded !== '{before}'")


def set_threshold(page: Page, value: float) -> None:
    page.locator("#viewer input[name=threshold]").fill(str(value))


def painted_mask(page: Page, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for y, start, end in page.evaluate(MASK_RUNS):
        mask[y, start:end] = True
    return mask


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def canvas(page: Page) -> np.ndarray:
    page.wait_for_timeout(100)
    return np.asarray(Image.open(io.BytesIO(page.locator("#viewer .stage").screenshot())))
