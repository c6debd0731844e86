"""Many images in one go: a row each, and a ZIP with masks, overlays and a table."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from unet.core import regions as core_regions
from unet.core import rendering
from unet.inference.prediction import Segmentation
from unet.io.images import ImageError, read_picture
from unet.page import metrics
from unet.page.analysis import Analysis, analyse
from unet.page.exports import report
from unet.page.uploads import name_of

if TYPE_CHECKING:
    from unet.inference.segmenter import Segmenter

COLUMNS = (
    "file", "result", "regions", "area_px", "longest_px", "area_mm2", "longest_mm", "share",
    "peak_probability", "confidence", "looks_like_breast_ultrasound", "milliseconds",
)  # fmt: skip
MAX_NAME = 100
"""Characters of a name in the ZIP; what unpacks it may know no more than 255 bytes of a path."""
DEVICES = {
    "CON",
    "PRN",
    "AUX",
    "NUL",
    *(f"{port}{n}" for port in ("COM", "LPT") for n in range(10)),
}
"""Names that are no files on Windows."""
DISPLAYED = ("File", "Result", "Regions", "Largest", "Share", "Peak", "Confidence", "ms")


@dataclass(frozen=True)
class BatchItem:
    """One file of a batch.

    Attributes:
        row: Values by `COLUMNS`; "result" says why where a file could not be read.
        analysed: The image and what the network says of it; None where it could not be read.
        answer: Mask and findings; None where it could not be read.
    """

    row: dict[str, object]
    analysed: Analysis | None = None
    answer: Segmentation | None = None


def run(
    segmenter: Segmenter, paths: list[str], threshold: float | None = None
) -> Iterator[BatchItem]:
    """Segment files one after the other; one that cannot be read becomes a row that says why.

    Args:
        segmenter: The network.
        paths: Image or DICOM files; of a clip the first frame is taken.
        threshold: In [0, 1]; the network's own if None.
    """
    for path in paths:
        name = name_of(path)
        try:
            with metrics.step("read"):
                picture = read_picture(path)
        except ImageError as error:
            metrics.count_error(type(error).__name__)
            yield BatchItem({"file": name, "result": f"not read: {error.reason}"})
            continue
        analysed = analyse(segmenter, picture)
        answer = analysed.segment(threshold)
        prediction = analysed.prediction
        row: dict[str, object] = {
            "file": name,
            "result": result_of(answer),
            "regions": len(answer.regions),
            "peak_probability": round(prediction.peak, 3),
            "confidence": answer.confidence,
            "looks_like_breast_ultrasound": prediction.familiar,
            "milliseconds": round(analysed.seconds * 1000),
        }
        if answer.regions:
            largest = answer.regions[0]
            for field in ("area_px", "longest_px", "area_mm2", "longest_mm", "share"):
                value = getattr(largest, field)
                row[field] = value if value is None else round(value, 4)
        yield BatchItem(row, analysed, answer)


def result_of(answer: Segmentation) -> str:
    """The answer in words: something marked, nothing, or neither."""
    if answer.regions:
        return "region marked"
    return "unsure: look at it in One image" if answer.unsure else "no lesion found"


def display_row(item: BatchItem) -> list[str]:
    """A row as people read it, by `DISPLAYED`."""
    row = item.row
    if item.answer is None:
        return [str(row["file"]), str(row["result"]), "", "", "", "", "", ""]
    largest, share = "", ""
    if item.answer.regions:
        region = item.answer.regions[0]
        largest, share = core_regions.size(region), f"{region.share:.1%}"
    peak = f"{row['peak_probability']:.2f}"
    sure = row["confidence"] or ""
    if row["looks_like_breast_ultrasound"] is False:
        sure = "low: unfamiliar"
    cells = (row["file"], row["result"], row["regions"], largest, share, peak, sure)
    return [str(cell) for cell in (*cells, row["milliseconds"])]


def thumbnail(item: BatchItem, side: int = 320) -> np.ndarray:
    """The overlay made small: uint8 `(h, w, 3)`, at most `side` pixels each way."""
    picture = Image.fromarray(rendering.overlay(item.analysed.picture.pixels, item.answer.mask))
    picture.thumbnail((side, side))
    return np.asarray(picture)


class ZipWriter:
    """Writes masks, overlays and `results.csv` as results come; files of one name are numbered."""

    def __init__(self, path: Path):
        self.path = path
        self._used: set[str] = set()
        self._text = io.StringIO()
        self._table = csv.DictWriter(self._text, ["output", *COLUMNS], lineterminator="\n")
        self._table.writeheader()

    def __enter__(self) -> ZipWriter:
        self._archive = zipfile.ZipFile(self.path, "w", zipfile.ZIP_STORED)
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.writestr("results.csv", self._text.getvalue().encode(errors="replace"))
        self._archive.close()

    def add(self, item: BatchItem) -> None:
        """Write what is known of one file."""
        stem = ""
        if item.answer is not None:
            made = (item.analysed, item.answer)
            stem = _unused(entry_name(Path(str(item.row["file"])).stem), self._used)
            self._archive.writestr(f"masks/{stem}.png", report.mask_png(*made))
            self._archive.writestr(f"overlays/{stem}.png", report.overlay_png(*made))
        self._table.writerow({"output": stem} | item.row)


def entry_name(stem: str) -> str:
    """A file's name as one in a ZIP that every system unpacks where it is told to.

    Nothing that Windows takes for a folder, a drive or a device, and not too long for any.
    """
    kept = re.sub(r'[\\/:*?"<>|\x00-\x1f\x7f]', "_", stem.encode(errors="replace").decode())
    kept = kept[:MAX_NAME].rstrip(" .")
    return f"_{kept}" if not kept or kept.split(".")[0].strip().upper() in DEVICES else kept


def _unused(stem: str, used: set[str]) -> str:
    candidate, number = stem, 2
    while candidate.lower() in used:  # some systems know no capitals
        candidate, number = f"{stem}-{number}", number + 1
    used.add(candidate.lower())
    return candidate
