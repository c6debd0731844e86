"""Prompts: clicks, scribbles and boxes, and the input maps that a network gets of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import ndimage

from unet.core.mask import EIGHT_NEIGHBOURS
from unet.core.windows import Window, window_around

Point = tuple[float, float]
"""x and y in pixels of the image; the middle of its first pixel is (0.5, 0.5)."""
Stroke = tuple[Point, ...]
"""The way of a pen; a click is a stroke of one point."""
Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels of the image."""

RADIUS = 3 / 160
"""Radius of a stroke's pen as a share of the side of the network's input."""
CLOSER = 0.5
"""Share of the picture's sides that a closer look at what is pointed at takes in, at least."""
AROUND = 1.5
"""Smallest size of the window relative to the prompts' bounding box."""
MAX_PROMPTS = 100
MAX_POINTS = 10_000
MAX_PLACE = 1e9
"""Pixels from an image's corner, beyond which no place is meant."""


@dataclass(frozen=True)
class Prompts:
    """Prompts of a person for one image.

    Attributes:
        positive: Strokes on a lesion.
        negative: Strokes on what is none.
        boxes: Loosely around a lesion each: what lies outside all of them is none.
    """

    positive: tuple[Stroke, ...] = ()
    negative: tuple[Stroke, ...] = ()
    boxes: tuple[Box, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.positive or self.negative or self.boxes)

    @property
    def has_positive(self) -> bool:
        """True with a prompt on a lesion."""
        return bool(self.positive or self.boxes)

    def to_json(self) -> dict[str, Any]:
        """As `parse_prompts` reads it."""
        return {
            "positive": [[list(point) for point in stroke] for stroke in self.positive],
            "negative": [[list(point) for point in stroke] for stroke in self.negative],
            "boxes": [list(box) for box in self.boxes],
        }


def parse_prompts(said: Any, height: int, width: int) -> Prompts:
    """Prompts as the page and the API send them, in an image of that size.

    Args:
        said: `{"positive": [[[x, y], …], …], "negative": …, "boxes": [[x0, y0, x1, y1], …]}`, each
            optional; points outside of the image count as at its edge. None for no prompts.

    Raises:
        ValueError: Something else, or more than anyone draws by hand.
    """
    if said is None:
        return Prompts()
    if not isinstance(said, dict) or set(said) - {"positive", "negative", "boxes"}:
        raise ValueError(
            'prompts: expected {"positive": strokes, "negative": strokes, "boxes": boxes}, each '
            f"optional. Received: {said!r:.80}"
        )
    try:
        positive, negative = (
            tuple(
                tuple(_clipped(point, width, height) for point in stroke)
                for stroke in said.get(name) or ()
            )
            for name in ("positive", "negative")
        )
        boxes = tuple(_box(box, width, height) for box in said.get("boxes") or ())
    except TypeError:
        raise ValueError(
            "prompts: expected strokes as lists of [x, y] and boxes as [left, top, right, bottom]. "
            f"Received: {said!r:.80}"
        ) from None
    strokes = positive + negative
    if not all(strokes):
        raise ValueError(
            "prompts: expected at least one point in each stroke. Received: an empty one"
        )
    if len(strokes) + len(boxes) > MAX_PROMPTS or sum(map(len, strokes)) > MAX_POINTS:
        raise ValueError(
            f"prompts: at most {MAX_PROMPTS} prompts of {MAX_POINTS} points together. Received: "
            f"{len(strokes) + len(boxes)} of {sum(map(len, strokes))}"
        )
    return Prompts(positive, negative, boxes)


def _clipped(point: Any, width: int, height: int) -> Point:
    x, y = _numbers(point, 2)
    return min(max(x, 0.0), float(width)), min(max(y, 0.0), float(height))


def _box(box: Any, width: int, height: int) -> Box:
    x0, y0, x1, y1 = _numbers(box, 4)
    left, top = _clipped((min(x0, x1), min(y0, y1)), width, height)
    right, bottom = _clipped((max(x0, x1), max(y0, y1)), width, height)
    return left, top, right, bottom


def _numbers(values: Any, count: int) -> list[float]:
    are_numbers = isinstance(values, (list, tuple)) and all(
        isinstance(value, (int, float)) and -MAX_PLACE < value < MAX_PLACE for value in values
    )
    if not are_numbers or len(values) != count:
        raise ValueError(f"prompts: expected {count} finite numbers. Received: {values!r:.80}")
    return [float(value) for value in values]


def draw_prompts(prompts: Prompts, height: int, width: int, size: int) -> np.ndarray:
    """Prompts in an image of that size as two maps of the network's: float32 `(size, size, 2)`.

    The first is 1 where the person says lesion, the second where they say none, both 0 elsewhere:
    discs about clicks, as wide lines along strokes, and all that lies outside the boxes. Clicks as
    discs follow Sofiiuk et al., *Reviving Iterative Training with Mask Guidance for Interactive
    Segmentation* (ICIP 2022).
    """
    maps = np.zeros((size, size, 2), np.float32)
    scale = np.array([size / width, size / height])
    for channel, strokes in enumerate((prompts.positive, prompts.negative)):
        for stroke in strokes:
            points = np.asarray(stroke) * scale  # (P, 2)
            for a, b in zip(points, points[1:] if len(points) > 1 else points, strict=False):
                _draw_line(maps[:, :, channel], a, b)
    if prompts.boxes:
        middles = np.arange(size) + 0.5
        within = np.zeros((size, size), bool)
        for left, top, right, bottom in np.asarray(prompts.boxes) * np.tile(scale, 2):
            columns = (middles >= left) & (middles <= right)
            rows = (middles >= top) & (middles <= bottom)
            for line, low, high in ((columns, left, right), (rows, top, bottom)):
                if not line.any():  # a box between two middles would leave nothing of the image
                    line[min(int((low + high) / 2), size - 1)] = True
            within |= rows[:, None] & columns
        maps[:, :, 1][~within] = 1
    return maps


