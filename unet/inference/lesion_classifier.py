"""Lesion classifier: the probability of a lesion in the image, from deep features.

A network that outlines lesions also outlines what resembles them on normal images. Asked of the
whole image, the question has a better answer, and that answer gates the mask.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class LesionClassifier:
    """Logistic regression on layers' features, averaged over the image.

    Attributes:
        layers: The layers' names; their features are joined in this order.
        weights: float32 `(D,)`.
        bias: The intercept.
    """

    layers: tuple[str, ...]
    weights: np.ndarray
    bias: float

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LesionClassifier:
        """Build from `to_dict`'s output; ValueError, KeyError, TypeError or OverflowError else."""
        weights = np.frombuffer(base64.b64decode(values["weights"]), "<f4")
        bias = float(values["bias"])
        if not (np.isfinite(weights).all() and np.isfinite(bias)):
            raise ValueError("presence is not made of finite numbers")
        return cls(tuple(map(str, values["layers"])), weights, bias)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; the weights as base64 of little-endian float32."""
        weights = base64.b64encode(self.weights.astype("<f4").tobytes()).decode()
        return {"layers": list(self.layers), "weights": weights, "bias": self.bias}

    def probability(self, features: np.ndarray) -> float:
        """Probability of a lesion from the features of V views, float `(V, D)`: their mean."""
        from scipy.special import (
            expit,  # here: it takes a third of a second, and the page starts without
        )

        return float(expit(features @ self.weights + self.bias).mean())
