"""The page's tabs, and what they share."""

from __future__ import annotations

import sys

import gradio as gr
from gradio.exceptions import InvalidPathError

from unet.io.images import ImageError, Picture, read_picture
from unet.page import metrics
from unet.page.uploads import CANNOT_KEEP, is_of_the_disk, name_of

NETWORK = {"concurrency_id": "network", "concurrency_limit": 4}
"""For events that run a network on one image; the network itself takes one at a time."""
BATCH = {"concurrency_id": "batch", "concurrency_limit": 1}
"""For those that run it on many: one batch at a time, beside single images."""
CLIP = {"concurrency_id": "clip", "concurrency_limit": 1}
"""For those that run it on the frames of a clip, one a request: clips take turns."""
PRIVATE = {"api_visibility": "private"}
"""For events that are no endpoints."""

NOT_UPLOADED = "expected a file that was uploaded to this page. Upload it first, then name it."
NOT_MEANT = "expected what this endpoint takes, as the page's API documentation shows it."


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


def allow_fewer(page: gr.Blocks, endpoint: str) -> None:
    """Let callers of an endpoint leave out its last values, as those that came later."""
    validate = page.validate_inputs

    def padded(block_fn, inputs: list):
        if block_fn.api_name == endpoint:
            inputs.extend([None] * (len(block_fn.inputs) - len(inputs)))
        return validate(block_fn, inputs)

    page.validate_inputs = padded


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


def install_error_messages(page: gr.Blocks) -> None:
    """Let a page say in words what of a request cannot be meant, and that its disk fails.

    Gradio's own words name folders of this machine and objects in its memory.
    """
    preprocess = page.preprocess_data

    async def checked(*args, **options):
        try:
            return await preprocess(*args, **options)
        except gr.Error:
            raise
        except InvalidPathError:
            raise gr.Error(NOT_UPLOADED, print_exception=False) from None
        except Exception as error:  # of many kinds, Gradio's and pydantic's
            if is_of_the_disk(error):
                raise
            print(f"request: {type(error).__name__}", file=sys.stderr)  # no names
            raise gr.Error(NOT_MEANT, print_exception=False) from None

    process = page.process_api

    async def answered(*args, **options):
        try:
            return await process(*args, **options)
        except Exception as error:
            if not is_of_the_disk(error):
                raise
            metrics.count_error("Disk")
            print(f"disk: {type(error).__name__}", file=sys.stderr)  # no names
            raise gr.Error(CANNOT_KEEP, duration=None, print_exception=False) from None

    # Subclasses would write interface files beside this one.
    page.preprocess_data, page.process_api = checked, answered


def to_gradio_error(error: ImageError, name: str) -> gr.Error:
    """An image error as the page shows it, with what the person calls the file."""
    metrics.count_error(type(error).__name__)
    return gr.Error(error.about(name), duration=None, print_exception=False)
