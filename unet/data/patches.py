"""Pieces of images, so that neither a scanner nor a cut tells whether there is a lesion.

Only BUSI has normal images: a network trained on several data sets learns that the others'
pictures mean a lesion. Cut from one lesion image, a piece with the lesion and one of the same size
well clear of it differ in nothing else. Neither do a whole image whose lesion is painted over with
tissue of the same depth, and one where such a patch covers tissue.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

SHARE = (0.35, 0.75)
"""Height and width of a piece, as shares of the image's."""
CLEAR = 0.04
"""Distance of a lesion-free patch from the lesion as a share of the image's sides."""
TRIES = 60
MARGIN = 0.12
"""Margin of the painted area around the lesion as a share of its sides; it fades there."""

Box = tuple[slice, slice]


def piece_pair(truth: np.ndarray, random: np.random.Generator) -> tuple[Box, Box] | None:
    """Two windows of one size: one that holds the whole lesion, one that is clear of it.

    Args:
        truth: bool `(H, W)` with a lesion.
        random: The same state gives the same windows.

    Returns:
        Rows and columns of both; None where no try found a pair.
    """
    height, width = truth.shape
    rows, columns = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    clear_y, clear_x = round(CLEAR * height), round(CLEAR * width)
    for _ in range(TRIES):
        h, w = (round(random.uniform(*SHARE) * side) for side in (height, width))
        if h < bottom - top or w < right - left:
            continue
        y, x = random.integers(0, height - h + 1), random.integers(0, width - w + 1)
        beside = x >= right + clear_x or x + w <= left - clear_x
        if not (beside or y >= bottom + clear_y or y + h <= top - clear_y):
            continue
        with_y = random.integers(max(0, bottom - h), min(top, height - h) + 1)
        with_x = random.integers(max(0, right - w), min(left, width - w) + 1)
        return (
            (slice(with_y, with_y + h), slice(with_x, with_x + w)),
            (slice(y, y + h), slice(x, x + w)),
        )
    return None


def piece_of_normal(shape: tuple[int, int], random: np.random.Generator) -> Box:
    """A window of such a size anywhere in a normal image of that shape `(H, W)`."""
    h, w = (round(random.uniform(*SHARE) * side) for side in shape)
    y, x = random.integers(0, shape[0] - h + 1), random.integers(0, shape[1] - w + 1)
    return slice(y, y + h), slice(x, x + w)


def painted_pair(
    grey: np.ndarray, truth: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """An image with its lesion painted over, and the same with as large a patch of tissue painted.

    The paint is the image's own tissue of about the same depth, from beside the lesion.

    Args:
        grey: uint8 `(H, W)`.
        truth: bool `(H, W)` with a lesion.
        random: The same state gives the same pictures.

    Returns:
        Two images uint8 `(H, W)`; None where there is not enough tissue beside the lesion.
    """
    rows, columns = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
    margin_y, margin_x = (
        max(3, round(MARGIN * (edge[-1] + 1 - edge[0]))) for edge in (rows, columns)
    )
    top, bottom = max(0, rows[0] - margin_y), min(len(grey), rows[-1] + 1 + margin_y)
    left, right = max(0, columns[0] - margin_x), min(grey.shape[1], columns[-1] + 1 + margin_x)
    height, width = bottom - top, right - left
    # Dilated by the margin and fading over it, so that no edge tells.
    around = np.pad(truth[top:bottom, left:right], 1).astype(np.float32)
    solid = ndimage.binary_dilation(around > 0, iterations=max(1, min(margin_y, margin_x) // 2))
    alpha = ndimage.gaussian_filter(solid.astype(np.float32), min(margin_y, margin_x) / 4)
    alpha = alpha[1:-1, 1:-1]
    places = []
    for _ in range(TRIES):
        y = int(np.clip(top + random.integers(-height // 4, height // 4 + 1), 0,
                        len(grey) - height))  # fmt: skip
        x = int(random.integers(0, grey.shape[1] - width + 1))
        clear = not truth[y : y + height, x : x + width].any()
        apart = all(abs(x - other) >= width / 2 for _, other in places)
        if clear and apart:
            places.append((y, x))
        if len(places) == 2:
            break
    if not places:
        return None

    def patch(y: int, x: int) -> np.ndarray:
        found = grey[y : y + height, x : x + width]
        return found[:, ::-1] if random.random() < 0.5 else found

    def paint(y: int, x: int, tissue: np.ndarray) -> np.ndarray:
        painted = grey.astype(np.float32)
        under = painted[y : y + height, x : x + width]
        painted[y : y + height, x : x + width] = under + alpha * (tissue - under)
        return np.round(painted).astype(np.uint8)

    source, target = places[0], places[-1]
    return paint(top, left, patch(*source)), paint(*target, patch(*source)[:, ::-1])
