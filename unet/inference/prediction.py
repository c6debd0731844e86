"""Prediction of a network for an image, and its segmentation at a threshold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from unet.core.mask import (
    PostProcessing,
    active_gate,
    segment,
    to_level,
    withheld_mask,
)
from unet.core.regions import Region, find_regions
from unet.inference.confidence import Confidence


@dataclass(frozen=True)
class ModelId:
    """Which network it was.

    Attributes:
        name: Its name.
        sha256: Of its weights, in hex; empty if they are in no bundle.
        revision: Commit on the Hub it was fetched at; None for a bundled one.
    """

    name: str
    sha256: str = ""
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.sha256[:12]}".strip()


@dataclass(frozen=True)
class Prediction:
    """Output of a network for one image.

    Attributes:
        probability_u8: uint8 `(H, W)`, the lesion probability times 255, at the image's own size.
        disagreement_u8: uint8 `(H, W)`, largest difference between the views times 255; None for
            a single view.
        agreement: How well the views agree, in [0, 1]; None where there is one view.
        presence: How likely there is a lesion at all, in [0, 1]; None if the network does not say.
        familiar: Whether the picture looks like those it was trained on; None if unknown.
        postprocessing: How the probability becomes a mask.
        network: Which network it was.
        confidence: Which agreement counts as high or low; None where there is one view.
    """

    probability_u8: np.ndarray
    disagreement_u8: np.ndarray | None
    agreement: float | None
    presence: float | None
    familiar: bool | None
    postprocessing: PostProcessing
    network: ModelId
    confidence: Confidence | None = None

    @property
    def peak(self) -> float:
        """The highest probability, in [0, 1]."""
        return int(self.probability_u8.max()) / 255

    def without_gates(self) -> Prediction:
        """Disable all gates: a positive prompt says that there is a lesion."""
        rules = replace(self.postprocessing, min_area=0.0, min_peak=0.0, min_presence=0.0)
        return replace(self, presence=None, postprocessing=rules, confidence=None)

    def segment(
        self, threshold: float | None = None, spacing_mm: tuple[float, float] | None = None
    ) -> Segmentation:
        """The mask at a threshold in [0, 1]; at the network's own if None.

        Args:
            threshold: From which probability on a pixel counts as lesion.
            spacing_mm: Height and width of a pixel in millimetres, if known.

        Raises:
            ValueError: The threshold lies outside [0, 1].
        """
        own = self.postprocessing.threshold
        threshold = own if threshold is None else threshold
        mask = segment(self.probability_u8, self.postprocessing, threshold, self.presence)
        found = bool(mask.any())
        unsure = withheld_mask(self.probability_u8, self.postprocessing, threshold, self.presence)
        confidence = None
        if self.confidence and to_level(threshold) == to_level(own):
            confidence = self.confidence.word(self.agreement, self.peak, found, self.presence)
            # Nor is a network sure of a picture unlike those it knows, whatever it says.
            confidence = "low" if self.familiar is False or unsure.any() else confidence
        reason = None if found else self._reason(threshold)
        return Segmentation(
            mask, threshold, confidence, reason, self.probability_u8, spacing_mm, unsure
        )

    def _reason(self, threshold: float) -> str:
        gate = active_gate(self.probability_u8, self.postprocessing, self.presence)
        return gate or ("threshold" if self.probability_u8.max() < to_level(threshold) else "area")


@dataclass(frozen=True)
class Segmentation:
    """Meaning of a prediction at a threshold.

    Attributes:
        mask: bool `(H, W)`.
        threshold: In [0, 1].
        confidence: "low", "medium" or "high"; None where the network gives none, and at any
            threshold that is not its own.
        reason: Why there is no mask: "presence" (a lesion at all thought unlikely), "peak" (no
            place sure enough), "threshold" (nothing reaches it), "area" (all regions too small) or
            "hand" (a person erased it); None where there is one.
        probability_u8: uint8 `(H, W)`, the probability that the regions are measured on.
        spacing_mm: Height and width of a pixel in millimetres; None if unknown.
        withheld_mask: bool `(H, W)`, what a gate keeps back that is still to be looked at.
        calibrated: Whether a person measured `spacing_mm` out on the picture.
        network_answer: What the network said, where a person has corrected the mask since.
    """

    mask: np.ndarray
    threshold: float
    confidence: str | None
    reason: str | None
    probability_u8: np.ndarray
    spacing_mm: tuple[float, float] | None = None
    withheld_mask: np.ndarray | None = None
    calibrated: bool = False
    network_answer: Segmentation | None = None

    def with_manual_mask(self, mask: np.ndarray) -> Segmentation:
        """Replace the mask by one that a person has corrected, bool `(H, W)`.

        How sure the network was says nothing of it.
        """
        reason = None if mask.any() else "hand"
        return replace(
            self, mask=mask, confidence=None, reason=reason, withheld_mask=None, network_answer=self
        )

    @property
    def unsure(self) -> bool:
        """True without a mask but with a withheld region to check."""
        return self.withheld_mask is not None and bool(self.withheld_mask.any())

    @cached_property
    def withheld_regions(self) -> list[Region]:
        """The regions to be looked at, largest first."""
        return (
            find_regions(self.withheld_mask, self.probability_u8, self.spacing_mm)
            if self.unsure
            else []
        )

    @cached_property
    def regions(self) -> list[Region]:
        """The mask's regions, largest first."""
        return find_regions(self.mask, self.probability_u8, self.spacing_mm)
