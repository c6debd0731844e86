"""Regions of a mask with area and extent in pixels and, where known, millimetres."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from unet.core.mask import EIGHT_NEIGHBOURS


@dataclass(frozen=True)
class Region:
    """One connected region of a mask.

    Attributes:
        area_px: Pixels in it.
        share: Its share of the image, in [0, 1].
        box_px: Left, top, width, height of its bounding box in pixels.
        longest_px: Longest diameter (maximum caliper) between its pixels' corners, in pixels.
        perpendicular_px: Its extent across that diameter, in pixels.
        depth_px: From the top of the picture down to its nearest pixel, in pixels.
        height_to_width: Height by width of its bounding box, in true lengths where a pixel's are
            known; above 1 it is taller than wide.
        mean_probability: Mean probability of its pixels, in [0, 1].
        peak_probability: Highest probability of its pixels, in [0, 1].
        area_mm2, longest_mm, perpendicular_mm, depth_mm: The same in millimetres; None if unknown.
    """

    area_px: int
    share: float
    box_px: tuple[int, int, int, int]
    longest_px: float
    perpendicular_px: float
    depth_px: int
    height_to_width: float
    mean_probability: float
    peak_probability: float
    area_mm2: float | None = None
    longest_mm: float | None = None
    perpendicular_mm: float | None = None
    depth_mm: float | None = None


def find_regions(
    mask: np.ndarray, probability_u8: np.ndarray, spacing_mm: tuple[float, float] | None = None
) -> list[Region]:
    """Measure the 8-connected regions of a mask, largest first.

    Args:
        mask: bool `(H, W)`.
        probability_u8: uint8 `(H, W)`, the probability of each pixel times 255.
        spacing_mm: Height and width of a pixel in millimetres, if known.

    Raises:
        ValueError: Shapes differ.
    """
    if mask.shape != probability_u8.shape:
        raise ValueError(
            "mask and probability_u8 must have one shape. "
            f"Received: {mask.shape}, {probability_u8.shape}"
        )
    from scipy import ndimage  # here: it takes a third of a second, and the page starts without

    labels, _ = ndimage.label(mask, EIGHT_NEIGHBOURS)
    regions = [
        _measure(labels[box] == number, probability_u8[box], box, mask.size, spacing_mm)
        for number, box in enumerate(ndimage.find_objects(labels), start=1)
    ]
    return sorted(regions, key=lambda region: -region.area_px)


def to_json(regions: list[Region], mask: np.ndarray) -> dict[str, Any]:
    """The findings of an image as JSON-ready values."""
    return {
        "image_size_px": [mask.shape[1], mask.shape[0]],
        "lesion_found": bool(regions),
        "regions": [asdict(region) | {"box_px": list(region.box_px)} for region in regions],
    }


def sentence(regions: list[Region]) -> str:
    """The findings in one line."""
    if not regions:
        return "No lesion found at this threshold. This does not rule one out."
    largest = regions[0]
    count = "1 region" if len(regions) == 1 else f"{len(regions)} regions, the largest"
    return (
        f"{count}: {size(largest)}, {largest.share:.1%} of the image, "
        f"mean probability {largest.mean_probability:.2f}, peak {largest.peak_probability:.2f}."
    )


def size(region: Region) -> str:
    """A region's two diameters, in millimetres where they are known."""
    if region.longest_mm is not None:
        return f"{region.longest_mm:.1f} × {region.perpendicular_mm:.1f} mm"
    return f"{region.longest_px:.0f} × {region.perpendicular_px:.0f} pixels"


def _measure(
    inside: np.ndarray,
    probability_u8: np.ndarray,
    box: tuple[slice, slice],
    image_pixels: int,
    spacing_mm: tuple[float, float] | None,
) -> Region:
    rows, columns = box
    area = int(np.count_nonzero(inside))
    values = probability_u8[inside]
    corners = _corners(inside)  # (n, 2) as row, column
    longest, perpendicular = _diameters(corners)
    millimetres: dict[str, float] = {}
    if spacing_mm is not None:
        longest_mm, perpendicular_mm = _diameters(corners * np.asarray(spacing_mm))
        millimetres = {
            "area_mm2": area * spacing_mm[0] * spacing_mm[1],
            "longest_mm": longest_mm,
            "perpendicular_mm": perpendicular_mm,
            "depth_mm": rows.start * spacing_mm[0],
        }
    height, width = rows.stop - rows.start, columns.stop - columns.start
    tall, wide = (1, 1) if spacing_mm is None else spacing_mm
    return Region(
        area_px=area,
        share=area / image_pixels,
        box_px=(columns.start, rows.start, width, height),
        longest_px=longest,
        perpendicular_px=perpendicular,
        depth_px=rows.start,
        height_to_width=height * tall / (width * wide),
        mean_probability=float(values.mean() / 255),
        peak_probability=float(values.max() / 255),
        **millimetres,
    )


def _corners(inside: np.ndarray) -> np.ndarray:
    """The corners of a region's pixels on its convex hull: float `(n, 2)` as row, column."""
    from scipy.spatial import ConvexHull

    first = inside.argmax(axis=1)
    last = inside.shape[1] - inside[:, ::-1].argmax(axis=1)  # one past the row's last pixel
    rows = np.flatnonzero(inside.any(axis=1))
    points = [
        (row + edge, column)
        for row in rows
        for edge in (0, 1)
        for column in (first[row], last[row])
    ]
    corners = np.array(points, float)
    return corners[ConvexHull(corners).vertices]


def _diameters(corners: np.ndarray) -> tuple[float, float]:
    """The longest distance between two corners, and the extent across it."""
    from scipy.spatial.distance import pdist, squareform

    distances = squareform(pdist(corners))
    i, j = np.unravel_index(distances.argmax(), distances.shape)
    longest = distances[i, j]
    along = (corners[j] - corners[i]) / longest
    across = corners @ np.array([-along[1], along[0]])
    return float(longest), float(np.ptp(across))
