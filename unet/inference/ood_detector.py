"""Does a picture look like those a network was trained on?

The features of one encoder layer, averaged over the image, are compared with those of training
images by Mahalanobis distance (Lee et al., *A Simple Unified Framework for Detecting
Out-of-Distribution Samples*, NeurIPS 2018).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np

SLACK = 1.3
"""Other hospitals' scanners differ more than held-out images of the same ones do."""


@dataclass(frozen=True)
class OODDetector:
    """The distribution of a layer's features over training images.

    Attributes:
        layer: The layer's name.
        mean: float32 `(D,)`.
        precision: float32 `(D, D)`, the inverse covariance.
        limit: The distance within which 99 % of the held-out images lie.
    """

    layer: str
    mean: np.ndarray
    precision: np.ndarray
    limit: float

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> OODDetector:
        """Build from `to_dict`'s output; ValueError, KeyError, TypeError or OverflowError else."""
        mean = np.frombuffer(base64.b64decode(values["mean"]), "<f4")
        precision = np.frombuffer(base64.b64decode(values["precision"]), "<f4")
        square = precision.reshape(len(mean), len(mean))
        limit = float(values["limit"])
        if not all(np.isfinite(part).all() for part in (mean, square, limit)):
            raise ValueError("familiarity is not made of finite numbers")
        return cls(str(values["layer"]), mean, square, limit)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; the arrays as base64 of little-endian float32."""
        return {
            "layer": self.layer,
            "limit": self.limit,
            "mean": base64.b64encode(self.mean.astype("<f4").tobytes()).decode(),
            "precision": base64.b64encode(self.precision.astype("<f4").tobytes()).decode(),
        }

    def distance(self, features: np.ndarray) -> float:
        """Mahalanobis distance of float `(D,)` from the training images; at least 0."""
        offset = features - self.mean
        return float(np.sqrt(max(offset @ self.precision @ offset, 0.0)))

    def knows(self, features: np.ndarray) -> bool:
        """Return True for features of a familiar picture, False for an out-of-distribution one."""
        return self.distance(features) <= SLACK * self.limit
