"""The page: drop a breast ultrasound, see the lesion outlined, move the threshold."""

from __future__ import annotations

import base64
import os
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # read when TensorFlow is imported
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
import numpy as np

from unet import Segmenter, exports, findings, viewer
from unet.card import NOTICE
from unet.images import ImageError, read_image
from unet.phantom import SPACING_MM, make_phantom
from unet.postprocessing import quantise, segment

ROOT = Path(__file__).parent
WEIGHTS = Path(os.environ.get("UNET_WEIGHTS", ROOT / "weights" / "unet"))
EXAMPLES = ROOT / "examples"
PHANTOMS = (("benign", 1), ("malignant", 2), ("benign", 5), ("normal", 1))
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
HOUR = 3600
LAUNCH = {
    "run_history": False,  # it would keep patients' images in the browser
    "state_session_capacity": 50,
    "max_file_size": "100mb",
    "footer_links": ["api"],
    "css": ".gradio-container { max-width: 1240px !important; margin: 0 auto; } "
    "#saver { display: none; } "
    "@media (max-width: 640px) { .gradio-container .main { padding: 16px 12px !important; } "
    "#viewer .html-container { padding: 0; } }",
    "theme": gr.themes.Default(
        primary_hue="blue",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ),  # no font from elsewhere
}
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


@dataclass(frozen=True)
class Analysed:
    """An image with its probability, kept on the server while it is looked at.

    Attributes:
        id: Names this analysis.
        image: uint8 `(H, W)` or `(H, W, 3)`.
        p8: uint8 `(H, W)`, the probability times 255.
        seconds: Time the network took.
        spacing_mm: Height and width of a pixel in millimetres, if known.
        truth: bool `(H, W)`, if given.
    """

    id: str
    image: np.ndarray
    p8: np.ndarray
    seconds: float
    spacing_mm: tuple[float, float] | None = None
    truth: np.ndarray | None = None


@dataclass(frozen=True)
class Example:
    """An image the page offers, with what is known of it."""

    image: np.ndarray
    caption: str
    spacing_mm: tuple[float, float] | None = None
    truth: np.ndarray | None = None


def build_page(segmenter: Segmenter) -> gr.Blocks:
    """The page for a network."""
    examples = example_images()

    def analyse(path: str):
        return *shown(_analyse(segmenter, _read(path))), None

    def clear():
        return None, None, None

    def analyse_example(event: gr.SelectData):
        example = examples[event.index]
        analysed = _analyse(segmenter, example.image)
        analysed = replace(analysed, spacing_mm=example.spacing_mm, truth=example.truth)
        return *shown(analysed), None, None

    def compare(analysed: Analysed | None, path: str | None):
        if analysed is None:
            if path is not None:
                raise gr.Error("Choose the ultrasound first, then its ground truth.")
            return None, None
        truth = None if path is None else _read_truth(path, analysed.p8.shape)
        return shown(replace(analysed, truth=truth))

    def shown(analysed: Analysed):
        scene = viewer.scene(
            analysed.id,
            analysed.image,
            analysed.p8,
            segmenter.postprocessing,
            truth=analysed.truth,
            spacing_mm=analysed.spacing_mm,
            seconds=analysed.seconds,
        )
        return analysed, scene

    def download(analysed: Analysed | None, event: gr.EventData):
        if analysed is None or event.kind not in DOWNLOADS:
            raise gr.Error("There is nothing to download any more. Choose the image again.")
        name, media_type, make = DOWNLOADS[event.kind]
        content = make(_result(segmenter, analysed, float(event.threshold)))
        return {"name": name, "type": media_type, "content": base64.b64encode(content).decode()}

    def segment_file(path: str, threshold: float | None = None):
        """Segment a breast ultrasound: mask (PNG, the image's own size, 0 and 255) and findings.

        Args:
            path: The image file: PNG, JPEG, BMP, TIFF or WebP.
            threshold: Probability from which a pixel counts as lesion, 0 to 1; the network's own
                if left out.
        """
        threshold = segmenter.threshold if threshold is None else threshold
        result = _result(segmenter, _analyse(segmenter, _read(path)), threshold)
        return result.mask.astype(np.uint8) * 255, findings.to_json(result.regions, result.mask)

    network = {"concurrency_id": "network", "concurrency_limit": 1}
    private = {"api_visibility": "private"}
    with gr.Blocks(title="Breast ultrasound segmentation", delete_cache=(HOUR, HOUR)) as page:
        analysed = gr.State(time_to_live=HOUR)
        gr.Markdown(f"# Breast ultrasound segmentation\n{NOTICE}")
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                upload = gr.File(
                    label="Ultrasound image",
                    file_types=list(SUFFIXES),
                    height=160,
                    elem_id="upload",
                )
                gallery = gr.Gallery(
                    [(example.image, example.caption) for example in examples],
                    label="Examples (generated phantoms)",
                    columns=2,
                    height=300,
                    allow_preview=False,
                    format="png",
                    interactive=False,
                    buttons=[],
                    elem_id="examples",
                )
                truth = gr.File(
                    label="Ground truth mask (optional)",
                    file_types=list(SUFFIXES),
                    height=160,
                    elem_id="truth",
                )
            with gr.Column(scale=3, min_width=320):
                view = viewer.build_viewer(upload_id="upload")
        saver = gr.HTML(html_template="", js_on_load=SAVE, elem_id="saver")
        upload.upload(analyse, upload, [analysed, view, truth], **network, **private)
        upload.clear(clear, None, [analysed, view, truth], **private)
        gallery.select(analyse_example, None, [analysed, view, upload, truth], **network, **private)
        truth.upload(compare, [analysed, truth], [analysed, view], **private)
        truth.clear(compare, [analysed, truth], [analysed, view], **private)
        view.download(download, analysed, saver, **private)
        _add_segment_endpoint(segment_file, network)
    return page


