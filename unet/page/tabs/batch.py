"""The tab for many images: table, overlays, one ZIP; and `/batch`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr
from PIL import Image

from unet.page.exports import zip as zip_export
from unet.page.model_registry import ModelRegistry
from unet.page.tabs import BATCH, PRIVATE, check_threshold, threshold_input
from unet.page.uploads import UploadTracker, named, new_place, remove

MAX_SHOWN = 40
"""Overlays shown on the page; the ZIP has all."""
MAX_IMAGES = 200
"""Images in one batch."""


def add(networks: ModelRegistry, held: UploadTracker, chooser: gr.Dropdown) -> None:
    """Add the tab's components and the endpoint."""

    def run(paths: list[str] | None, network: str, request: gr.Request, progress=gr.Progress()):  # noqa: B008
        _check_count(paths)
        rows, pictures = [], []
        visitor = request.session_hash
        with _archive() as archive, _working_on(visitor, paths):
            place = archive.path.parent
            held.only(visitor, "results", [archive.path])
            for item in zip_export.run(networks.get(network), paths):
                if not place.exists():  # whoever wanted it has left
                    return
                archive.add(item)
                rows.append(zip_export.display_row(item))
                if item.answer is not None and len(pictures) < MAX_SHOWN:
                    overlay = place / f"{len(pictures)}.png"
                    Image.fromarray(zip_export.thumbnail(item)).save(overlay)
                    pictures.append((str(overlay), str(item.row["file"])))
                progress((len(rows), len(paths)), desc=str(item.row["file"]))
                yield rows, gr.skip(), None
        yield rows, pictures, str(archive.path)

    @contextmanager
    def _working_on(visitor: str, paths: list[str]) -> Iterator[None]:
        """Files stay until the batch is through, also where others are chosen meanwhile."""
        held.only(visitor, "batch at work", paths)
        try:
            yield
        finally:
            held.only(visitor, "batch at work", [])

    def segment_files(paths: list[str], threshold: float | None = None):
        """Segment many breast ultrasounds: a row each, and a ZIP of masks, overlays and a table.

        A research demonstration, not for diagnosis, screening or treatment decisions.

        Args:
            paths: Image or DICOM files; one that cannot be read becomes a row that says why.
            threshold: Pixels from this probability on are lesion, 0 to 1; default: the network's.
        """
        check_threshold(threshold)
        _check_count(paths)
        rows = []
        with _archive() as archive:
            for item in zip_export.run(networks.get(networks.default), paths, threshold):
                archive.add(item)
                rows.append(item.row)
        return rows, str(archive.path)

    files = named(
        gr.File(label="Ultrasounds", file_count="multiple", height=180, elem_id="batch-files")
    )
    held.follow(files, "batch")
    gr.Markdown(
        f"At most {MAX_IMAGES} images. Each at the network's own threshold, of a clip its first "
        'frame. "No lesion found" does not rule a lesion out.'
    )
    with gr.Row():
        start = gr.Button("Segment all", variant="primary", elem_id="batch-start")
        stop = gr.Button("Stop", elem_id="batch-cancel")
    archive = gr.File(label="Masks, overlays and results.csv", elem_id="batch-zip")
    table = gr.Dataframe(
        headers=list(zip_export.DISPLAYED),
        column_widths=[200, 260, 90, 170, 90, 90, 170, 100],
        interactive=False,
        wrap=True,
        elem_id="batch-table",
    )
    gallery = gr.Gallery(
        label=f"Overlays (the first {MAX_SHOWN})",
        columns=5,
        height="auto",
        format="png",
        interactive=False,
        buttons=[],
        elem_id="batch-gallery",
    )
    running = start.click(run, [files, chooser], [table, gallery, archive], **BATCH, **PRIVATE)
    stop.click(None, cancels=[running], **PRIVATE)

    with gr.Row(visible=False):
        paths = named(gr.File(label="images", file_count="multiple"))
        schema = files_schema()
        paths.api_info = lambda: schema
        threshold = threshold_input()
        rows, result = gr.JSON(label="rows"), gr.File(label="archive")
        gr.Button().click(
            segment_files, [paths, threshold], [rows, result], api_name="batch", **BATCH
        )


def files_schema() -> dict:
    """JSON schema of a list of files, each written out: a client of MCP follows no reference."""
    one = dict(gr.File(render=False).api_info())
    return {"type": "array", "$defs": one.pop("$defs"), "items": one}


def _check_count(paths: list[str] | None) -> None:
    if not paths:
        raise gr.Error("Choose some images first.")
    if len(paths) > MAX_IMAGES:
        raise gr.Error(f"At most {MAX_IMAGES} images at a time, not {len(paths)}. Choose fewer.")


@contextmanager
def _archive() -> Iterator[zip_export.ZipWriter]:
    """A ZIP in a place of its own; what is not finished is removed."""
    path = new_place() / "results.zip"
    try:
        with zip_export.ZipWriter(path) as archive:
            yield archive
    except BaseException:  # a cancelled batch ends so, too
        remove(path)
        raise
