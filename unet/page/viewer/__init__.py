"""The canvas viewer the page embeds: the browser paints, so a threshold needs no request."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from unet.config import to_dict
from unet.inference.prediction import Prediction
from unet.page import metrics
from unet.page.analysis import Analysis
from unet.page.clip_cache import frame_ms
from unet.page.exports.download import image_sha256
from unet.page.exports.report import UNFAMILIAR

HERE = Path(__file__).parent
SCRIPTS = (
    "segmentation.js", "prediction.js", "paint.js", "view.js", "results_panel.js", "edit.js",
    "brush_tools.js", "clip_area_chart.js", "clip.js", "divider.js", "comparison.js",
    "comparison_render.js", "prompt_model.js", "main.js", "toolbar.js", "session.js",
    "prompt_tool.js",
)  # fmt: skip


def build_viewer(upload_id: str) -> gr.HTML:
    """The viewer as a Gradio component.

    Its value is what `scene` returns, or None for an empty stage. It triggers "download" with
    `kind` and `threshold`; "compare" with `id`, `network` and `request`, which `answer_to` is the
    answer to; "point" with `id`, `prompts` and `request`, which `pointed_to` is the answer to; of a
    clip also "tick", which asks for a frame, and "select", which rests on one.

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


@metrics.step("answer")
def scene(
    analysed: Analysis, networks: Iterable[str] = (), interactive: bool = False
) -> dict[str, Any]:
    """Scene of the viewer for one image, sent once; no two scenes share an `id`.

    Scenes of one series keep the viewer's threshold and mode: frames of a clip, a picture with and
    without its truth; not another network's answer, which has a threshold of its own.

    Args:
        analysed: The image.
        networks: Names of the networks that it can be compared with.
        interactive: Whether a person can point at a lesion.
    """
    prediction = analysed.prediction
    truth, spacing = analysed.truth, analysed.picture.spacing_mm
    return {
        "id": analysed.id,
        "picture": analysed.series,
        "frame": analysed.picture.frame,
        "frames": analysed.picture.frames,
        "frame_ms": frame_ms(analysed.picture),
        "series": f"{analysed.series} {prediction.network}",
        "image": _png(analysed.picture.pixels),
        **_said(prediction),
        "networks": list(networks),
        "interactive": interactive,
        "truth": None if truth is None else _png(truth.astype(np.uint8) * 255),
        "image_sha256": image_sha256(analysed.picture.pixels),
        "dicom": analysed.picture.header is not None,
        "network": asdict(prediction.network),
        "spacing_mm": spacing,
        "seconds": analysed.seconds,
    }


def answer_to(request: int, prediction: Prediction) -> dict[str, Any]:
    """Answer to the viewer's request for another network's map."""
    return {"request": request, **_said(prediction)}


def pointed_to(request: int, analysed: Analysis) -> dict[str, Any]:
    """Answer to the viewer's prompts; downloads use its `id`."""
    return {
        "request": request, "id": analysed.id, "network": asdict(analysed.prediction.network),
        "seconds": analysed.seconds, **_said(analysed.prediction),
    }  # fmt: skip


def _said(prediction: Prediction) -> dict[str, Any]:
    return {
        "probability": _png(prediction.probability_u8),
        "checksum": int(prediction.probability_u8.sum(dtype=np.int64)),
        "uncertainty": None
        if prediction.disagreement_u8 is None
        else _png(prediction.disagreement_u8),
        "confidence": prediction.segment().confidence,
        "presence": prediction.presence,
        "warning": UNFAMILIAR if prediction.familiar is False else None,
        "postprocessing": to_dict(prediction.postprocessing),
    }


def _png(pixels: np.ndarray) -> str:
    """Pixels as base64 PNG with nothing but pixels in it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=3)
    return base64.b64encode(buffer.getvalue()).decode()
