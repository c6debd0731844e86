"""The tab for one image: upload, examples, ground truth, viewer, downloads; and `/segment`."""

from __future__ import annotations

import base64
import secrets
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np

from unet.images.reading import ImageError
from unet.page import analysis, exports, viewer
from unet.page.analysis import Analysed
from unet.page.served import Networks
from unet.page.tabs import HOUR, NETWORK, PRIVATE, check_threshold, read, told

DOWNLOADS = {  # kind: file name, media type, maker
    "mask": ("mask.png", "image/png", exports.mask_png),
    "overlay": ("overlay.png", "image/png", exports.overlay_png),
    "contours": ("contours.json", "application/json", exports.contours_json),
    "json": ("findings.json", "application/json", exports.findings_json),
    "csv": ("findings.csv", "text/csv", exports.findings_csv),
    "report": ("report.pdf", "application/pdf", exports.report_pdf),
}
SAVE = """watch("value", () => {
  if (!props.value) return;
  const bytes = Uint8Array.from(atob(props.value.content), (c) => c.charCodeAt(0));
  const address = URL.createObjectURL(new Blob([bytes], { type: props.value.type }));
  Object.assign(document.createElement("a"), { href: address, download: props.value.name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
});"""


def add(networks: Networks, chooser: gr.Dropdown, local_examples: Path) -> None:
    """Add the tab's components; images in `local_examples` are offered beside the phantoms."""
    examples = analysis.example_images(local_examples)

    def analyse(path: str, network: str):
        picture = read(path)
        last = picture.frames
        frame = gr.Slider(1, max(last, 2), 1, visible=last > 1, label=f"Frame of {last}")
        return *shown(analysis.analyse(networks.get(network), picture)), None, frame

    def analyse_frame(path: str | None, number: float, network: str, before: Analysed | None):
        if path is None:
            return None, None, None
        picture = read(path, int(number) - 1)
        series = before.series if before else None
        return *shown(analysis.analyse(networks.get(network), picture, series=series)), None

    def analyse_example(network: str, event: gr.SelectData):
        example = examples[event.index]
        phantom = example.truth is not None
        analysed = analysis.analyse(
            networks.get(network), example.picture, example.truth, generated=phantom
        )
        return *shown(analysed), None, None, gr.Slider(visible=False)

    def analyse_again(analysed: Analysed | None, network: str):
        if analysed is None:
            return None, None
        return shown(
            analysis.analyse(
                networks.get(network),
                analysed.picture,
                analysed.truth,
                generated=analysed.generated,
            )
        )

    def compare(analysed: Analysed | None, path: str | None):
        if analysed is None:
            if path is not None:
                raise gr.Error("Choose the ultrasound first, then its ground truth.")
            return None, None
        try:
            truth = (
                None if path is None else analysis.read_truth(path, analysed.prediction.p8.shape)
            )
        except ImageError as error:
            raise told(error) from None
        return shown(replace(analysed, id=secrets.token_hex(8), truth=truth))

    def download(analysed: Analysed | None, event: gr.EventData):
        if analysed is None or event.kind not in DOWNLOADS:
            raise gr.Error("There is nothing to download any more. Choose the image again.")
        name, media_type, make = DOWNLOADS[event.kind]
        content = make(analysed, analysed.answer(float(event.threshold)))
        return {"name": name, "type": media_type, "content": base64.b64encode(content).decode()}

    analysed = gr.State(time_to_live=HOUR)
    with gr.Row():
        with gr.Column(scale=1, min_width=260):
            upload = gr.File(label="Ultrasound image", height=160, elem_id="upload")
            frame = gr.Slider(1, 2, 1, step=1, label="Frame", visible=False, elem_id="frame")
            gallery = gr.Gallery(
                [(example.picture.pixels, example.caption) for example in examples],
                label="Examples (generated phantoms)",
                columns=2,
                height=300,
                allow_preview=False,
                format="png",
                interactive=False,
                buttons=[],
                elem_id="examples",
            )
            truth = gr.File(label="Ground truth mask (optional)", height=160, elem_id="truth")
        with gr.Column(scale=3, min_width=320):
            view = viewer.build_viewer(upload_id="upload")
    saver = gr.HTML(html_template="", js_on_load=SAVE, elem_id="saver")

    scene = [analysed, view]
    # A result takes a fraction of a second, and errors are told once, not over every output.
    quiet = {"show_progress": "hidden", **PRIVATE}
    upload.upload(analyse, [upload, chooser], [*scene, truth, frame], **NETWORK, **quiet)
    upload.clear(
        lambda: (None, None, None, gr.Slider(visible=False)),
        None,
        [*scene, truth, frame],
        **PRIVATE,
    )
    frame.input(
        analyse_frame,
        [upload, frame, chooser, analysed],
        [*scene, truth],
        trigger_mode="always_last",
        show_progress="hidden",
        **NETWORK,
        **PRIVATE,
    )
    gallery.select(analyse_example, chooser, [*scene, upload, truth, frame], **NETWORK, **PRIVATE)
    chooser.input(analyse_again, [analysed, chooser], scene, **NETWORK, **PRIVATE)
    truth.upload(compare, [analysed, truth], scene, **quiet)
    truth.clear(compare, [analysed, truth], scene, **PRIVATE)
    view.download(download, analysed, saver, **PRIVATE)


def shown(analysed: Analysed) -> tuple[Analysed, dict]:
    """What is kept on the server, and what the viewer gets, of an analysed image."""
    return analysed, viewer.scene(analysed)


def add_endpoint(networks: Networks) -> None:
    """The named endpoint `/segment`, by components that are not shown."""

    def segment_file(path: str, threshold: float | None = None):
        """Segment a breast ultrasound: mask (PNG, the image's own size, 0 and 255) and findings.

        Args:
            path: The image file: PNG, JPEG, BMP, TIFF, WebP or DICOM.
            threshold: Probability from which a pixel counts as lesion, 0 to 1; the network's own
                if left out.
        """
        check_threshold(threshold)
        analysed = analysis.analyse(networks.get(networks.default), read(path))
        answer = analysed.answer(threshold)
        return answer.mask.astype(np.uint8) * 255, exports.findings_of(analysed.prediction, answer)

    with gr.Row(visible=False):
        file, threshold = gr.File(label="image"), gr.Number(label="threshold")
        mask, found = gr.Image(label="mask", format="png"), gr.JSON(label="findings")
        gr.Button().click(
            segment_file, [file, threshold], [mask, found], api_name="segment", **NETWORK
        )