def zoom_window(prompts: Prompts, height: int, width: int, share: float = CLOSER) -> Window | None:
    """The part of an image, in its proportions, that is worth a look of its own.

    After the focus views of Chen et al., *FocalClick* (CVPR 2022).

    Args:
        prompts: In pixels of the image.
        height, width: Of the image.
        share: As `CLOSER`.

    Returns:
        None where nobody points at a lesion, or at so much that the whole image shows it as well.
    """
    points = [point for stroke in prompts.positive for point in stroke]
    points += [corner for box in prompts.boxes for corner in (box[:2], box[2:])]
    if not points:
        return None
    (left, top), (right, bottom) = np.min(points, axis=0), np.max(points, axis=0)
    return window_around((left, top, right, bottom), height, width, AROUND, share)


def crop_prompts(prompts: Prompts, window: Window) -> Prompts:
    """Prompts in pixels of a window of the image; strokes that do not enter it are left out.

    A stroke enters where the box about one of its lines does: it may cross between two points.
    """
    left, top, right, bottom = window

    def moved(strokes: tuple[Stroke, ...]) -> tuple[Stroke, ...]:
        return tuple(
            tuple((x - left, y - top) for x, y in stroke)
            for stroke in strokes
            if any(
                max(ax, bx) >= left and min(ax, bx) <= right
                and max(ay, by) >= top and min(ay, by) <= bottom
                for (ax, ay), (bx, by) in zip(stroke, stroke[1:] or stroke, strict=False)
            )
        )  # fmt: skip

    boxes = tuple((a - left, b - top, c - left, d - top) for a, b, c, d in prompts.boxes)
    return Prompts(moved(prompts.positive), moved(prompts.negative), boxes)


def keep_prompted_regions(probability_u8: np.ndarray, prompts: Prompts, least: int) -> np.ndarray:
    """A map without the regions that nobody points at: just below what counts as lesion.

    Args:
        probability_u8: uint8 `(H, W)`.
        prompts: In pixels of the map.
        least: The level from which on a pixel counts as lesion, at least 1.

    Returns:
        uint8 `(H, W)`; the same map where no region is pointed at.
    """
    found = probability_u8 >= least
    pointed = prompted_regions(found, prompts)
    return (
        np.where(found & ~pointed, np.uint8(least - 1), probability_u8)
        if pointed.any()
        else probability_u8
    )


def prompted_regions(mask: np.ndarray, prompts: Prompts) -> np.ndarray:
    """The 8-connected regions of a mask that a stroke on a lesion or a box touches.

    Args:
        mask: bool `(H, W)`.
        prompts: In pixels of the mask.
    """
    labels, _ = ndimage.label(mask, EIGHT_NEIGHBOURS)
    height, width = mask.shape
    pointed: set[int] = set()
    for stroke in prompts.positive:
        x, y = _way(stroke).astype(int).T
        pointed.update(labels[np.minimum(y, height - 1), np.minimum(x, width - 1)].tolist())
    for left, top, right, bottom in prompts.boxes:
        within = labels[int(top) : math.ceil(bottom), int(left) : math.ceil(right)]
        pointed.update(np.unique(within).tolist())
    return mask & np.isin(labels, list(pointed))


def _way(stroke: Stroke) -> np.ndarray:
    """A stroke's points with others between them, at most a pixel apart: `(P, 2)`."""
    points = np.asarray(stroke)
    parts = [points[:1]]
    for a, b in pairwise(points):
        steps = max(1, math.ceil(np.abs(b - a).max()))
        parts.append(a + (b - a) * (np.arange(1, steps + 1) / steps)[:, None])
    return np.concatenate(parts)


def _draw_line(one: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """Set all pixels of `(S, S)` whose middle lies within the pen's radius of the way a to b."""
    size = len(one)
    reach = max(1.0, size * RADIUS)  # never between the pixels
    left, top = np.clip(np.floor(np.minimum(a, b) - reach).astype(int), 0, size)
    right, bottom = np.clip(np.ceil(np.maximum(a, b) + reach).astype(int), 0, size)
    y, x = np.mgrid[top:bottom, left:right] + 0.5
    (dx, dy), (px, py) = b - a, (x - a[0], y - a[1])
    length = dx * dx + dy * dy
    along = np.clip((px * dx + py * dy) / length, 0, 1) if length else 0.0
    near = (px - along * dx) ** 2 + (py - along * dy) ** 2 <= reach * reach
    one[top:bottom, left:right][near] = 1
