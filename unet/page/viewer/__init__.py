"""The canvas viewer the page embeds: the browser paints, so a threshold needs no request."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from unet.config import to_dict
from unet.inference.postprocessing import PostProcessing
from unet.page.exports import UNFAMILIAR

HERE = Path(__file__).parent
SCRIPTS = ("regions.js", "paint.js", "view.js", "answer.js", "main.js")


def build_viewer(upload_id: str) -> gr.HTML:
    """The viewer as a Gradio component.

    Its value is what `scene` returns, or None for an empty stage. It triggers "download" with
    `kind` and `threshold`.

    Args:
        upload_id: `elem_id` of the file component that dropped and pasted files are given to.
    """
    return gr.HTML(
        html_template=(HERE / "viewer.html").read_text(),
        css_template=(HERE / "viewer.css").read_text(),
        js_on_load="\n".join((HERE / name).read_text() for name in SCRIPTS),
        elem_id="viewer",
        apply_default_css=False,
        upload_id=upload_id,
    )


def scene(
    scene_id: str,
    series: str,
    image: np.ndarray,
    p8: np.ndarray,
    rules: PostProcessing,
    *,
    u8: np.ndarray | None = None,
    confidence: str | None = None,
    familiar: bool | None = None,
    presence: float | None = None,
    truth: np.ndarray | None = None,
    spacing_mm: tuple[float, float] | None = None,
    seconds: float | None = None,
) -> dict[str, Any]:
    """What the viewer shows, sent once an image.

    Args:
        scene_id: Names the scene; no two scenes share one.
        series: Scenes of one series keep the viewer's threshold and mode.
        image: uint8 `(H, W)` or `(H, W, 3)`.
        p8: uint8 `(H, W)`, the probability times 255.
        rules: The network's post-processing.
        u8: uint8 `(H, W)`, the uncertainty times 255, if the network gives one.
        confidence: "low", "medium" or "high", if the network gives one.
        familiar: Whether the image looks like the network's training images, if known.
        presence: How likely there is a lesion at all, in [0, 1], if the network says.
        truth: bool `(H, W)`, if there is one.
        spacing_mm: Height and width of a pixel in millimetres, if known.
        seconds: Time the network took.
    """
    return {
        "id": scene_id,
        "series": series,
        "image": _png(image),
        "probability": _png(p8),
        "checksum": int(p8.sum(dtype=np.int64)),
        "uncertainty": None if u8 is None else _png(u8),
        "confidence": confidence,
        "presence": presence,
        "warning": UNFAMILIAR if familiar is False else None,
        "truth": None if truth is None else _png(truth.astype(np.uint8) * 255),
        "rules": to_dict(rules),
        "spacing_mm": spacing_mm,
        "seconds": seconds,
    }


def _png(pixels: np.ndarray) -> str:
    """Pixels as base64 PNG with nothing but pixels in it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=3)
    return base64.b64encode(buffer.getvalue()).decode()
