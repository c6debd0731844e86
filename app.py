"""The page: upload a breast ultrasound, see the lesion outlined, move the threshold."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # read when TensorFlow is imported
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
import numpy as np

from unet import Segmenter, findings, rendering
from unet.card import NOTICE
from unet.images import ImageError, read_image
from unet.phantom import make_phantom
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
}


@dataclass(frozen=True)
class Analysed:
    """An image `(H, W[, 3])` and its probability `(H, W)`, both uint8, while it is looked at."""

    image: np.ndarray
    p8: np.ndarray


def build_page(segmenter: Segmenter) -> gr.Blocks:
    """The page for a network."""

    def analyse(path: str | None, threshold: float):
        if path is None:
            return None, None, None, ""
        return show(_analysed(segmenter, _read(path)), threshold)

    def analyse_example(threshold: float, event: gr.SelectData):
        return show(_analysed(segmenter, examples[event.index][0]), threshold)

    def repaint(analysed: Analysed | None, threshold: float):
        return (None, None, "") if analysed is None else show(analysed, threshold)[1:]

    def show(analysed: Analysed, threshold: float):
        mask, regions = _findings(segmenter, analysed, threshold)
        picture = rendering.overlay(analysed.image, mask)
        return analysed, picture, _png(mask), findings.sentence(regions)

    def segment_file(path: str, threshold: float | None = None):
        """Segment a breast ultrasound: mask (PNG, the image's own size, 0 and 255) and findings.

        Args:
            path: The image file: PNG, JPEG, BMP, TIFF or WebP.
            threshold: Probability from which a pixel counts as lesion, 0 to 1; the network's own
                if left out.
        """
        threshold = segmenter.threshold if threshold is None else threshold
        if not 0 <= threshold <= 1:
            raise gr.Error(f"threshold must lie between 0 and 1, got {threshold}.")
        mask, regions = _findings(segmenter, _analysed(segmenter, _read(path)), threshold)
        return _png(mask), findings.to_json(regions, mask)

    examples = example_images()
    network = {"concurrency_id": "network", "concurrency_limit": 1}
    with gr.Blocks(title="Breast ultrasound segmentation", delete_cache=(HOUR, HOUR)) as page:
        analysed = gr.State(time_to_live=HOUR)
        gr.Markdown(f"# Breast ultrasound segmentation\n{NOTICE}")
        with gr.Row():
            with gr.Column(scale=2):
                upload = gr.File(
                    label="Ultrasound image (PNG, JPEG, BMP, TIFF, WebP)",
                    file_types=list(SUFFIXES),
                    height=140,
                )
                threshold = gr.Slider(
                    0, 1, segmenter.threshold, step=0.01, label="Threshold", elem_id="threshold",
                    info="A pixel counts as lesion from this probability on.",
                )  # fmt: skip
                gallery = gr.Gallery(
                    examples, label="Examples", columns=4, height="auto", allow_preview=False,
                    format="png", interactive=False, elem_id="examples",
                )  # fmt: skip
            with gr.Column(scale=3):
                picture = gr.Image(
                    label="Overlay", format="png", interactive=False, elem_id="overlay"
                )
                sentence = gr.Textbox(label="Findings", interactive=False, elem_id="findings")
                mask = gr.Image(label="Mask", format="png", interactive=False, elem_id="mask")
        shown = [analysed, picture, mask, sentence]
        private = {"api_visibility": "private"}
        upload.change(analyse, [upload, threshold], shown, **network, **private)
        gallery.select(analyse_example, threshold, shown, **network, **private)
        threshold.input(
            repaint, [analysed, threshold], shown[1:],
            trigger_mode="always_last", show_progress="hidden", **private,
        )  # fmt: skip

        with gr.Row(visible=False):  # the named endpoint's inputs and outputs
            file_in, threshold_in = gr.File(label="image"), gr.Number(label="threshold")
            mask_out = gr.Image(label="mask", format="png")
            json_out = gr.JSON(label="findings")
            gr.Button().click(
                segment_file, [file_in, threshold_in], [mask_out, json_out],
                api_name="segment", **network,
            )  # fmt: skip
    return page


def _read(path: str) -> np.ndarray:
    try:
        return read_image(path)
    except ImageError as error:
        raise gr.Error(str(error), duration=None, print_exception=False) from None


def _analysed(segmenter: Segmenter, image: np.ndarray) -> Analysed:
    return Analysed(image, quantise(segmenter.predict(image)))


def _findings(segmenter: Segmenter, analysed: Analysed, threshold: float):
    mask = segment(analysed.p8, segmenter.postprocessing, threshold)
    return mask, findings.find_regions(mask, analysed.p8)


def _png(mask: np.ndarray) -> np.ndarray:
    return mask.astype(np.uint8) * 255


def example_images() -> list[tuple[np.ndarray, str]]:
    """Generated phantoms, then the images in a local `examples/` folder."""
    examples = [(make_phantom(seed, kind).image, f"phantom, {kind}") for kind, seed in PHANTOMS]
    for path in sorted(EXAMPLES.glob("*")):
        if path.suffix.lower() in SUFFIXES:
            try:
                examples.append((read_image(path), path.stem))
            except ImageError as error:
                print(f"examples/{error}")
    return examples


if __name__ == "__main__":
    build_page(Segmenter.load(WEIGHTS)).launch(**LAUNCH)
