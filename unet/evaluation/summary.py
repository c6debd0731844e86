"""Summaries of many cases, every value with a 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from unet.core.metrics import Confusion, ratio_interval
from unet.evaluation.case_scores import PROTOCOLS, CaseScore, ProtocolScore
from unet.inference.onnx_model import usable_cores

METRICS = ("dice", "iou", "precision", "recall")
"""Properties of `Confusion` that are averaged over images, each with an interval."""


def summarise(results: list[CaseScore]) -> dict[str, Any]:
    """Every summary of some cases: by protocol, the final masks by class and by scanner.

    Of several data sets each has all of these for itself, under `by_dataset`. Values come with
    95 % intervals from a bootstrap over groups (patients, near-duplicates).
    """
    datasets = list(dict.fromkeys(r.dataset for r in results))
    by_class = _by(results, lambda r: r.label)
    apart: dict[str, Any] = {}
    scanners = _by([r for r in results if r.scanner], lambda r: r.scanner)
    if len(datasets) > 1:
        apart["by_dataset"] = {
            name: summarise([r for r in results if r.dataset == name]) for name in datasets
        }
    elif len(scanners) > 1:
        apart["by_scanner"] = scanners
    return {
        "datasets": datasets,
        "cases": len(results),
        "groups": len({r.group for r in results}),
        "milliseconds_per_image": round(1000 * float(np.median([r.seconds for r in results]))),
        "cores": usable_cores(),
        **{protocol: _summarise_protocol(results, protocol) for protocol in PROTOCOLS},
        "by_class": by_class,
        **apart,
    }


def _by(results: list[CaseScore], key: Callable[[CaseScore], str]) -> dict[str, Any]:
    """The final masks' summary of each part of some cases, as the parts come first."""
    return {
        name: {"cases": len(part)} | _summarise_protocol(part, "postprocessed")
        for name in dict.fromkeys(map(key, results))
        if (part := [r for r in results if key(r) == name])
    }


def dice_by_confidence(results: list[CaseScore]) -> dict[str, Any]:
    """For each word: how many images, their mean Dice, and how many lesions without a mask."""
    by_word: dict[str, list[CaseScore]] = {}
    for result in results:
        if result.confidence:
            by_word.setdefault(result.confidence, []).append(result)
    return {
        word: {
            "images": len(part),
            "dice": float(np.mean([r.scores["postprocessed"].confusion.dice for r in part])),
            "missed": sum(r.has_lesion and not r.has_mask() for r in part),
        }
        for word, part in by_word.items()
    }


def _summarise_protocol(results: list[CaseScore], protocol: str) -> dict[str, Any]:
    lesion = [r for r in results if r.has_lesion]
    normal = [r for r in results if not r.has_lesion]

    def mean(of: list[CaseScore], value: Callable[[ProtocolScore], float]) -> dict[str, float]:
        return _interval(of, protocol, value, lambda _: 1.0)

    def per_image(of: list[CaseScore]) -> dict[str, Any]:
        return {name: mean(of, lambda s, name=name: getattr(s.confusion, name)) for name in METRICS}

    def pooled(top: Callable[[Confusion], float], bottom: Callable[[Confusion], float]):
        return _interval(
            results, protocol, lambda s: top(s.confusion), lambda s: bottom(s.confusion)
        )

    summary: dict[str, Any] = {"all_images": per_image(results)}
    if lesion:
        summary["lesion_images"] = per_image(lesion)
        distances = [r.scores[protocol].hausdorff_95_px for r in lesion]
        if None not in distances:
            summary["lesion_images"]["hausdorff_95_px"] = _hausdorff(lesion, protocol)
        given = [_is_given(r.scores[protocol]) for r in lesion]
        summary["lesion_images_without_mask"] = {
            **mean(lesion, lambda s: float(not _is_given(s))),
            "count": len(given) - sum(given),
            "of": len(given),
        }
    if normal:
        given = [_is_given(r.scores[protocol]) for r in normal]
        summary["normal_images_with_mask"] = {
            **mean(normal, lambda s: float(_is_given(s))),
            "count": sum(given),
            "of": len(given),
        }
    summary["pooled"] = {
        "dice": pooled(
            lambda c: 2 * c.true_positive,
            lambda c: 2 * c.true_positive + c.false_positive + c.false_negative,
        ),
        "iou": pooled(
            lambda c: c.true_positive,
            lambda c: c.true_positive + c.false_positive + c.false_negative,
        ),
        "precision": pooled(
            lambda c: c.true_positive, lambda c: c.true_positive + c.false_positive
        ),
        "recall": pooled(lambda c: c.true_positive, lambda c: c.true_positive + c.false_negative),
        "accuracy": pooled(
            lambda c: c.true_positive + c.true_negative,
            lambda c: c.true_positive + c.true_negative + c.false_positive + c.false_negative,
        ),
    }
    summary["cross_entropy"] = mean(results, lambda s: s.cross_entropy)
    return summary


def _hausdorff(lesion: list[CaseScore], protocol: str) -> dict[str, Any]:
    """Mean and median over the lesion images that were given a mask, and how many were not."""
    finite = [r for r in lesion if math.isfinite(r.scores[protocol].hausdorff_95_px)]
    values = [r.scores[protocol].hausdorff_95_px for r in finite]
    return {
        **_interval(finite, protocol, lambda s: s.hausdorff_95_px, lambda _: 1.0),
        "median": float(np.median(values)) if values else None,
        "undefined": len(lesion) - len(finite),
    }


def _interval(
    results: list[CaseScore],
    protocol: str,
    top: Callable[[ProtocolScore], float],
    bottom: Callable[[ProtocolScore], float],
) -> dict[str, float]:
    scores = [r.scores[protocol] for r in results]
    return ratio_interval(
        np.array([top(s) for s in scores], float),
        np.array([bottom(s) for s in scores], float),
        np.array([r.group for r in results], int),
    )


def _is_given(score: ProtocolScore) -> bool:
    return score.confusion.true_positive + score.confusion.false_positive > 0
