"""Several networks on the same cases: what each gives, and how far each is from the first.

Everything is computed of pixel counts, an integer array `(seeds, N, P, 4)`: for each training, case
and protocol the true positives, false positives, false negatives, true negatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import numpy as np

from unet.core.metrics import ratio_interval
from unet.evaluation.case_scores import CaseScore


def summarise_paired(
    runs: Sequence[Sequence[CaseScore]],
    first: Sequence[Sequence[CaseScore]] | None,
    protocols: Sequence[str],
) -> dict[str, Any]:
    """`summarise_counts` of the same cases scored after several trainings.

    Args:
        runs: For each training the scores of all cases, in one order.
        first: The same of the recipe to compare with; None for that itself.
        protocols: To be summarised, the one that is compared first.
    """
    groups = [score.group for score in runs[0]]
    base = None if first is None else counts_of(first, protocols)
    return summarise_counts(counts_of(runs, protocols), groups, base, protocols)


def counts_of(runs: Sequence[Sequence[CaseScore]], protocols: Sequence[str]) -> np.ndarray:
    """Pixel counts of some trainings' scores: int `(seeds, N, P, 4)`."""
    return np.array(
        [
            [[astuple(score.scores[name].confusion) for name in protocols] for score in scores]
            for scores in runs
        ]
    )


def summarise_counts(
    counts: np.ndarray,
    groups: Sequence[int],
    first: np.ndarray | None = None,
    protocols: Sequence[str] = ("threshold_0.5",),
) -> dict[str, Any]:
    """Summary of one network on some cases, each value averaged over its trainings first.

    Args:
        counts: `(seeds, N, P, 4)`.
        groups: N group numbers; whole groups are drawn for the 95 % intervals.
        first: The counts of the network to compare with, on the same cases; None for that itself.
        protocols: Names of the P protocols; all but what is said by protocol is of the first.

    Returns:
        `cases`, `groups`, `dice_all` of all images; where there are lesions: `dice` of their
        images with its interval, `by_seed` its mean of each training and `spread` their standard
        deviation (None of one), `missed` lesions without a mask, `by_protocol` mean Dice and
        `over_segmentation` by protocol (area marked wrongly beside the lesions' true area, both as
        shares of the image). Where there are normal images: `masked`, those with a mask. With
        `first`: `difference` of Dice to it case by case, and `difference_all` of all images.
    """
    groups = np.asarray(groups)
    tp, fp, fn, tn = np.moveaxis(counts.astype(float), -1, 0)  # (seeds, N, T) each
    lesion = (tp + fn)[0, :, 0] > 0
    given = (tp + fp)[:, :, 0] > 0  # (seeds, N)
    dice_all = _dice(counts, 0).mean(axis=0)  # (N,)
    found: dict[str, Any] = {
        "cases": len(groups),
        "groups": len(set(groups.tolist())),
        "dice_all": _mean(dice_all, groups),
    }
    if first is not None:
        apart = dice_all - _dice(first, 0).mean(axis=0)
        found["difference_all"] = _mean(apart, groups)
    if lesion.any():
        dice = _dice(counts, 0)[:, lesion]  # (seeds, lesions)
        by_seed = dice.mean(axis=1)
        image = (tp + fp + fn + tn)[0, lesion, 0]
        true_area = (tp + fn)[0, lesion, 0] / image
        found |= {
            "dice": _mean(dice.mean(axis=0), groups[lesion]),
            "by_seed": by_seed.tolist(),
            "spread": float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None,
            "missed": _share(~given[:, lesion], groups[lesion]),
            "by_protocol": {
                name: float(_dice(counts, p)[:, lesion].mean()) for p, name in enumerate(protocols)
            },
            "over_segmentation": {
                name: ratio_interval(
                    fp[:, lesion, p].mean(axis=0) / image, true_area, groups[lesion]
                )
                for p, name in enumerate(protocols)
            },
        }
        if first is not None:
            found["difference"] = _mean(apart[lesion], groups[lesion])
    if not lesion.all():
        found["masked"] = _share(given[:, ~lesion], groups[~lesion])
    return found


def _dice(counts: np.ndarray, p: int) -> np.ndarray:
    """Dice by a protocol, by its place: `(seeds, N)`; 1 where nothing is there and none marked."""
    tp, fp, fn, _ = np.moveaxis(counts[:, :, p].astype(float), -1, 0)
    total = 2 * tp + fp + fn
    return np.where(total > 0, 2 * tp / np.maximum(total, 1), 1.0)


def _mean(values: np.ndarray, groups: np.ndarray) -> dict[str, float | None]:
    return ratio_interval(values, np.ones(len(values)), groups)


def _share(happened: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """Summarise an event, bool `(seeds, N)`: its share, and its mean count of N."""
    often = happened.mean(axis=0)
    return {**_mean(often, groups), "count": float(often.sum()), "of": len(often)}