def _add_segment_endpoint(segment_file, network: dict) -> None:
    """The named endpoint `/segment`, by components that are not shown."""
    with gr.Row(visible=False):
        file, threshold = gr.File(label="image"), gr.Number(label="threshold")
        mask, found = gr.Image(label="mask", format="png"), gr.JSON(label="findings")
        gr.Button().click(
            segment_file, [file, threshold], [mask, found], api_name="segment", **network
        )


def _read(path: str) -> np.ndarray:
    try:
        return read_image(path)
    except ImageError as error:
        raise gr.Error(str(error), duration=None, print_exception=False) from None


def _read_truth(path: str, shape: tuple[int, int]) -> np.ndarray:
    pixels = _read(path)
    mask = (pixels if pixels.ndim == 2 else pixels.max(axis=2)) > 127
    if mask.shape != shape:
        raise gr.Error(
            f"The mask is {mask.shape[1]} × {mask.shape[0]} pixels, the image {shape[1]} × "
            f"{shape[0]}. Choose the mask that belongs to this image."
        )
    return mask


def _analyse(segmenter: Segmenter, image: np.ndarray) -> Analysed:
    started = time.perf_counter()
    p8 = quantise(segmenter.predict(image))
    return Analysed(secrets.token_hex(8), image, p8, time.perf_counter() - started)


def _result(segmenter: Segmenter, analysed: Analysed, threshold: float) -> exports.Result:
    if not 0 <= threshold <= 1:
        raise gr.Error(f"threshold must lie between 0 and 1, got {threshold}.")
    mask = segment(analysed.p8, segmenter.postprocessing, threshold)
    regions = findings.find_regions(mask, analysed.p8, analysed.spacing_mm)
    return exports.Result(analysed.image, mask, regions, threshold, segmenter.name)


def example_images() -> list[Example]:
    """Generated phantoms, then the images in a local `examples/` folder."""
    examples = []
    for kind, seed in PHANTOMS:
        phantom = make_phantom(seed, kind)
        examples.append(Example(phantom.image, kind, (SPACING_MM, SPACING_MM), phantom.mask))
    for path in sorted(EXAMPLES.glob("*")):
        if path.suffix.lower() in SUFFIXES:
            try:
                examples.append(Example(read_image(path), path.stem))
            except ImageError as error:
                print(f"examples/{error}")
    return examples


if __name__ == "__main__":
    build_page(Segmenter.load(WEIGHTS)).launch(**LAUNCH)
