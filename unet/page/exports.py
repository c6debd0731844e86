"""What a person takes home: mask, overlay, contours, findings and a one-page report, as bytes.

Everything is made of pixel arrays and numbers alone, so no file carries EXIF, PNG text or any
identity that the uploaded file held.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np
from fpdf import FPDF
from PIL import Image

from unet.images import rendering
from unet.inference import findings
from unet.publishing.card import NOTICE

UNFAMILIAR = (
    "This picture does not look like the breast ultrasounds the network was trained on; "
    "its answer may mean nothing."
)

GATED = {
    "presence": "No lesion found: the network thinks a lesion at all unlikely.",
    "peak": "No lesion found: the network is not sure enough of any place.",
}


@dataclass(frozen=True)
class Result:
    """A segmented image as it is taken home.

    Attributes:
        image: uint8 `(H, W)` or `(H, W, 3)`.
        mask: bool `(H, W)`.
        regions: Its regions, largest first.
        threshold: The threshold the mask was made with, in [0, 1].
        network: Name and version of the network.
        confidence: "low", "medium" or "high"; None where the network gives none, or where its word
            is of another answer than the one at this threshold.
        familiar: Whether it looks like the network's training images; None if unknown.
        presence: How likely there is a lesion at all, in [0, 1]; None if unknown.
        gate: What keeps the network from giving a mask at any threshold, "presence" or "peak";
            None if nothing does.
    """

    image: np.ndarray
    mask: np.ndarray
    regions: list[findings.Region]
    threshold: float
    network: str
    confidence: str | None = None
    familiar: bool | None = None
    presence: float | None = None
    gate: str | None = None


def mask_png(result: Result) -> bytes:
    """The mask as a grey PNG of the image's own size, only 0 and 255."""
    return _png(result.mask.astype(np.uint8) * 255)


def overlay_png(result: Result) -> bytes:
    """The image with the mask laid over it, as PNG."""
    return _png(rendering.overlay(result.image, result.mask))


def contours_json(result: Result) -> bytes:
    """The mask's outlines as JSON: closed polygons `[[x, y], …]` along pixel edges.

    Filled by the even–odd rule they give the mask back exactly; holes run the other way round.
    """
    content = {
        "image_size_px": [result.mask.shape[1], result.mask.shape[0]],
        "threshold": result.threshold,
        "network": result.network,
        "contours": trace_outlines(result.mask),
    }
    return json.dumps(content).encode()


def findings_json(result: Result) -> bytes:
    """The findings as JSON."""
    content = findings_of(result)
    content |= {"threshold": result.threshold, "network": result.network, "notice": NOTICE}
    return json.dumps(content, indent=1).encode()


def findings_of(result: Result) -> dict[str, Any]:
    """The findings as JSON values, with how sure the network is of them."""
    content = findings.to_json(result.regions, result.mask)
    return content | {
        "confidence": result.confidence,
        "lesion_presence": result.presence,
        "closed_gate": result.gate,
        "looks_like_breast_ultrasound": result.familiar,
    }


