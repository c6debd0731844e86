"""The tab for many images: table, overlays, one ZIP; and `/batch`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import gradio as gr
import numpy as np

from unet import batch, rendering
from unet.networks import Networks
from unet.tabs import NETWORK, PRIVATE, check_threshold

GALLERY = 40
"""Overlays shown on the page; the ZIP has all."""


def add(networks: Networks, chooser: gr.Dropdown) -> None:
    """Add the tab's components and the endpoint."""
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
        check_threshold(threshold)
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
