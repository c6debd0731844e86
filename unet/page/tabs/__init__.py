"""The page's tabs, and what they share."""

from __future__ import annotations

import gradio as gr

from unet.images.reading import ImageError, Picture, read_picture

HOUR = 3600
NETWORK = {"concurrency_id": "network", "concurrency_limit": 1}
"""For every event that runs a network: one at a time."""
PRIVATE = {"api_visibility": "private"}
"""For events that are no endpoints."""


def check_threshold(threshold: float | None) -> None:
    """Raise gr.Error for a threshold outside [0, 1]; None is allowed."""
    if threshold is not None and not 0 <= threshold <= 1:
        raise gr.Error(f"threshold must lie between 0 and 1, got {threshold}.")


def read(path: str | None, frame: int = 0) -> Picture:
    """Read an uploaded file; what is wrong with it becomes a gr.Error."""
    if path is None:
        raise gr.Error("Choose an image file first.")
    try:
        return read_picture(path, frame)
    except ImageError as error:
        raise told(error) from None


def told(error: ImageError) -> gr.Error:
    """An image error as the page shows it."""
    return gr.Error(str(error), duration=None, print_exception=False)
