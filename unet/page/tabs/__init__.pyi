"""The page's tabs, and what they share."""

from __future__ import annotations

import gradio as gr

from unet.images.reading import ImageError, Picture, read_picture

HOUR = 3600
NETWORK = {"concurrency_id": "network", "concurrency_limit": 4}
"""For events that run a network on one image; the network itself takes one at a time."""
BATCH = {"concurrency_id": "batch", "concurrency_limit": 1}
"""For those that run it on many: one batch at a time, beside single images."""
PRIVATE = {"api_visibility": "private"}
"""For events that are no endpoints."""

class Threshold(gr.Number):
    """A number that answers in words where something else is sent."""

    def preprocess(self, payload):
        """The number; None where it is left out."""
        if payload is not None and (
            isinstance(payload, bool) or not isinstance(payload, int | float)
        ):
            raise gr.Error(f"threshold must be a number between 0 and 1, got {payload!r:.40}.")
        return super().preprocess(payload)

    def get_block_name(self) -> str:
        """The component whose looks it has."""
        return "number"
    from collections.abc import Callable, Sequence
    from typing import TYPE_CHECKING, Any, Literal

    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

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
