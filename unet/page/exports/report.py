"""Downloads as bytes: mask, overlay, contours, findings and a one-page PDF report.

Everything is made of pixel arrays and numbers alone, so no file carries EXIF, PNG text or any
identity that the uploaded file held.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from unet.core import regions as core_regions
from unet.core import rendering
from unet.core.mask import EIGHT_NEIGHBOURS
from unet.inference.prediction import Prediction, Segmentation
from unet.page.analysis import Analysis
from unet.publishing.card import NOTICE

if TYPE_CHECKING:
    from fpdf import FPDF

UNFAMILIAR = (
    "This picture does not look like the breast ultrasounds the network was trained on; "
    "its answer may mean nothing."
)

MAX_REGIONS = 1000
"""Regions of a mask by hand: nobody draws so many, and each is measured."""
MAX_LISTED = 8
"""Regions that the report lists, the largest."""
NOTHING = {
    "presence": "No lesion found: the network's estimate that there is one is too low. "
    "This does not rule one out.",
    "peak": "No lesion found: the network is not sure enough of any place. "
    "This does not rule one out.",
    "hand": "No lesion is marked: all was erased by hand.",
}
"""Sentences for a missing mask by its reason."""
POINTED_AT = "A person pointed at a place, which the network then outlines, lesion or not."
BY_HAND = "The mask was edited by hand."
CALIBRATED = "Millimetres were calibrated by hand."
UNSURE = "Unsure: no lesion is marked, but the map shows a place to look at."


def mask_png(analysed: Analysis, answer: Segmentation) -> bytes:
    """The mask as a grey PNG of the image's own size, only 0 and 255."""
    return png(answer.mask.astype(np.uint8) * 255)


def overlay_png(analysed: Analysis, answer: Segmentation) -> bytes:
    """The image with the mask laid over it, as PNG."""
    return png(rendering.overlay(analysed.picture.pixels, answer.mask))


def contours_json(analysed: Analysis, answer: Segmentation) -> bytes:
    """The mask's outlines as JSON: closed polygons `[[x, y], …]` along pixel edges.

    Filled by the even–odd rule they give the mask back exactly; holes run the other way round.
    """
    content = {
        "image_size_px": [answer.mask.shape[1], answer.mask.shape[0]],
        "contours": trace_outlines(answer.mask),
    }
    return json.dumps(content | made_by(analysed.prediction, answer)).encode()


def findings_json(analysed: Analysis, answer: Segmentation) -> bytes:
    """The findings as JSON."""
    pointed_at = {"prompts": analysed.prompts and analysed.prompts.to_json()}
    content = findings_of(analysed.prediction, answer) | pointed_at | {"notice": NOTICE}
    return json.dumps(content, indent=1).encode()


def findings_of(prediction: Prediction, answer: Segmentation) -> dict[str, Any]:
    """The findings as JSON values, with how sure the network is of them and which it was."""
    return (
        core_regions.to_json(answer.regions, answer.mask)
        | by_hand(answer)
        | {
            "confidence": answer.confidence,
            "reason_for_no_mask": answer.reason,
            **_to_look_at(answer),
            "lesion_presence": prediction.presence,
            "looks_like_breast_ultrasound": prediction.familiar,
        }
        | made_by(prediction, answer)
    )


def _to_look_at(answer: Segmentation) -> dict[str, Any]:
    regions = [asdict(one) | {"box_px": list(one.box_px)} for one in answer.withheld_regions]
    return {"unsure": answer.unsure, "regions_to_look_at": regions}


def by_hand(answer: Segmentation) -> dict[str, Any]:
    """Manual edits as JSON values, with the network's own answer beside."""
    own, compared = answer.network_answer, None
    if own is not None:
        both = int(answer.mask.sum()) + int(own.mask.sum())
        compared = core_regions.to_json(own.regions, own.mask) | {
            "confidence": own.confidence,
            **_to_look_at(own),
            "dice_with_edited": 2 * int((answer.mask & own.mask).sum()) / both if both else 1.0,
        }
    return {
        "edited_by_hand": own is not None,
        "network_answer": compared,
        "millimetres_calibrated_by_hand": answer.calibrated,
        "pixel_spacing_mm": answer.spacing_mm and list(answer.spacing_mm),
    }


def made_by(prediction: Prediction, answer: Segmentation) -> dict[str, Any]:
    """Threshold and network as JSON values: `name`, `sha256` and `revision`."""
    return {"threshold": answer.threshold, "network": asdict(prediction.network)}


def findings_csv(analysed: Analysis, answer: Segmentation) -> bytes:
    """The regions as CSV, a row each."""
    network = analysed.prediction.network
    ends = {
        "threshold": answer.threshold, "network": network.name, "sha256": network.sha256,
        "pointed_at": analysed.prompts is not None,
        "edited_by_hand": answer.network_answer is not None,
        "millimetres_calibrated_by_hand": answer.calibrated,
    }  # fmt: skip
    boxes = ("box_left_px", "box_top_px", "box_width_px", "box_height_px")
    names = ["region"] + [
        name for name in core_regions.Region.__dataclass_fields__ if name != "box_px"
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*names, *boxes, *ends], lineterminator="\n")
    writer.writeheader()
    for number, region in enumerate(answer.regions, start=1):
        row = asdict(region)
        box = dict(zip(boxes, row.pop("box_px")))
        writer.writerow({"region": number} | row | box | ends)
    return text.getvalue().encode()


