"""The page: drop a breast ultrasound, see the lesion outlined, move the threshold."""

from __future__ import annotations

import base64
import os
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # read when TensorFlow is imported
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
import numpy as np

from unet import about, analysis, batch, exports, findings, rendering, viewer
from unet.analysis import Analysed
from unet.card import NOTICE
from unet.images import ImageError, Picture, read_picture
from unet.networks import Networks

ROOT = Path(__file__).parent
EXAMPLES = ROOT / "examples"
HOUR = 3600
GALLERY = 40
"""Overlays of a batch shown on the page; the ZIP has all."""
THEME = gr.themes.Default(  # fonts of the system: the page asks no other host for one
    primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
)
STYLE = """<style>
.gradio-container { max-width: 1240px !important; margin: 0 auto; }
#saver { display: none; }
#batch-gallery .grid-wrap, #figures .grid-wrap { max-height: none; min-height: 0; height: auto; }
@media (max-width: 640px) {
  .gradio-container .main { padding: 16px 12px !important; }
  #viewer .html-container { padding: 0; }
  .gradio-container .tabitem { padding: 10px 0 !important; }
}
</style>"""
LAUNCH = {
    "run_history": False,  # it would keep patients' images in the browser
    "state_session_capacity": 50,
    "max_file_size": "100mb",
    "footer_links": ["api"],
    "mcp_server": True,
    "theme": THEME,
    "head": STYLE,  # Gradio confines `css` to the inside of the page's margins
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
NETWORK = {"concurrency_id": "network", "concurrency_limit": 1}
PRIVATE = {"api_visibility": "private"}


def build_page(networks: Networks) -> gr.Blocks:
    """The page for some networks."""
    networks.get(networks.default)  # loaded and warm before the first visitor
    with gr.Blocks(title="Breast ultrasound segmentation", delete_cache=(HOUR, HOUR)) as page:
        gr.Markdown(f"# Breast ultrasound segmentation\n{NOTICE}")
        chooser = gr.Dropdown(
            [(about.label(source.folder), name) for name, source in networks.sources.items()],
            value=networks.default,
            label="Network",
            elem_id="network",
        )
        status = gr.Markdown(elem_id="status")
        page.load(networks.status, chooser, status, show_progress="hidden", **PRIVATE)
        chooser.change(networks.status, chooser, status, show_progress="hidden", **PRIVATE)
        if os.environ.get("UNET_REPO"):
            _follow_hub(networks, chooser, status)
        with gr.Tab("One image"):
            _add_viewer(networks, chooser)
        with gr.Tab("Many images"):
            _add_batch(networks, chooser)
        with gr.Tab("About this network"):
            _add_about(networks, chooser)
        _add_segment_endpoint(networks)
    return page


def _follow_hub(networks: Networks, chooser: gr.Dropdown, status: gr.Markdown) -> None:
    """Keep the chooser and the status line at what has arrived from the Hub."""

    def refresh(shown: str, seen: str):
        known = ",".join(f"{name}@{source.revision}" for name, source in networks.sources.items())
        if known == seen:
            return gr.skip(), networks.status(shown), seen
        return _choices(networks), networks.status(networks.default), known

    seen = gr.State("")
    timer = gr.Timer(3)
    timer.tick(refresh, [chooser, seen], [chooser, status, seen], show_progress="hidden", **PRIVATE)


def _choices(networks: Networks) -> gr.Dropdown:
    choices = [(about.label(s.folder), name) for name, s in networks.sources.items()]
    return gr.Dropdown(choices, value=networks.default)


def _add_viewer(networks: Networks, chooser: gr.Dropdown) -> None:
    examples = analysis.example_images(EXAMPLES)

    def analyse(path: str, network: str):
        picture = _read(path)
        last = picture.frames
        frame = gr.Slider(1, max(last, 2), 1, visible=last > 1, label=f"Frame of {last}")
        return *shown(analysis.analyse(networks.get(network), picture)), None, frame

    def analyse_frame(path: str | None, number: float, network: str):
        if path is None:
            return None, None
        return shown(analysis.analyse(networks.get(network), _read(path, int(number) - 1)))

    def analyse_example(network: str, event: gr.SelectData):
        example = examples[event.index]
        analysed = analysis.analyse(networks.get(network), example.picture, example.truth)
        return *shown(analysed), None, None, gr.Slider(visible=False)

    def analyse_again(analysed: Analysed | None, network: str):
        if analysed is None:
            return None, None
        return shown(analysis.analyse(networks.get(network), analysed.picture, analysed.truth))

    def compare(analysed: Analysed | None, path: str | None):
        if analysed is None:
            if path is not None:
                raise gr.Error("Choose the ultrasound first, then its ground truth.")
            return None, None
        try:
            truth = None if path is None else analysis.read_truth(path, analysed.p8.shape)
        except ImageError as error:
            raise _told(error) from None
        return shown(replace(analysed, truth=truth))

    def download(analysed: Analysed | None, event: gr.EventData):
        if analysed is None or event.kind not in DOWNLOADS:
            raise gr.Error("There is nothing to download any more. Choose the image again.")
        name, media_type, make = DOWNLOADS[event.kind]
        content = make(analysis.result_at(analysed, float(event.threshold)))
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
    upload.upload(analyse, [upload, chooser], [*scene, truth, frame], **NETWORK, **PRIVATE)
    upload.clear(
        lambda: (None, None, None, gr.Slider(visible=False)),
        None,
        [*scene, truth, frame],
        **PRIVATE,
    )
    frame.input(
        analyse_frame,
        [upload, frame, chooser],
        scene,
        trigger_mode="always_last",
        show_progress="hidden",
        **NETWORK,
        **PRIVATE,
    )
    gallery.select(analyse_example, chooser, [*scene, upload, truth, frame], **NETWORK, **PRIVATE)
    chooser.input(analyse_again, [analysed, chooser], scene, **NETWORK, **PRIVATE)
    truth.upload(compare, [analysed, truth], scene, **PRIVATE)
    truth.clear(compare, [analysed, truth], scene, **PRIVATE)
    view.download(download, analysed, saver, **PRIVATE)


def shown(analysed: Analysed) -> tuple[Analysed, dict]:
    """What is kept on the server, and what the viewer gets, of an analysed image."""
    return analysed, viewer.scene(
        analysed.id,
        analysed.picture.pixels,
        analysed.p8,
        analysed.rules,
        truth=analysed.truth,
        spacing_mm=analysed.picture.spacing_mm,
        seconds=analysed.seconds,
    )


def _add_batch(networks: Networks, chooser: gr.Dropdown) -> None:
    folder = tempfile.TemporaryDirectory(prefix="batch-")  # lives as long as the page

    def run(paths: list[str] | None, network: str, progress=gr.Progress()):  # noqa: B008
        if not paths:
            raise gr.Error("Choose some images first.")
        items: list[batch.BatchItem] = []
        for item in batch.run(networks.get(network), paths):
            items.append(item)
            progress((len(items), len(paths)), desc=str(item.row["file"]))
            yield _table(items), _overlays(items), None
        yield _table(items), _overlays(items), zipped(items)

    def zipped(items: list[batch.BatchItem]) -> str:
        archive = Path(tempfile.mkdtemp(dir=folder.name)) / "results.zip"
        return str(batch.write_zip(items, archive))

    def segment_files(paths: list[str], threshold: float | None = None):
        """Segment many breast ultrasounds: a row each, and a ZIP of masks, overlays and a table.

        Args:
            paths: Image or DICOM files; one that cannot be read becomes a row that says why.
            threshold: Probability from which a pixel counts as lesion, 0 to 1; the network's own
                if left out.
        """
        _check_threshold(threshold)
        items = list(batch.run(networks.get(networks.default), paths or [], threshold))
        return [item.row for item in items], zipped(items)

    files = gr.File(label="Ultrasounds", file_count="multiple", height=180, elem_id="batch-files")
    with gr.Row():
        start = gr.Button("Segment all", variant="primary", elem_id="batch-start")
        stop = gr.Button("Cancel", elem_id="batch-cancel")
    archive = gr.File(label="Masks, overlays and results.csv", elem_id="batch-zip")
    table = gr.Dataframe(
        headers=list(batch.DISPLAYED),
        column_widths=["20%", "32%", "9%", "17%", "8%", "7%", "7%"],
        interactive=False,
        wrap=True,
        elem_id="batch-table",
    )
    gallery = gr.Gallery(
        label=f"Overlays (the first {GALLERY})",
        columns=5,
        height="auto",
        format="png",
        interactive=False,
        buttons=[],
        elem_id="batch-gallery",
    )
    running = start.click(run, [files, chooser], [table, gallery, archive], **NETWORK, **PRIVATE)
    stop.click(None, cancels=[running], **PRIVATE)

    with gr.Row(visible=False):
        paths = gr.File(label="images", file_count="multiple")
        threshold = gr.Number(label="threshold")
        rows, result = gr.JSON(label="rows"), gr.File(label="archive")
        gr.Button().click(
            segment_files, [paths, threshold], [rows, result], api_name="batch", **NETWORK
        )


def _table(items: list[batch.BatchItem]) -> list[list]:
    return [batch.display_row(item) for item in items]


def _overlays(items: list[batch.BatchItem]) -> list[tuple[np.ndarray, str]]:
    read = [item for item in items if item.result is not None][:GALLERY]
    return [
        (rendering.overlay(item.result.image, item.result.mask), str(item.row["file"]))
        for item in read
    ]


def _add_about(networks: Networks, chooser: gr.Dropdown) -> None:
    def describe(name: str):
        folder = networks.sources[name].folder
        return about.text(folder), about.figures(folder), about.worst_cases(folder)

    def how_to_call(request: gr.Request):
        return about.api(str(request.request.base_url))

    text, figures, worst = describe(networks.default)
    card = gr.Markdown(text, elem_id="card")
    gallery = gr.Gallery(
        figures, label="Figures", columns=1, interactive=False, buttons=[], elem_id="figures"
    )
    table = gr.Dataframe(
        worst,
        headers=["case", "class", "Dice", "recall", "precision"],
        label="The worst test cases",
        interactive=False,
    )
    gr.Markdown(about.data_faults())
    calls = gr.Markdown()
    chooser.input(describe, chooser, [card, gallery, table], **PRIVATE)
    gr.on(None, how_to_call, None, calls, **PRIVATE)


def _add_segment_endpoint(networks: Networks) -> None:
    """The named endpoint `/segment`, by components that are not shown."""

    def segment_file(path: str, threshold: float | None = None):
        """Segment a breast ultrasound: mask (PNG, the image's own size, 0 and 255) and findings.

        Args:
            path: The image file: PNG, JPEG, BMP, TIFF, WebP or DICOM.
            threshold: Probability from which a pixel counts as lesion, 0 to 1; the network's own
                if left out.
        """
        _check_threshold(threshold)
        analysed = analysis.analyse(networks.get(networks.default), _read(path))
        result = analysis.result_at(analysed, threshold)
        return result.mask.astype(np.uint8) * 255, findings.to_json(result.regions, result.mask)

    with gr.Row(visible=False):
        file, threshold = gr.File(label="image"), gr.Number(label="threshold")
        mask, found = gr.Image(label="mask", format="png"), gr.JSON(label="findings")
        gr.Button().click(
            segment_file, [file, threshold], [mask, found], api_name="segment", **NETWORK
        )


def _check_threshold(threshold: float | None) -> None:
    if threshold is not None and not 0 <= threshold <= 1:
        raise gr.Error(f"threshold must lie between 0 and 1, got {threshold}.")


def _read(path: str | None, frame: int = 0) -> Picture:
    if path is None:
        raise gr.Error("Choose an image file first.")
    try:
        return read_picture(path, frame)
    except ImageError as error:
        raise _told(error) from None


def _told(error: ImageError) -> gr.Error:
    return gr.Error(str(error), duration=None, print_exception=False)


def networks_here() -> Networks:
    """The bundle in UNET_WEIGHTS, or those in `weights/`."""
    chosen = os.environ.get("UNET_WEIGHTS")
    if chosen:
        return Networks([Path(chosen)])
    return Networks([path.parent for path in sorted((ROOT / "weights").glob("*/unet.json"))])


if __name__ == "__main__":
    here = networks_here()
    if os.environ.get("UNET_REPO"):
        here.follow_hub(os.environ["UNET_REPO"], os.environ.get("UNET_REVISION"))
    build_page(here).launch(**LAUNCH)
