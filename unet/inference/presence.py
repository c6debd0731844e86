"""How likely is there a lesion at all? A logistic regression on a network's deep features.

A network that outlines lesions also outlines what resembles them on normal images. Asked of the
whole image, the question has a better answer, and that answer gates the mask.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

PENALTY = 1e-3
"""Weight of the squared coefficients of standardised features beside the mean loss."""


@dataclass(frozen=True)
class Presence:
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
    def fit(cls, layers: tuple[str, ...], features: np.ndarray, present: np.ndarray) -> Presence:
        """Learn from features `(N, D)` and from whether there is a lesion, bool `(N,)`.

        Both answers weigh the same, however many images there are of each.
        """
        from scipy.optimize import minimize

        mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
        x = ((features - mean) / spread).astype(np.float64)  # (N, D)
        sign = np.where(present, 1.0, -1.0)
        weight = np.where(present, 0.5 / max(present.sum(), 1), 0.5 / max((~present).sum(), 1))

        def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            w, b = parameters[:-1], parameters[-1]
            margin = sign * (x @ w + b)
            slope = -weight * sign * expit(-margin)
            value = weight @ np.logaddexp(0, -margin) + PENALTY / 2 * w @ w
            return value, np.append(x.T @ slope + PENALTY * w, slope.sum())

        start = np.zeros(x.shape[1] + 1)
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000}).x
        weights = found[:-1] / spread
        return cls(layers, weights.astype(np.float32), float(found[-1] - weights @ mean))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Presence:
        """What `to_dict` gave; ValueError, KeyError or TypeError for anything else."""
        weights = np.frombuffer(base64.b64decode(values["weights"]), "<f4")
        return cls(tuple(map(str, values["layers"])), weights, float(values["bias"]))

    def to_dict(self) -> dict[str, Any]:
        """JSON values; the weights as base64 of little-endian float32."""
        weights = base64.b64encode(self.weights.astype("<f4").tobytes()).decode()
        return {"layers": list(self.layers), "weights": weights, "bias": self.bias}

    def probability(self, features: np.ndarray) -> float:
        """Probability of a lesion from the features of V views, float `(V, D)`: their mean."""
        return float(expit(features @ self.weights + self.bias).mean())
