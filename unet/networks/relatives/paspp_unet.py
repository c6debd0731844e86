"""Two branches, convolution and Transformer, with ConvMixer and PASPP at their bottoms.

Tran et al. (ICSSE 2023) join a convolutional and a Transformer branch, and put ConvMixer and
progressive atrous spatial pyramid pooling (PASPP) at the branches' bottoms; which where is taken to
be in this order. Taken: the two branches, the two modules, one decoder. PASPP is that of Yan et al.
(*COVID-SegNet*, 2020): four reduced copies of the features, atrous convolutions of growing rate,
neighbours joined in pairs and the pairs again. The source is known here by its abstract; patches as
large as the convolutional branch's shrinking, the Transformer's width and depth, and positions by a
depthwise convolution are this project's choice, and the encoder is the paper's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet.config import ModelConfig
from unet.networks.relatives.convmixer_unet import mixers, presence_layers
from unet.networks.transformer_blocks import attended, channels_mixed, positioned
from unet.networks.unet import assemble, check, double_convolution, familiarity_layer

if TYPE_CHECKING:
    import keras

__all__ = ["PRETRAINED", "SENTENCE", "START", "build", "check", "familiarity_layer",
           "presence_layers"]  # fmt: skip

SENTENCE = (
    "A U-Net with a Transformer branch beside its encoder, ConvMixer blocks and progressive atrous "
    "spatial pyramid pooling at the bottom, after Tran et al. (ICSSE 2023)."
)
START = "Trained from random weights."
PRETRAINED = None
LAYERS = 2
"""Number of heads of the Transformer branch."""
RATES = (1, 2, 4, 8)
"""Dilation rates of the pyramid's atrous convolutions in pixels."""


def build(
    config: ModelConfig,
    batch_normalization: type[keras.layers.BatchNormalization] | None = None,
) -> keras.Model:
    """Build the network; arguments and result as those of `unet.networks.unet.build`."""
    import keras

    batch_normalization = batch_normalization or keras.layers.BatchNormalization
    plain = double_convolution(config, batch_normalization)
    filters, dropout = config.bottleneck_filters, config.bottleneck_dropout

    def block(x, filters: int, dropout: float, name: str):
        if name == "bottleneck":
            return mixers(x, filters, dropout, name, batch_normalization)
        return plain(x, filters, dropout, name)

    def bottom(x, inputs):
        patch = 2 ** len(config.filters)
        y = keras.layers.Conv2D(filters // 4, patch, strides=patch, name="branch_patches")(
            inputs
        )  # (B, S/16, S/16, 128)
        y = positioned(y, "branch")
        for number in range(1, LAYERS + 1):
            y = attended(y, f"branch_{number}")
            y = channels_mixed(y, dropout, f"branch_{number}")
        y = _pyramid(y, batch_normalization)  # (B, S/16, S/16, 128)
        x = keras.layers.Concatenate(name="branches_concat")([x, y])
        return _convolved(x, filters, 1, 1, "branches", batch_normalization)

    return assemble(config, block, bottom=bottom)


def _pyramid(x, batch_normalization):
    """Progressive atrous spatial pyramid pooling: `(B, H, W, C)` both."""
    import keras

    channels = x.shape[-1]
    reduced = [
        _convolved(x, channels // 4, 1, 1, f"pyramid_{rate}_reduce", batch_normalization)
        for rate in RATES
    ]
    pairs = []
    for first in (0, 2):
        both = keras.layers.Add(name=f"pyramid_pair_{first}_add")(reduced[first : first + 2])
        scales = []
        for number in (first, first + 1):
            name = f"pyramid_{RATES[number]}"
            y = _convolved(reduced[number], channels // 4, 3, RATES[number], name,
                           batch_normalization)  # fmt: skip
            scales.append(keras.layers.Add(name=f"{name}_add")([y, both]))
        joined = keras.layers.Concatenate(name=f"pyramid_pair_{first}_concat")(scales)
        pairs.append(
            _convolved(joined, channels // 2, 1, 1, f"pyramid_pair_{first}", batch_normalization)
        )
    joined = keras.layers.Concatenate(name="pyramid_concat")(pairs)
    return _convolved(joined, channels, 1, 1, "pyramid", batch_normalization)


def _convolved(x, filters: int, kernel: int, rate: int, name: str, batch_normalization):
    """Convolution, normalisation, ReLU."""
    import keras

    x = keras.layers.Conv2D(
        filters, kernel, padding="same", dilation_rate=rate, use_bias=False, name=f"{name}_conv"
    )(x)
    x = batch_normalization(name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
