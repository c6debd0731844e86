"""Scores of every case, summaries with confidence intervals, the threshold sweep.

Three readings of each case are kept:

* `final`: the mask people get, at the image's own size, with the network's post-processing;
* `plain`: the same map at threshold 0.5 with no post-processing;
* `network_size`: threshold 0.5 at the network's size, the way the paper's Table I was made.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from unet.data.cases import Case, read_grey, read_mask
from unet.evaluation.diagnosis import diagnose
from unet.evaluation.metrics import Confusion, cross_entropy, hausdorff_95
from unet.inference.postprocessing import EIGHT_NEIGHBOURS, PostProcessing, level
from unet.inference.prediction import Prediction
from unet.inference.preprocessing import from_output, mask_to_input

if TYPE_CHECKING:
    from unet.inference.segmenter import Segmenter

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
MIN_AREAS = (0.0, 0.0005, 0.001, 0.002, 0.004, 0.006, 0.01)
MIN_PEAKS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
MIN_PRESENCES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
TOLERANCE = 0.002
READINGS = ("final", "plain", "network_size")

PAPER_TABLE_1 = {"loss": 0.2423, "accuracy": 0.9163, "iou": 0.4543}
"""Test results that Cheng, Illanko and Khan report; they do not define their IoU."""


@dataclass(frozen=True)
class Score:
    """One case under one reading; `hausdorff_95_px` is None where it was not measured."""

    confusion: Confusion
    cross_entropy: float
    hausdorff_95_px: float | None = None


@dataclass(frozen=True)
class CaseResult:
    """One case: who it is, its peak probability, its scores under each reading.

    `seconds` is the time from the image to its probability map; `agreement`
    and `presence` as in `Map`; `diagnosis` says what is wrong with the final mask.
    """

    id: str
    label: str
    group: int
    split: str
    height: int
    width: int
    peak: float
    seconds: float
    scores: dict[str, Score]
    agreement: float | None = None
    presence: float | None = None
    diagnosis: str = ""
    dataset: str = ""
    scanner: str = ""


@dataclass(frozen=True)
class Map:
    """A case with what the network says of it, and its truth.

    Attributes:
        case: The case.
        square: float32 `(S, S)`, the probability at the network's size.
        prediction: At the image's size `(H, W)`.
        truth: bool `(H, W)`.
        seconds: The time from the image to its prediction.
    """

    case: Case
    square: np.ndarray
    prediction: Prediction
    truth: np.ndarray
    seconds: float = 0.0

    def mask(self, rules: PostProcessing, threshold: float | None = None) -> np.ndarray:
        """The mask people would get of it by some rules: bool `(H, W)`."""
        return replace(self.prediction, rules=rules).answer(threshold).mask


def probability_map(segmenter: Segmenter, case: Case) -> Map:
    """Run the network on one case's files."""
    grey, truth = read_grey(case), read_mask(case)
    started = time.perf_counter()
    views = segmenter.views(grey)
    prediction = segmenter.prediction_of(views, *grey.shape)
    seconds = time.perf_counter() - started
    return Map(case, views.probability.mean(axis=0), prediction, truth, seconds)


def probability_maps(segmenter: Segmenter, cases: Iterable[Case]) -> list[Map]:
    """The network's maps of some cases, beside their truth."""
    return [probability_map(segmenter, case) for case in cases]


def score_map(m: Map, split: str, rules: PostProcessing) -> CaseResult:
    """Score a case's map under each reading."""
    probability = from_output(m.square, *m.truth.shape)  # (H, W)
    mask, prediction = m.mask(rules), m.prediction
    loss = cross_entropy(probability, m.truth)
    square_truth = mask_to_input(m.truth, m.square.shape[0])[:, :, 0]
    scores = {
        "final": Score(Confusion.of(mask, m.truth), loss, hausdorff_95(mask, m.truth)),
        "plain": Score(Confusion.of(prediction.p8 >= level(0.5), m.truth), loss),
        "network_size": Score(
            Confusion.of(m.square >= 0.5, square_truth), cross_entropy(m.square, square_truth)
        ),
    }
    return CaseResult(
        m.case.id,
        m.case.label,
        m.case.group,
        split,
        *m.truth.shape,
        prediction.peak,
        m.seconds,
        scores,
        prediction.agreement,
        prediction.presence,
        diagnose(mask, m.truth, replace(prediction, rules=rules)),
        m.case.dataset,
        m.case.scanner,
    )