def report_pdf(analysed: Analysis, answer: Segmentation) -> bytes:
    """A one-page A4 report: the picture, the findings, the network, the notice."""
    from fpdf import FPDF  # a fifth of a second that the page starts earlier

    pdf = FPDF(format="A4")
    pdf.set_title("Breast ultrasound segmentation")
    pdf.set_auto_page_break(False)
    pdf.add_page()
    pdf.set_font("Helvetica", "B", 17)
    pdf.cell(0, 10, "Breast ultrasound segmentation", new_x="LMARGIN", new_y="NEXT")
    pdf.set_font("Helvetica", "", 10)
    pdf.multi_cell(0, 5, NOTICE, new_x="LMARGIN", new_y="NEXT")
    pdf.ln(3)
    height, width = answer.mask.shape
    shown = min(pdf.epw, 120 * width / height)  # at most 120 mm high
    picture = Image.fromarray(rendering.overlay(analysed.picture.pixels, answer.mask))
    pdf.image(picture, x=pdf.l_margin + (pdf.epw - shown) / 2, w=shown)
    pdf.ln(4)
    pdf.set_font("Helvetica", "B", 12)
    pdf.multi_cell(0, 6, _plain(said(answer)), new_x="LMARGIN", new_y="NEXT")
    pdf.set_font("Helvetica", "", 9)
    if answer.regions:
        _region_table(pdf, answer.regions[:MAX_LISTED])
        if (count := len(answer.regions)) > MAX_LISTED:
            words = f"The {MAX_LISTED} largest of {count} regions; findings.csv has all."
            pdf.cell(0, 5, words, new_x="LMARGIN", new_y="NEXT")
    pdf.ln(3)
    network = analysed.prediction.network
    facts = (
        f"Network: {network}. Threshold: {answer.threshold:.2f}. Image: {width} x {height} "
        f"pixels. Made on {date.today().isoformat()}."
    )
    if answer.calibrated:
        facts = f"{CALIBRATED} {facts}"
    if analysed.prompts:
        facts = f"{POINTED_AT} {facts}"
    if answer.network_answer is not None:
        facts = f"{BY_HAND} The network's own answer: {said(answer.network_answer)} {facts}"
    if answer.confidence:
        facts = f"Confidence: {answer.confidence}. {facts}"
    if analysed.prediction.familiar is False:
        facts = f"{UNFAMILIAR} {facts}"
    pdf.multi_cell(0, 5, _plain(facts))
    return bytes(pdf.output())


def said(answer: Segmentation) -> str:
    """An answer in one sentence: what was found, why nothing was, or that it is unsure."""
    if answer.unsure:
        left, top, width, height = answer.withheld_regions[0].box_px
        where = f"x {left} to {left + width}, y {top} to {top + height} (pixels)"
        return f"{UNSURE.removesuffix('.')}: {where}."
    return NOTHING.get(answer.reason) or core_regions.sentence(answer.regions)


def spacing_of(lengths: Any) -> tuple[float, float] | None:
    """Height and width of a pixel in millimetres as a browser sent them; None for none.

    Raises:
        ValueError: They are no such lengths.
    """
    if lengths is None:
        return None
    height, width = map(float, lengths)
    if not (0 < height < 100 and 0 < width < 100):
        raise ValueError(f"a pixel of {height} × {width} mm")
    return height, width


def mask_of_runs(runs: Any, shape: tuple[int, int]) -> np.ndarray | None:
    """The mask in lengths of runs, row after row: as many pixels without, with, without…

    Args:
        runs: What a browser sent; None for no mask.
        shape: Height and width in pixels.

    Returns:
        bool `(H, W)`, or None.

    Raises:
        ValueError: They are no such runs, of another size, or of more regions than `MAX_REGIONS`.
    """
    if runs is None:
        return None
    height, width = shape
    whole = isinstance(runs, list) and all(type(n) is int and n >= 0 for n in runs)
    if not whole or sum(runs) != height * width:
        raise ValueError(f"expected runs that fill {width} × {height} pixels")
    mask = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(shape)
    if len(runs) > 2 * MAX_REGIONS:  # fewer runs hold no more regions
        from scipy import ndimage  # here: it takes a third of a second, and the page starts without

        if (count := ndimage.label(mask, EIGHT_NEIGHBOURS)[1]) > MAX_REGIONS:
            raise ValueError(f"expected at most {MAX_REGIONS} regions, got {count}")
    return mask


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
    """Turn left where two outlines touch at a corner: 8-connected regions are one."""
    if step is None or len(choices) == 1:
        return choices[0]
    left = (-step[1], step[0])
    return left if left in choices else choices[0]


def _region_table(pdf: FPDF, regions: list[core_regions.Region]) -> None:
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


def png(pixels: np.ndarray) -> bytes:
    """Pixels as a PNG file that holds nothing else."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
