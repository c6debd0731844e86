"""Scores of every case, summaries with confidence intervals, the threshold sweep.

Each case is scored by three protocols:

* `postprocessed`: the mask as people get it, at the image's own size;
* `threshold_0.5`: the probability at 0.5 without post-processing, at the image's own size;
* `network_resolution`: threshold 0.5 at the network's size, as the paper's Table I was made.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from unet.core.image import mask_to_input, resize_probability
from unet.core.mask import PostProcessing, to_level
from unet.core.metrics import Confusion, cross_entropy, hausdorff_95
from unet.data.cases import Case, read_grey, read_mask
from unet.evaluation.error_labels import diagnose
from unet.inference.prediction import Prediction

if TYPE_CHECKING:
    from unet.inference.segmenter import Segmenter

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
PROTOCOLS = ("postprocessed", "threshold_0.5", "network_resolution")

PAPER_TABLE_1 = {"loss": 0.2423, "accuracy": 0.9163, "iou": 0.4543}
"""Test results that Cheng, Illanko and Khan report; they do not define their IoU."""


@dataclass(frozen=True)
class ProtocolScore:
    """One case under one protocol; `hausdorff_95_px` is None where it was not measured."""

    confusion: Confusion
    cross_entropy: float
    hausdorff_95_px: float | None = None


@dataclass(frozen=True)
class CaseScore:
    """One case: who it is, its peak probability, its scores under each reading.

    `seconds` is the time from the image to its probability map; `agreement` and `presence` as in
    `Prediction`; `confidence` is the answer's word; `diagnosis` says what is wrong with the final
    mask.
    """

    id: str
    label: str
    group: int
    split: str
    height: int
    width: int
    peak: float
    seconds: float
    scores: dict[str, ProtocolScore]
    agreement: float | None = None
    presence: float | None = None
    diagnosis: str = ""
    dataset: str = ""
    scanner: str = ""
    confidence: str | None = None

    @property
    def has_lesion(self) -> bool:
        """True where the truth shows a lesion."""
        counts = self.scores["postprocessed"].confusion
        return counts.true_positive + counts.false_negative > 0

    def has_mask(self, protocol: str = "postprocessed") -> bool:
        """Return True where a protocol gives it a mask."""
        counts = self.scores[protocol].confusion
        return counts.true_positive + counts.false_positive > 0

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CaseScore:
        """Read what `unet.config.to_dict` wrote."""
        scores = {
            name: ProtocolScore(**score | {"confusion": Confusion(**score["confusion"])})
            for name, score in values["scores"].items()
        }
        return cls(**values | {"scores": scores})


@dataclass(frozen=True)
class CasePrediction:
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
        return replace(self.prediction, postprocessing=rules).segment(threshold).mask


def threshold_protocol(threshold: float) -> str:
    """Name of the protocol of a threshold without post-processing."""
    return f"threshold_{threshold}"


def predict_case(segmenter: Segmenter, case: Case) -> CasePrediction:
    """Run the network on one case's files."""
    grey, truth = read_grey(case), read_mask(case)
    started = time.perf_counter()
    views = segmenter.predict_views(grey)
    prediction = segmenter.predict_from(grey, views)
    seconds = time.perf_counter() - started
    return CasePrediction(case, views.probability.mean(axis=0), prediction, truth, seconds)


def predict_cases(segmenter: Segmenter, cases: Iterable[Case]) -> list[CasePrediction]:
    """The network's maps of some cases, beside their truth."""
    return [predict_case(segmenter, case) for case in cases]


def score_case(
    m: CasePrediction, split: str, rules: PostProcessing, thresholds: Sequence[float] = ()
) -> CaseScore:
    """Score a case's map by each protocol, and as `threshold_0.5` at other thresholds."""
    probability = resize_probability(m.square, *m.truth.shape)  # (H, W)
    prediction = replace(m.prediction, postprocessing=rules)
    answer = prediction.segment()
    mask = answer.mask
    loss = cross_entropy(probability, m.truth)
    square_truth = mask_to_input(m.truth, m.square.shape[0])[:, :, 0]
    scores = {
        "postprocessed": ProtocolScore(
            Confusion.of(mask, m.truth), loss, hausdorff_95(mask, m.truth)
        ),
        **{
            threshold_protocol(threshold): ProtocolScore(
                Confusion.of(prediction.probability_u8 >= to_level(threshold), m.truth), loss
            )
            for threshold in (0.5, *thresholds)
        },
        "network_resolution": ProtocolScore(
            Confusion.of(m.square >= 0.5, square_truth), cross_entropy(m.square, square_truth)
        ),
    }
    return CaseScore(
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
        diagnose(mask, m.truth, prediction),
        m.case.dataset,
        m.case.scanner,
        answer.confidence,
    )


def sweep(maps: list[CasePrediction], rules: PostProcessing) -> list[dict[str, float]]:
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


def case_row(result: CaseScore) -> dict[str, Any]:
    """A row of cases.csv: scores of the post-processed mask, then of the other protocols."""
    final = result.scores["postprocessed"]
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
        "confidence": result.confidence or "",
        "agreement": "" if result.agreement is None else round(result.agreement, 4),
        "hausdorff_95_px": round(final.hausdorff_95_px, 3),
    }
    for protocol in PROTOCOLS:
        score = result.scores[protocol]
        prefix = "" if protocol == "postprocessed" else f"{protocol}_"
        for name in ("dice", "iou", "precision", "recall", "accuracy"):
            row[prefix + name] = round(getattr(score.confusion, name), 5)
        row[f"{prefix}cross_entropy"] = round(score.cross_entropy, 5)
    return row | {"diagnosis": result.diagnosis}