def choose_postprocessing(maps: list[Map]) -> PostProcessing:
    """The rules with the highest mean Dice over all of the given (validation) cases.

    Threshold, smallest region and both gates are tried together, since tuning them on lesions
    alone hides false masks on normal images. Of rules that come within `TOLERANCE` of the best,
    those that do least win: what gains nothing here may cost elsewhere.
    """
    dice = np.stack([_dice_by_rules(m) for m in maps])  # (N, thresholds, areas)
    peak = np.array([m.prediction.p8.max() for m in maps])
    said = [m.prediction.presence for m in maps]
    presence = np.array([1.0 if value is None else value for value in said])
    if_gated = np.array([float(not m.truth.any()) for m in maps])  # Dice of an empty mask
    tried = []
    for min_presence, min_peak in itertools.product(MIN_PRESENCES, MIN_PEAKS):
        gated = (peak < level(min_peak)) | (presence < min_presence)
        mean = np.where(gated[:, None, None], if_gated[:, None, None], dice).mean(axis=0)
        for area, min_area in enumerate(MIN_AREAS):
            threshold = THRESHOLDS[mean[:, area].argmax()]
            rules = PostProcessing(threshold, min_area, min_peak, min_presence)
            tried.append((mean[:, area].max(), rules))
    best = max(score for score, _ in tried)
    return next(rules for score, rules in tried if score >= best - TOLERANCE)


def _dice_by_rules(m: Map) -> np.ndarray:
    """Dice for each threshold and smallest area: float `(thresholds, areas)`."""
    wanted = np.count_nonzero(m.truth)
    dice = np.empty((len(THRESHOLDS), len(MIN_AREAS)))
    for t, threshold in enumerate(THRESHOLDS):
        labels, count = ndimage.label(m.prediction.p8 >= level(threshold), EIGHT_NEIGHBOURS)
        area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        hits = np.bincount(labels[m.truth], minlength=count + 1)[1:]
        for a, min_area in enumerate(MIN_AREAS):
            keep = area >= min_area * m.truth.size
            total = area[keep].sum() + wanted
            dice[t, a] = 2 * hits[keep].sum() / total if total else 1.0
    return dice


def sweep(maps: list[Map], rules: PostProcessing) -> list[dict[str, float]]:
    """Mean scores at each threshold, the other rules as they are; a row a threshold."""
    rows = []
    lesion = np.array([m.truth.any() for m in maps])
    for threshold in THRESHOLDS:
        masks = [m.mask(rules, threshold) for m in maps]
        counts = [Confusion.of(mask, m.truth) for mask, m in zip(masks, maps)]
        dice = np.array([c.dice for c in counts])
        iou = np.array([c.iou for c in counts])
        given = np.array([mask.any() for mask in masks])
        rows.append(
            {
                "threshold": threshold,
                "dice_all": float(dice.mean()),
                "dice_lesion": _mean(dice[lesion]),
                "iou_lesion": _mean(iou[lesion]),
                "normal_with_mask": _mean(given[~lesion]),
            }
        )
    return rows


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def case_row(result: CaseResult) -> dict[str, Any]:
    """A result as a row of cases.csv: the final mask's scores, then the other readings'."""
    final = result.scores["final"]
    row: dict[str, Any] = {
        "id": result.id,
        "label": result.label,
        "dataset": result.dataset,
        "scanner": result.scanner,
        "group": result.group,
        "split": result.split,
        "width": result.width,
        "height": result.height,
        "peak": round(result.peak, 4),
        "presence": "" if result.presence is None else round(result.presence, 4),
        "agreement": "" if result.agreement is None else round(result.agreement, 4),
        "hausdorff_95_px": round(final.hausdorff_95_px, 3),
    }
    for reading in READINGS:
        score = result.scores[reading]
        prefix = "" if reading == "final" else f"{reading}_"
        for name in ("dice", "iou", "precision", "recall", "accuracy"):
            row[prefix + name] = round(getattr(score.confusion, name), 5)
        row[f"{prefix}cross_entropy"] = round(score.cross_entropy, 5)
    return row | {"diagnosis": result.diagnosis}
