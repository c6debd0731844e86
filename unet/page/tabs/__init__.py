"""The page's tabs, and what they share."""

from __future__ import annotations

import gradio as gr

from unet.io.images import ImageError, Picture, read_picture
from unet.page import metrics
from unet.page.uploads import name_of

NETWORK = {"concurrency_id": "network", "concurrency_limit": 4}
"""For events that run a network on one image; the network itself takes one at a time."""
BATCH = {"concurrency_id": "batch", "concurrency_limit": 1}
"""For those that run it on many: one batch at a time, beside single images."""
CLIP = {"concurrency_id": "clip", "concurrency_limit": 1}
"""For those that run it on the frames of a clip, one a request: clips take turns."""
PRIVATE = {"api_visibility": "private"}
"""For events that are no endpoints."""


def threshold_input() -> gr.Number:
    """A number for the endpoints, which answers in words where something else is sent."""
    number = gr.Number(label="threshold")
    preprocess = number.preprocess

    def checked(payload):
        if payload is not None and type(payload) not in (int, float):
            raise gr.Error(f"threshold must be a number between 0 and 1, got {payload!r:.40}.")
        check_threshold(payload)
        return preprocess(payload)

    number.preprocess = checked  # a subclass would write an interface file beside this one
    return number


def check_threshold(threshold: float | None) -> None:
    """Raise gr.Error for a threshold outside [0, 1]; None is allowed."""
    if threshold is not None and not 0 <= threshold <= 1:
        shown = threshold if abs(threshold) < 1e9 else "another number"  # of any many digits
        raise gr.Error(f"threshold must lie between 0 and 1, got {shown}.")


def read(path: str | None) -> Picture:
    """Read an uploaded file; what is wrong with it becomes a gr.Error."""
    if path is None:
        raise gr.Error("Choose an image file first.")
    try:
        with metrics.step("read"):
            return read_picture(path)
    except ImageError as error:
        raise to_gradio_error(error, name_of(path)) from None


def to_gradio_error(error: ImageError, name: str) -> gr.Error:
    """An image error as the page shows it, with what the person calls the file."""
    metrics.count_error(type(error).__name__)
    return gr.Error(error.about(name), duration=None, print_exception=False)
