"""How sure a network is of an image, from how well the views it averages agree.

Disagreement between an image and its mirror image goes with error: where the two outlines differ,
at most one is right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WORDS = ("low", "medium", "high")


@dataclass(frozen=True)
class Confidence:
    """Where agreement counts as low and as high, chosen on validation.

    Attributes:
        low: Below this agreement confidence is "low".
        high: From this agreement on it is "high".
    """

    low: float = 0.0
    high: float = 1.0

    def word(self, agreement: float) -> str:
        """One of `WORDS` for an agreement in [0, 1]."""
        return WORDS[(agreement >= self.low) + (agreement >= self.high)]


def agreement(views: np.ndarray) -> float:
    """Soft Dice between the two views of an image: float32 `(2, S, S)` in [0, 1] → [0, 1].

    A thousandth of the image counts as agreed in any case, so that two views without a lesion
    agree whatever little noise is in them.
    """
    agreed = 0.001 * views[0].size
    shared = 2 * np.minimum(views[0], views[1]).sum()
    return float((shared + agreed) / (views.sum() + agreed))


def disagreement(views: np.ndarray) -> np.ndarray:
    """Greatest difference between views at each pixel: float32 `(V, S, S)` → `(S, S)` in [0, 1]."""
    return views.max(axis=0) - views.min(axis=0)
