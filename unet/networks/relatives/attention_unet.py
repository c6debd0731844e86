"""A U-Net whose decoder weighs what the skips bring: additive attention gates.

Oktay et al., *Attention U-Net: Learning Where to Look for the Pancreas* (MIDL 2018). Taken: the
gate (gating signal from the coarser level, additive attention with half as many filters, one weight
a place, enlarged bilinearly, multiplied into the skip), and no gate at the first level, whose
features the source finds too low for it. Left out: deep supervision, and the 1×1 convolution after
the gate that the authors' code adds. The paper's blocks, filters and dropout stay, so that the
gates are all that differs; the source's own are three-dimensional.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet.config import ModelConfig
from unet.networks.unet import (
    assemble,
    check,
    double_convolution,
    familiarity_layer,
    presence_layers,
)

if TYPE_CHECKING:
    import keras

__all__ = ["PRETRAINED", "SENTENCE", "START", "build", "check", "familiarity_layer",
           "presence_layers"]  # fmt: skip

SENTENCE = "A U-Net with additive attention gates on its skips (Oktay et al., MIDL 2018)."
START = "Trained from random weights."
PRETRAINED = None


def build(
    config: ModelConfig,
    batch_normalization: type[keras.layers.BatchNormalization] | None = None,
) -> keras.Model:
    """Build the network; arguments and result as those of `unet.networks.unet.build`."""
    return assemble(config, double_convolution(config, batch_normalization), skip=_gated)


def _gated(features, x, level: int):
    """The skip's features `(B, H, W, F)` weighted at each place by x `(B, H/2, W/2, G)`."""
    import keras

    if level == 1:
        return features
    name, inner = f"gate_{level}", features.shape[-1] // 2
    of_skip = keras.layers.Conv2D(inner, 2, strides=2, use_bias=False, name=f"{name}_skip_conv")(
        features
    )  # (B, H/2, W/2, F/2)
    of_x = keras.layers.Conv2D(inner, 1, name=f"{name}_gating_conv")(x)  # (B, H/2, W/2, F/2)
    both = keras.layers.Add(name=f"{name}_add")([of_skip, of_x])
    both = keras.layers.ReLU(name=f"{name}_relu")(both)
    weight = keras.layers.Conv2D(1, 1, activation="sigmoid", name=f"{name}_weight")(both)
    weight = keras.layers.UpSampling2D(2, interpolation="bilinear", name=f"{name}_upsample")(
        weight
    )  # (B, H, W, 1) in [0, 1]
    return keras.layers.Multiply(name=f"{name}_multiply")([features, weight])
