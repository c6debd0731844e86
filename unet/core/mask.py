"""From a probability map to a mask, by integer rules that a browser can repeat exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

EIGHT_NEIGHBOURS = np.ones((3, 3), bool)
"""Pixels that touch at a side or a corner belong to one region."""


@dataclass(frozen=True)
class PostProcessing:
    """Post-processing that turns a probability map into a mask, chosen on validation cases.

    Attributes:
        threshold: A pixel is lesion from this probability on, in [0, 1].
        min_area: Regions smaller than this share of the image are dropped, in [0, 1].
        min_peak: No mask at all where no pixel reaches this probability, in [0, 1].
        min_presence: No mask at all where the network thinks it less likely than this that there
            is a lesion at all, in [0, 1].
        unsure_presence: Where a gate lets no mask through, from this probability of a lesion at
            all on what the map shows is said to be unsure, and to be looked at; in [0, 1].
    """

    threshold: float = 0.5
    min_area: float = 0.0
    min_peak: float = 0.0
    min_presence: float = 0.0
    unsure_presence: float = 0.0

    def __post_init__(self) -> None:
        names = ("threshold", "min_area", "min_peak", "min_presence", "unsure_presence")
        for name in names:
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(
                    f"PostProcessing: {name} must lie between 0 and 1. Received: {value!r}"
                )


def quantise(probability: np.ndarray) -> np.ndarray:
    """Probability as 8 bits: float `(H, W)` in [0, 1] → uint8 `(H, W)`, halves up."""
    return np.floor(probability * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def to_level(probability: float) -> int:
    """The 8-bit level that stands for a probability in [0, 1], halves up as in JavaScript."""
    return math.floor(probability * 255 + 0.5)


def segment(
    probability_u8: np.ndarray,
    postprocessing: PostProcessing,
    threshold: float | None = None,
    presence: float | None = None,
) -> np.ndarray:
    """The mask of a quantised probability map.

    Args:
        probability_u8: uint8 `(H, W)`, see `quantise`.
        postprocessing: The network's rules.
        threshold: Used in place of the network's own, in [0, 1].
        presence: How likely there is a lesion at all, in [0, 1]; None if unknown.

    Returns:
        bool `(H, W)`: `probability_u8 >= to_level(threshold)`, less the regions (8-connected)
        smaller than `min_area · H · W` pixels; empty where the peak lies below `min_peak` or
        `presence < min_presence`.

    Raises:
        ValueError: The threshold lies outside [0, 1].
    """
    threshold = postprocessing.threshold if threshold is None else threshold
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must lie between 0 and 1. Received: {threshold!r}")
    if active_gate(probability_u8, postprocessing, presence):
        return np.zeros(probability_u8.shape, bool)
    return drop_small_regions(probability_u8 >= to_level(threshold), postprocessing.min_area)


def withheld_mask(
    probability_u8: np.ndarray,
    postprocessing: PostProcessing,
    threshold: float,
    presence: float | None,
) -> np.ndarray:
    """Mask that a closed gate withholds but a person should check: bool `(H, W)`, else empty.

    Args:
        probability_u8, postprocessing, presence: As in `segment`.
        threshold: In [0, 1].
    """
    kept_back = active_gate(probability_u8, postprocessing, presence) is not None
    if not kept_back or (presence is not None and presence < postprocessing.unsure_presence):
        return np.zeros(probability_u8.shape, bool)
    return drop_small_regions(probability_u8 >= to_level(threshold), postprocessing.min_area)


def active_gate(
    probability_u8: np.ndarray, postprocessing: PostProcessing, presence: float | None
) -> str | None:
    """Which gate lets no mask through at any threshold: "presence", "peak" or None.

    Args:
        probability_u8, postprocessing, presence: As in `segment`.
    """
    if presence is not None and presence < postprocessing.min_presence:
        return "presence"
    return "peak" if probability_u8.max() < to_level(postprocessing.min_peak) else None


def drop_small_regions(mask: np.ndarray, min_area: float) -> np.ndarray:
    """`mask` without its regions smaller than `min_area · H · W` pixels; bool `(H, W)`."""
    if min_area == 0 or not mask.any():
        return mask
    from scipy import ndimage  # here: it takes a third of a second, and the page starts without

    labels, _ = ndimage.label(mask, EIGHT_NEIGHBOURS)
    keep = np.bincount(labels.ravel()) >= min_area * mask.size
    keep[0] = False
    return keep[labels]
