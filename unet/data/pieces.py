"""Pieces of images, so that neither a scanner nor a cut tells whether there is a lesion.

Only BUSI has normal images: a network trained on several data sets learns that the others'
pictures mean a lesion. Cut from one lesion image, a piece with the lesion and one of the same size
well clear of it differ in nothing else.
"""

from __future__ import annotations

import numpy as np

SHARE = (0.35, 0.75)
"""Height and width of a piece, as shares of the image's."""
CLEAR = 0.04
"""How far a lesion-free piece stays from the lesion, as a share of the image's sides."""
TRIES = 60

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
