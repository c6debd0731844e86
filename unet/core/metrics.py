"""Segmentation metrics in NumPy, with stated answers for empty masks, and bootstrap intervals.

For Dice, IoU, precision and recall: both masks empty → 1, exactly one empty → 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

BOOTSTRAP_SAMPLES = 4000
_EPSILON = 1e-7
"""Probabilities are kept this far from 0 and 1 in cross-entropy, as Keras does."""


@dataclass(frozen=True)
class Confusion:
    """Pixel counts of a mask against the truth."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @classmethod
    def of(cls, mask: np.ndarray, truth: np.ndarray) -> Confusion:
        """Count from two bool arrays of one shape. Raises ValueError on other shapes or types."""
        if mask.shape != truth.shape or mask.dtype != bool or truth.dtype != bool:
            raise ValueError(
                "expected two bool arrays of one shape. Received: "
                f"{mask.dtype} {mask.shape}, {truth.dtype} {truth.shape}"
            )
        both = int(np.count_nonzero(mask & truth))
        given, wanted = int(np.count_nonzero(mask)), int(np.count_nonzero(truth))
        return cls(both, given - both, wanted - both, mask.size - given - wanted + both)

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        return _ratio(2 * self.true_positive, 2 * self.true_positive + self._wrong)

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN), the Jaccard index."""
        return _ratio(self.true_positive, self.true_positive + self._wrong)

    @property
    def precision(self) -> float:
        """TP / (TP + FP)."""
        return self._unless_empty(self.true_positive + self.false_positive)

    @property
    def recall(self) -> float:
        """TP / (TP + FN), the sensitivity."""
        return self._unless_empty(self.true_positive + self.false_negative)

    @property
    def accuracy(self) -> float:
        """Share of pixels that are right."""
        right = self.true_positive + self.true_negative
        return right / (right + self._wrong)

    @property
    def _wrong(self) -> int:
        return self.false_positive + self.false_negative

    def _unless_empty(self, denominator: int) -> float:
        if denominator == 0:
            return 1.0 if self._wrong == 0 else 0.0
        return self.true_positive / denominator


def hausdorff_95(mask: np.ndarray, truth: np.ndarray) -> float:
    """95 % Hausdorff distance between two masks' boundaries, in pixels.

    The larger of the two directed distances, each the 95th percentile over one boundary's pixels
    of the distance to the nearest pixel of the other boundary (Huttenlocher et al., PAMI 1993,
    with the percentile that medical imaging uses).

    Args:
        mask, truth: bool `(H, W)`.

    Returns:
        0 when both are empty, infinity when exactly one is.
    """
    if not mask.any() or not truth.any():
        return 0.0 if mask.any() == truth.any() else float("inf")
    rows, columns = ndimage.find_objects((mask | truth).astype(np.uint8))[0]
    edge_a, edge_b = _boundary(mask[rows, columns]), _boundary(truth[rows, columns])
    a_to_b = ndimage.distance_transform_edt(~edge_b)[edge_a]
    b_to_a = ndimage.distance_transform_edt(~edge_a)[edge_b]
    return float(max(np.percentile(a_to_b, 95), np.percentile(b_to_a, 95)))


def cross_entropy(probability: np.ndarray, truth: np.ndarray) -> float:
    """Mean binary cross-entropy over pixels, in nats; float and bool arrays of one shape."""
    p = np.clip(probability.astype(np.float64), _EPSILON, 1 - _EPSILON)
    return float(-np.log(np.where(truth, p, 1 - p)).mean())


def ratio_interval(
    numerator: np.ndarray, denominator: np.ndarray, groups: np.ndarray, seed: int = 0
) -> dict[str, float | None]:
    """A ratio of sums with its 95 % percentile-bootstrap interval over groups of cases.

    A mean over cases is such a ratio with a denominator of ones; a metric pooled over pixels is
    one of pixel counts. Whole groups are drawn, since near-duplicates are not independent.

    Args:
        numerator, denominator: float `(N,)`, a value a case.
        groups: int `(N,)`, each case's group.
        seed: Seeds the resampling.

    Returns:
        `value`, `low` and `high`; None where the denominator sums to 0.
    """
    if denominator.sum() == 0:
        return {"value": None, "low": None, "high": None}
    _, group = np.unique(groups, return_inverse=True)
    top = np.bincount(group, numerator)
    bottom = np.bincount(group, denominator)
    count = len(top)
    draws = np.random.default_rng(seed).multinomial(
        count, np.full(count, 1 / count), BOOTSTRAP_SAMPLES
    )  # (samples, groups)
    defined = draws[draws @ bottom > 0]
    low, high = np.percentile((defined @ top) / (defined @ bottom), [2.5, 97.5])
    return {"value": float(top.sum() / bottom.sum()), "low": float(low), "high": float(high)}


def _ratio(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else 1.0


def _boundary(mask: np.ndarray) -> np.ndarray:
    """The mask's pixels that have a side towards the outside; the border counts as outside."""
    return mask & ~ndimage.binary_erosion(mask)
