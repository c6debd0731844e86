"""Windows of an image that are worth a look of their own, and candidates to look at."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from unet.core.mask import EIGHT_NEIGHBOURS, to_level

Window = tuple[int, int, int, int]
"""Left, top, right and bottom in whole pixels of the image."""
Bounds = tuple[float, float, float, float]
"""Left, top, right and bottom of a region in pixels of the image, fractions allowed."""
Candidates = dict[str, list[list[float]]]
"""Bounds of regions that a network took for a lesion, in pixels of the image, by case id."""

LARGEST = 0.75
"""Share of the picture's sides above which the whole picture shows it as well."""
RAMP = 0.15
"""Share of its sides over which a window's answer fades into the whole picture's."""
CANDIDATE = 0.25
"""Probability from which a pixel is in a candidate for a second look."""
AROUND = 2.5
"""Sides of a second look's window relative to the candidate's. Set by an untrained second look with
BUS-UCLM left out: a network that uses it chooses anew, on more hospitals than one."""
SMALLEST = 0.3
"""Sides of a second look's window as a share of the picture's, at least."""


def window_around(
    bounds: Bounds, height: int, width: int, around: float, share: float
) -> Window | None:
    """The window about a region, in the picture's proportions and inside it.

    Args:
        bounds: Of the region, in pixels of the image.
        height, width: Of the image.
        around: Sides of the window relative to the region's.
        share: Smallest sides of the window as a share of the image's.

    Returns:
        None for a region so large that the whole picture shows it as well.
    """
    sides = np.array([width, height])
    low, high = np.array(bounds[:2], float), np.array(bounds[2:], float)
    share = max(share, around * float(((high - low) / sides).max()))
    if share > LARGEST:
        return None
    size = np.maximum(1, np.floor(share * sides + 0.5)).astype(int)
    start = np.clip(np.floor((low + high - size) / 2 + 0.5).astype(int), 0, sides - size)
    (left, top), (right, bottom) = start, start + size
    return int(left), int(top), int(right), int(bottom)


def second_window(probability_u8: np.ndarray) -> Window | None:
    """The window about the largest candidate of a map, for a second look.

    Args:
        probability_u8: uint8 `(H, W)`, probability times 255.

    Returns:
        None where there is no candidate, or one that the whole picture shows as well.
    """
    found = find_candidates(probability_u8, to_level(CANDIDATE), most=1)
    if not found:
        return None
    [(bounds, _)] = found
    height, width = probability_u8.shape
    return window_around(bounds, height, width, AROUND, SMALLEST)


def find_candidates(
    probability: np.ndarray, threshold: float, most: int
) -> list[tuple[Window, np.ndarray]]:
    """The regions of a map that a lesion may be in, those with most probability first.

    Args:
        probability: `(H, W)`, float32 in [0, 1] or uint8.
        threshold: From which value on a pixel is in a region.
        most: How many regions at most.

    Returns:
        The bounds of each region, and its pixels, bool `(H, W)`.
    """
    labels, count = ndimage.label(probability >= threshold, EIGHT_NEIGHBOURS)
    weight = ndimage.sum_labels(probability, labels, range(1, count + 1))
    boxes = ndimage.find_objects(labels)
    found = []
    for number in np.argsort(-np.asarray(weight), kind="stable")[:most]:
        rows, columns = boxes[number]
        bounds = (columns.start, rows.start, columns.stop, rows.stop)
        found.append((bounds, labels == number + 1))
    return found


def blend_window(
    whole: np.ndarray, closer: np.ndarray, window: Window, weight: float = 0.5
) -> np.ndarray:
    """The answer for an image and that of a closer look, averaged where both see.

    Args:
        whole: float32 `(H, W)`.
        closer: float32 `(h, w)`, in the window.
        window: Where; towards its edge the whole image's answer is all that counts.
        weight: Of the closer look, in the window's middle.
    """
    left, top, right, bottom = window
    down, across = (
        np.minimum(1, np.minimum(at, at[::-1]) / (RAMP * len(at)))
        for at in (np.arange(n, dtype=np.float32) + 0.5 for n in closer.shape)
    )
    share = np.float32(weight) * np.minimum(down[:, None], across)  # (h, w)
    result = whole.copy()
    result[top:bottom, left:right] += share * (closer - whole[top:bottom, left:right])
    return result
