"""Several networks on the same cases: what each gives, and how far each is from the first.

Everything is computed of pixel counts, an integer array `(seeds, N, T, 4)`: for each training, case
and threshold of `THRESHOLDS` the true positives, false positives, false negatives, true negatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unet.core.image import resize_probability
from unet.core.mask import quantise, to_level
from unet.core.metrics import Confusion, ratio_interval

THRESHOLDS = (0.3, 0.5, 0.7, 0.9)
CHOSEN = THRESHOLDS.index(0.5)
"""At which all are compared: the one nobody chose."""


def count_map(square: np.ndarray, truth: np.ndarray) -> list[list[int]]:
    """Counts `(T, 4)` of a probability float `(S, S)` at the truth's own size, bool `(H, W)`."""
    probability_u8 = quantise(resize_probability(square, *truth.shape))
    return [_counts(probability_u8 >= to_level(threshold), truth) for threshold in THRESHOLDS]


def count_mask(mask: np.ndarray, truth: np.ndarray) -> list[list[int]]:
    """Counts `(T, 4)` of a mask bool `(H, W)` that knows no threshold: the same at each."""
    return [_counts(mask, truth)] * len(THRESHOLDS)


def _counts(mask: np.ndarray, truth: np.ndarray) -> list[int]:
    c = Confusion.of(mask, truth)
    return [c.true_positive, c.false_positive, c.false_negative, c.true_negative]


def summarise_counts(
    counts: np.ndarray, groups: Sequence[int], first: np.ndarray | None = None
) -> dict[str, Any]:
    """Summary of one network on some cases, each value averaged over its trainings first.

    Args:
        counts: `(seeds, N, T, 4)`.
        groups: N group numbers; whole groups are drawn for the 95 % intervals.
        first: The counts of the network to compare with, on the same cases; None for that itself.

    Returns:
        `cases`, `groups` and, where there are lesions: `dice` of lesion images with its interval,
        `by_seed` its mean of each training and `spread` their standard deviation (None of one),
        `missed` lesions without a mask, `by_threshold` mean Dice and `over_segmentation` by
        threshold (area marked wrongly beside the lesions' true area, both as shares of the image),
        `difference` of Dice to the first's case by case. Where there are normal images: `masked`,
        those with a mask.
    """
    groups = np.asarray(groups)
    tp, fp, fn, tn = np.moveaxis(counts.astype(float), -1, 0)  # (seeds, N, T) each
    lesion = (tp + fn)[0, :, 0] > 0
    found: dict[str, Any] = {"cases": len(groups), "groups": len(set(groups.tolist()))}
    given = (tp + fp)[:, :, CHOSEN] > 0  # (seeds, N)
    if lesion.any():
        dice = _dice(counts, CHOSEN)[:, lesion]  # (seeds, lesions)
        by_seed = dice.mean(axis=1)
        image = (tp + fp + fn + tn)[0, lesion, 0]
        true_area = (tp + fn)[0, lesion, 0] / image
        found |= {
            "dice": _mean(dice.mean(axis=0), groups[lesion]),
            "by_seed": by_seed.tolist(),
            "spread": float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None,
            "missed": _share(~given[:, lesion], groups[lesion]),
            "by_threshold": {
                str(threshold): float(_dice(counts, t)[:, lesion].mean())
                for t, threshold in enumerate(THRESHOLDS)
            },
            "over_segmentation": {
                str(threshold): ratio_interval(
                    fp[:, lesion, t].mean(axis=0) / image, true_area, groups[lesion]
                )
                for t, threshold in enumerate(THRESHOLDS)
            },
        }
        if first is not None:
            apart = dice.mean(axis=0) - _dice(first, CHOSEN)[:, lesion].mean(axis=0)
            found["difference"] = _mean(apart, groups[lesion])
    if not lesion.all():
        found["masked"] = _share(given[:, ~lesion], groups[~lesion])
    return found


def _dice(counts: np.ndarray, t: int) -> np.ndarray:
    """Dice at a threshold, by its place: `(seeds, N)`; 1 where nothing is there and none marked."""
    tp, fp, fn, _ = np.moveaxis(counts[:, :, t].astype(float), -1, 0)
    total = 2 * tp + fp + fn
    return np.where(total > 0, 2 * tp / np.maximum(total, 1), 1.0)


def _mean(values: np.ndarray, groups: np.ndarray) -> dict[str, float | None]:
    return ratio_interval(values, np.ones(len(values)), groups)


def _share(happened: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """Summarise an event, bool `(seeds, N)`: its share, and its mean count of N."""
    often = happened.mean(axis=0)
    return {**_mean(often, groups), "count": float(often.sum()), "of": len(often)}
