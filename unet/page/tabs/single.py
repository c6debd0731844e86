"""The tab for one image: upload, examples, ground truth, viewer, downloads; and `/segment`."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from pathlib import Path

import gradio as gr
import numpy as np

from unet.core.prompts import parse_prompts
from unet.errors import UserError
from unet.io.images import ImageError, Picture
from unet.page import analysis, viewer
from unet.page.analysis import Analysis
from unet.page.exports import download as downloads
from unet.page.exports import report
from unet.page.model_registry import ModelRegistry
from unet.page.session_store import AnalysisCache
from unet.page.tabs import (
    NETWORK,
    PRIVATE,
    check_threshold,
    clip,
    read,
    threshold_input,
    to_gradio_error,
)
from unet.page.uploads import UploadTracker, name_of, named
from unet.publishing.card import NOTICE

SAVE = """watch("value", () => {
  if (!props.value) return;
  const bytes = Uint8Array.from(atob(props.value.content), (c) => c.charCodeAt(0));
  const address = URL.createObjectURL(new Blob([bytes], { type: props.value.type }));
  Object.assign(document.createElement("a"), { href: address, download: props.value.name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
});"""


SECOND = """watch("value", () => {
  if (props.value) document.querySelector("#viewer .viewer").viewer.two.receive(props.value);
});"""

GONE = "The page no longer keeps this picture (an hour at most). Choose it again."

POINTED = SECOND.replace("two.receive", "pointing.receive")


def add(
    networks: ModelRegistry,
    kept: AnalysisCache,
    held: UploadTracker,
    chooser: gr.Dropdown,
    local_examples: Path,
) -> None:
    """Add the tab's components; images in `local_examples` are offered before the phantoms."""
    examples = analysis.example_images(local_examples)
    local = [example for example in examples if not example.generated]

    def opened(
        visitor: str, network: str, plot_path: Callable[[], Picture], path: str = "", **options
    ) -> tuple[str, dict] | None:
        """Analyse a picture that a visitor opens; None where another was opened meanwhile."""
        series = secrets.token_hex(8)
        kept.open(visitor, series)
        try:
            picture = plot_path()
            options["clip_path"] = path if picture.frames > 1 else None
            analysed = analysis.analyse(networks.get(network), picture, series=series, **options)
        except Exception:
            if kept.give_up(visitor, series):
                raise
            return None  # it was taken away meanwhile
        return shown(analysed) if kept.show(visitor, series) else None

    def shown(analysed: Analysis) -> tuple[str, dict]:
        """Keep an analysis; its id, and what the viewer gets of it."""
        kept.put(analysed)
        return analysed.id, viewer.scene(analysed, networks.sources, networks.has_interactive)

    def analyse(path: str, network: str, request: gr.Request):
        told = opened(request.session_hash, network, lambda: read(path), path)
        return [*told, None] if told else [gr.skip()] * 3

    def analyse_example(network: str, event: gr.SelectData, request: gr.Request):
        example = examples[event.index]
        told = opened(
            request.session_hash, network, lambda: example.picture,
            truth=example.truth, generated=example.generated,
        )  # fmt: skip
        return [*told, None, None] if told else [gr.skip()] * 4

    def bring_up_to_date(
        name: str | None, network: str, truth_path: str | None, request: gr.Request
    ):
        """Follow the chosen network and the given truth, both as they are when it is asked."""
        analysed, segmenter = kept.get(name), networks.get(network)
        if analysed is None:
            if truth_path is not None and name is None:
                raise gr.Error("Choose the ultrasound first, then its ground truth.")
            return gr.skip(), gr.skip()
        same_network = analysed.prediction.network == segmenter.network
        if same_network and analysed.truth_path == truth_path:
            return gr.skip(), gr.skip()
        visitor = request.session_hash
        number = kept.ask(visitor)
        try:
            analysed = analysis.with_truth(analysed, truth_path)
        except ImageError as error:
            raise to_gradio_error(error, name_of(truth_path)) from None
        if not same_network:
            analysed = analysis.again(segmenter, analysed)
        if not kept.is_wanted(visitor, analysed.series, number):
            return gr.skip(), gr.skip()
        return shown(analysed)

    def clear(request: gr.Request):
        kept.close(request.session_hash)
        return None, None, None

    def download(event: gr.EventData):
        analysed = kept.get(event.id)
        if analysed is None:
            raise gr.Error(GONE)
        try:
            answer = analysed.segment(
                float(event.threshold),
                edited=report.mask_of_runs(event.edited, analysed.prediction.probability_u8.shape),
                calibrated_mm=report.spacing_of(event.calibrated_mm),
            )
        except (AttributeError, OverflowError, TypeError, ValueError) as error:
            raise gr.Error(
                f"The page sent a request that cannot be answered ({error!s:.80}). Reload the page."
            ) from None
        try:
            name, media_type, content = downloads.make(str(event.kind), analysed, answer)
        except UserError as error:
            raise gr.Error(str(error)) from None
        return {"name": name, "type": media_type, "content": base64.b64encode(content).decode()}

    def compare(event: gr.EventData):
        """Another network's map of the picture that is shown; what fails is said in words."""
        request, analysed = event.request, kept.get(event.id)
        if analysed is None:
            return {"request": request, "error": GONE}
        if event.network not in list(networks.sources):
            return {"request": request, "error": "the page does not offer it any more"}
        try:
            prediction = analysis.again(networks.get(event.network), analysed).prediction
        except UserError as error:
            return {"request": request, "error": str(error)}
        return viewer.answer_to(request, prediction)

    def point(event: gr.EventData, caller: gr.Request):
        """The answer where a person points at a lesion; what fails is said in words."""
        request, analysed = event.request, kept.get(event.id)
        if analysed is None:
            return {"request": request, "error": GONE}
        try:
            prompts = parse_prompts(event.prompts, *analysed.prediction.probability_u8.shape)
            analysed = analysis.pointed(networks.interactive_model(), analysed, prompts)
        except (UserError, ValueError) as error:
            return {"request": request, "error": str(error)}
        if kept.is_wanted(caller.session_hash, analysed.series):  # else they have left
            kept.put(analysed)
        return viewer.pointed_to(request, analysed)

    current = gr.Textbox(visible=False, elem_id="current")
    with gr.Row(elem_id="one"):
        with gr.Column(scale=1, min_width=260, elem_id="given"):
            upload = named(gr.File(label="Ultrasound image", height=160, elem_id="upload"))
            gallery = gr.Gallery(
                [(example.picture.pixels, example.caption) for example in examples],
                label="Examples",
                columns=2,
                height=450,
                allow_preview=False,
                format="png",
                interactive=False,
                buttons=[],
                elem_id="examples",
            )
            if local:
                sources = dict.fromkeys(e.source for e in local if e.source)
                gr.Markdown("\n\n".join(sources), elem_id="sources")
            truth = named(
                gr.File(label="Ground truth mask (optional)", height=160, elem_id="truth")
            )
        with gr.Column(scale=3, min_width=320):
            view = viewer.build_viewer(upload_id="upload")
    saver = gr.HTML(html_template="", js_on_load=SAVE, elem_id="saver")
    second = gr.HTML(html_template="", js_on_load=SECOND, elem_id="second", visible="hidden")
    pointed = gr.HTML(html_template="", js_on_load=POINTED, elem_id="pointed", visible="hidden")

    scene = [current, view]
    # A result takes a fraction of a second, and errors are told once, not over every output.
    quiet = {"show_progress": "hidden", **PRIVATE}
    follow = [bring_up_to_date, [current, chooser, truth], scene]
    # Whoever chooses again while one is analysed wants the last one.
    again = {"trigger_mode": "multiple", **NETWORK}
    upload.upload(analyse, [upload, chooser], [*scene, truth], **again, **quiet).then(
        *follow, **NETWORK, **quiet
    )
    upload.clear(clear, None, [*scene, truth], **PRIVATE)
    gallery.select(analyse_example, chooser, [*scene, upload, truth], **again, **PRIVATE).then(
        *follow, **NETWORK, **quiet
    )
    # Also where the Hub's network takes over, and whichever of two comes first.
    gr.on([chooser.change, truth.upload, truth.clear], *follow, **NETWORK, **quiet)
    held.follow(upload, "picture")
    held.follow(truth, "truth")
    view.download(download, None, saver, **PRIVATE)
    clip.add(networks, kept, chooser, view, current, truth)
    # Whoever chooses again meanwhile asks again: the viewer takes the answer to its last request.
    view.compare(compare, None, second, trigger_mode="multiple", **NETWORK, **quiet)
    view.point(point, None, pointed, trigger_mode="multiple", **NETWORK, **quiet)


STROKES_SCHEMA = {
    "type": "array",
    "items": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
}
PROMPTS_SCHEMA = {
    "type": "object",
    "properties": {
        "positive": STROKES_SCHEMA | {"description": "Clicks [[x, y]] and strokes on a lesion."},
        "negative": STROKES_SCHEMA | {"description": "Clicks and strokes where there is none."},
        "boxes": {
            "type": "array",
            "items": {"type": "array", "items": {"type": "number"}},
            "description": "Boxes [left, top, right, bottom] around lesions.",
        },
    },
}
"""JSON schema of the prompts that `/segment` takes; see `unet.core.prompts.parse_prompts`."""


def add_endpoint(networks: ModelRegistry) -> None:
    """The named endpoint `/segment`, by components that are not shown."""

    def segment_file(
        path: str, threshold: float | None = None, prompts: dict[str, list] | None = None
    ):
        """Segment a breast ultrasound: mask (PNG, the image's own size, 0 and 255) and findings.

        A research demonstration, not for diagnosis, screening or treatment decisions.

        Args:
            path: The image file: PNG, JPEG, BMP, TIFF, WebP or DICOM.
            threshold: Pixels from this probability on are lesion, 0 to 1; default: the network's.
            prompts: Clicks, strokes and boxes in pixels of the image; see the schema.
        """
        check_threshold(threshold)
        analysed = analysis.analyse(networks.get(networks.default), read(path))
        if prompts is not None:
            analysed = by_prompts(analysed, prompts)
        answer = analysed.segment(threshold)
        found = report.findings_of(analysed.prediction, answer) | {"notice": NOTICE}
        return answer.mask.astype(np.uint8) * 255, found

    def by_prompts(analysed: Analysis, prompts: dict) -> Analysis:
        """The answer of the network that is shown what one points at."""
        try:
            said = parse_prompts(prompts, *analysed.prediction.probability_u8.shape)
            return (
                analysis.pointed(networks.interactive_model(), analysed, said) if said else analysed
            )
        except (UserError, ValueError) as error:
            raise gr.Error(str(error), print_exception=False) from None

    with gr.Row(visible=False):
        file, threshold = named(gr.File(label="image")), threshold_input()
        prompts = gr.JSON(label="prompts")
        prompts.api_info = lambda: PROMPTS_SCHEMA  # Gradio's own says nothing of a JSON value
        mask, found = gr.Image(label="mask", format="png"), gr.JSON(label="findings")
        gr.Button().click(
            segment_file, [file, threshold, prompts], [mask, found], api_name="segment", **NETWORK
        )
