"""The tab for many images: table, overlays, one ZIP; and `/batch`."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import gradio as gr

from unet.page import batch
from unet.page.served import Networks
from unet.page.tabs import BATCH, HOUR, PRIVATE, check_threshold, threshold_input

MAX_SHOWN = 40
"""Overlays shown on the page; the ZIP has all."""
MAX_IMAGES = 200
"""Images in one batch."""


def add(networks: Networks, chooser: gr.Dropdown) -> None:
    """Add the tab's components and the endpoint."""
    folder = tempfile.TemporaryDirectory(prefix="batch-")  # lives as long as the page

    def run(paths: list[str] | None, network: str, progress=gr.Progress()):  # noqa: B008
        _check_count(paths)
        rows, pictures = [], []
        with batch.ZipWriter(_archive(folder)) as archive:
            for item in batch.run(networks.get(network), paths):
                archive.add(item)
                rows.append(batch.display_row(item))
                if item.answer is not None and len(pictures) < MAX_SHOWN:
                    pictures.append((batch.thumbnail(item), str(item.row["file"])))
                progress((len(rows), len(paths)), desc=str(item.row["file"]))
                yield rows, gr.skip(), None
        yield rows, pictures, str(archive.path)

    def segment_files(paths: list[str], threshold: float | None = None):
        """Segment many breast ultrasounds: a row each, and a ZIP of masks, overlays and a table.

        Args:
            paths: Image or DICOM files; one that cannot be read becomes a row that says why.
            threshold: Probability from which a pixel counts as lesion, 0 to 1; the network's own
                if left out.
        """
        check_threshold(threshold)
        _check_count(paths)
        rows = []
        with batch.ZipWriter(_archive(folder)) as archive:
            for item in batch.run(networks.get(networks.default), paths, threshold):
                archive.add(item)
                rows.append(item.row)
        return rows, str(archive.path)

    files = gr.File(label="Ultrasounds", file_count="multiple", height=180, elem_id="batch-files")
    with gr.Row():
        start = gr.Button("Segment all", variant="primary", elem_id="batch-start")
        stop = gr.Button("Cancel", elem_id="batch-cancel")
    archive = gr.File(label="Masks, overlays and results.csv", elem_id="batch-zip")
    table = gr.Dataframe(
        headers=list(batch.DISPLAYED),
        column_widths=["19%", "26%", "9%", "15%", "8%", "7%", "10%", "6%"],
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
        paths = gr.File(label="images", file_count="multiple")
        threshold = threshold_input()
        rows, result = gr.JSON(label="rows"), gr.File(label="archive")
        gr.Button().click(
            segment_files, [paths, threshold], [rows, result], api_name="batch", **BATCH
        )


def _check_count(paths: list[str] | None) -> None:
    if not paths:
        raise gr.Error("Choose some images first.")
    if len(paths) > MAX_IMAGES:
        raise gr.Error(f"At most {MAX_IMAGES} images at a time, not {len(paths)}. Choose fewer.")


def _archive(folder: tempfile.TemporaryDirectory) -> Path:
    """A new place for a ZIP; those older than an hour are removed, Gradio has its own copy."""
    for old in Path(folder.name).iterdir():
        if old.stat().st_mtime < time.time() - HOUR:
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=folder.name)) / "results.zip"
