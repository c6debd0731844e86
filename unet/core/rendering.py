"""Pictures of a result: overlay and contour, in NumPy and Pillow."""

from __future__ import annotations

import numpy as np

LESION = (255, 176, 0)
"""Amber: apart from grey tissue, and from blue, for colour-blind readers too."""
HIT, MISS, FALSE_ALARM = (0, 158, 115), (0, 114, 178), (213, 94, 0)
"""Okabe–Ito green, blue and vermilion: found, missed, and painted with no lesion there."""


def overlay(image: np.ndarray, mask: np.ndarray, opacity: float = 0.35) -> np.ndarray:
    """The image with the mask laid over it and outlined: uint8 `(H, W, 3)`.

    Args:
        image: uint8 `(H, W)` or `(H, W, 3)`.
        mask: bool `(H, W)`.
        opacity: Of the fill, in [0, 1]; the outline is solid.
    """
    picture = to_rgb(image)
    colour = np.array(LESION, np.float32)
    picture[mask] = (picture[mask] * (1 - opacity) + colour * opacity + 0.5).astype(np.uint8)
    picture[outline(mask)] = LESION
    return picture


def agreement(image: np.ndarray, mask: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The image with hits, misses and false alarms in colours: uint8 `(H, W, 3)`."""
    picture = to_rgb(image)
    for where, colour in ((mask & truth, HIT), (~mask & truth, MISS), (mask & ~truth, FALSE_ALARM)):
        mixed = picture[where] * 0.5 + np.array(colour) * 0.5
        picture[where] = mixed.astype(np.uint8)
    return picture


def outline(mask: np.ndarray) -> np.ndarray:
    """The mask's edge, about 1/250 of the image's longer side wide: bool `(H, W)`."""
    from scipy import ndimage  # here: it takes a third of a second, and the page starts without

    width = max(1, round(max(mask.shape) / 250))
    return mask & ~ndimage.binary_erosion(mask, iterations=width)


def to_rgb(image: np.ndarray) -> np.ndarray:
    """A copy in colour: uint8 `(H, W)` or `(H, W, 3)` → `(H, W, 3)`."""
    return np.stack([image] * 3, axis=2) if image.ndim == 2 else image.copy()