def findings_csv(result: Result) -> bytes:
    """The regions as CSV, a row each."""
    text = io.StringIO()
    names = ["region"] + [name for name in findings.Region.__dataclass_fields__ if name != "box_px"]
    names += ["box_left_px", "box_top_px", "box_width_px", "box_height_px", "threshold", "network"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for number, region in enumerate(result.regions, start=1):
        row = asdict(region)
        box = dict(zip(names[-6:-2], row.pop("box_px")))
        ends = {"threshold": result.threshold, "network": result.network}
        writer.writerow({"region": number} | row | box | ends)
    return text.getvalue().encode()


def report_pdf(result: Result) -> bytes:
    """A one-page A4 report: the picture, the findings, the network, the notice."""
    pdf = FPDF(format="A4")
    pdf.set_title("Breast ultrasound segmentation")
    pdf.set_auto_page_break(False)
    pdf.add_page()
    pdf.set_font("Helvetica", "B", 17)
    pdf.cell(0, 10, "Breast ultrasound segmentation", new_x="LMARGIN", new_y="NEXT")
    pdf.set_font("Helvetica", "", 10)
    pdf.multi_cell(0, 5, NOTICE, new_x="LMARGIN", new_y="NEXT")
    pdf.ln(3)
    height, width = result.mask.shape
    shown = min(pdf.epw, 120 * width / height)  # at most 120 mm high
    picture = Image.fromarray(rendering.overlay(result.image, result.mask))
    pdf.image(picture, x=pdf.l_margin + (pdf.epw - shown) / 2, w=shown)
    pdf.ln(4)
    pdf.set_font("Helvetica", "B", 12)
    said = GATED[result.gate] if result.gate else findings.sentence(result.regions)
    pdf.cell(0, 7, _plain(said), new_x="LMARGIN", new_y="NEXT")
    pdf.set_font("Helvetica", "", 9)
    if result.regions:
        _region_table(pdf, result.regions[:8])
    pdf.ln(3)
    facts = (
        f"Network: {result.network}. Threshold: {result.threshold:.2f}. Image: {width} x {height} "
        f"pixels. Made on {date.today().isoformat()}."
    )
    if result.confidence:
        facts = f"Confidence: {result.confidence}. {facts}"
    if result.familiar is False:
        facts = f"{UNFAMILIAR} {facts}"
    pdf.multi_cell(0, 5, facts)
    return bytes(pdf.output())


def trace_outlines(mask: np.ndarray) -> list[list[list[int]]]:
    """Closed polygons along the pixel edges of a mask, corners only.

    Args:
        mask: bool `(H, W)`.

    Returns:
        For each outline its corners `[x, y]` in pixels from the image's top left corner, the mask
        on the right-hand side; the first corner is not repeated.
    """
    padded = np.pad(mask, 1)
    # Directed edges between pixel corners (y, x), the mask on their right.
    steps = {
        (0, 1): padded[1:, 1:-1] & ~padded[:-1, 1:-1],  # along the top, rightwards
        (1, 0): padded[1:-1, :-1] & ~padded[1:-1, 1:],  # along the right side, down
        (0, -1): padded[:-1, 1:-1] & ~padded[1:, 1:-1],  # along the bottom, leftwards
        (-1, 0): padded[1:-1, 1:] & ~padded[1:-1, :-1],  # along the left side, up
    }
    leaving: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for (dy, dx), edges in steps.items():
        for y, x in np.argwhere(edges):
            start = (int(y) + (dy < 0), int(x) + (dx < 0))
            leaving[start].append((dy, dx))
    outlines = []
    while leaving:
        start = next(iter(leaving))
        corner, step, outline = start, None, []
        while step is None or corner != start or leaving.get(corner):
            steps_here = leaving.get(corner)
            if not steps_here:
                break
            step_out = _turn(step, steps_here)
            steps_here.remove(step_out)
            if not steps_here:
                del leaving[corner]
            if step_out != step:
                outline.append([corner[1], corner[0]])
            step = step_out
            corner = (corner[0] + step[0], corner[1] + step[1])
        outlines.append(outline)
    return outlines


def _turn(step: tuple[int, int] | None, choices: list[tuple[int, int]]) -> tuple[int, int]:
    """Where two outlines touch at a corner, turn left: regions joined by a corner are one."""
    if step is None or len(choices) == 1:
        return choices[0]
    left = (-step[1], step[0])
    return left if left in choices else choices[0]


def _region_table(pdf: FPDF, regions: list[findings.Region]) -> None:
    millimetres = regions[0].area_mm2 is not None
    unit = "mm" if millimetres else "px"
    heads = (
        "#",
        f"Area ({unit}²)",
        f"Longest ({unit})",
        f"Across ({unit})",
        "Mean",
        "Peak",
        "Share",
    )
    with pdf.table(line_height=5, text_align="RIGHT") as table:
        table.row(heads)
        for number, r in enumerate(regions, start=1):
            sizes = (
                (r.area_mm2, r.longest_mm, r.perpendicular_mm)
                if millimetres
                else (r.area_px, r.longest_px, r.perpendicular_px)
            )
            cells = [str(number), *(f"{size:.1f}" for size in sizes)]
            cells += [f"{r.mean_probability:.2f}", f"{r.peak_probability:.2f}", f"{r.share:.1%}"]
            table.row(cells)


def _plain(text: str) -> str:
    """Text in the PDF's built-in fonts, which know Latin-1 alone."""
    return text.encode("latin-1", "replace").decode("latin-1")


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
