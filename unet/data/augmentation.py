"""Augmentation strengths; `pipeline` applies them on TensorFlow, `pipeline_jax` on JAX."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Augmentation:
    """Augmentation strengths; each change is uniform between plus and minus its value.

    Geometry first, then gamma, gain over depth, speckle, brightness, contrast, loss of resolution,
    noise. Horizontal flip only: ultrasound has a top. Grey values stay in [0, 1].

    Attributes:
        rotation: In radians.
        larger, smaller: Logarithms of how far the picture grows and shrinks (on black).
        aspect: Logarithm of how far it is stretched.
        shear, shift: As shares of the picture.
        gamma, contrast: Logarithms.
        brightness: As a share.
        gain: Of grey values over depth, as a share.
        speckle: Deviation of multiplicative grain of two pixels' size.
        noise: Deviation of multiplicative noise by pixel.
        coarse: Share of the images that lose resolution, down to 0.3 of it.
    """

    rotation: float = math.radians(12)
    larger: float = 0.15
    smaller: float = 0.15
    aspect: float = 0.0
    shear: float = 0.08
    shift: float = 0.08
    gamma: float = 0.35
    contrast: float = 0.0
    brightness: float = 0.08
    gain: float = 0.0
    speckle: float = 0.0
    noise: float = 0.03
    coarse: float = 0.0


MILD = Augmentation()
STRONG = Augmentation(
    rotation=math.radians(15),
    larger=0.3,
    smaller=0.3,
    aspect=0.15,
    shear=0.1,
    shift=0.12,
    gamma=0.5,
    contrast=0.3,
    gain=0.35,
    speckle=0.15,
    coarse=0.3,
)
"""As widely as scanners and their settings differ."""
AUGMENTATION = {"none": None, "mild": MILD, "strong": STRONG}
"""By the name in `TrainConfig.augmentation`."""
