"""Confidence of a segmentation in a word.

Of a mask, from how well the views it averages agree: where the outlines for an image and for
another view of it differ, at most one is right. Of no mask, from how little there is in the map,
and from how unlikely a lesion at all is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WORDS = ("low", "medium", "high")
SOMETHING, MUCH = 0.5, 0.85
"""Peaks of the map above which "no mask" is of medium, and of low, confidence."""


@dataclass(frozen=True)
class Confidence:
    """Thresholds on the agreement of views for low and high confidence, chosen on validation.

    Attributes:
        low: Below this agreement confidence is "low".
        high: From this agreement on it is "high".
        none: From this probability of a lesion at all on, an answer without a mask is "low".
    """

    low: float = 0.0
    high: float = 1.0
    none: float = 1.0

    def word(
        self, agreement: float, peak: float, found: bool, presence: float | None = None
    ) -> str:
        """One of `WORDS`.

        Args:
            agreement: Of the views, in [0, 1].
            peak: The map's highest probability, in [0, 1].
            found: Whether a mask is given.
            presence: How likely there is a lesion at all, in [0, 1]; None if unknown.
        """
        if not found and presence is not None and presence >= self.none:
            return WORDS[0]
        if not found:
            return WORDS[(peak < MUCH) + (peak < SOMETHING)]
        return WORDS[(agreement >= self.low) + (agreement >= self.high)]


def agreement(views: np.ndarray) -> float:
    """Soft Dice between the views of an image: float32 `(V, S, S)` in [0, 1] → [0, 1].

    A thousandth of the image counts as agreed in any case, so that views without a lesion
    agree whatever little noise is in them.
    """
    agreed = 0.001 * views[0].size
    shared = len(views) * views.min(axis=0).sum()
    return float((shared + agreed) / (views.sum() + agreed))


def disagreement(views: np.ndarray) -> np.ndarray:
    """Greatest difference between views at each pixel: float32 `(V, S, S)` → `(S, S)` in [0, 1]."""
    return views.max(axis=0) - views.min(axis=0)
