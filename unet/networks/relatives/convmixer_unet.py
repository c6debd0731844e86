"""A U-Net whose deep levels are ConvMixer blocks in place of double convolutions.

AbdElhakem et al. (AICCSA 2023) put ConvMixer blocks (Trockman and Kolter, *Patches Are All You
Need?*, 2022) into a U-Net for breast ultrasound. Taken: the block as its authors wrote it
(depthwise convolution with a large kernel beside a shortcut, then a pointwise one, each followed by
GELU and normalisation), at the last level of encoder and decoder and the bottleneck, where double
convolutions have most of their weights. SiLU stands for GELU, whose error function cannot be
exported. The source is known here by what others say of it; how many blocks, with which kernel, and
at which levels is this project's choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet.config import ModelConfig
from unet.networks.unet import assemble, check, double_convolution

if TYPE_CHECKING:
    import keras

__all__ = ["PRETRAINED", "SENTENCE", "START", "build", "check", "familiarity_layer", "mixers",
           "presence_layers"]  # fmt: skip

SENTENCE = (
    "A U-Net with ConvMixer blocks (Trockman and Kolter 2022) at its deep levels, after AbdElhakem "
    "et al. (AICCSA 2023)."
)
START = "Trained from random weights."
PRETRAINED = None
DEPTH, KERNEL = 3, 7
"""Mixers in a row, and the side of their depthwise kernels in pixels."""


def familiarity_layer(config: ModelConfig) -> str:
    """The layer whose features tell ultrasound from other pictures: texture, not yet lesions."""
    shallow = len(config.filters) - 1
    return f"encoder_{min(shallow, 3)}_relu_2" if shallow else "encoder_1_mixer_1_norm_2"


def presence_layers(config: ModelConfig) -> list[str]:
    """The layers whose features tell whether there is a lesion: the deepest."""
    return [f"bottleneck_mixer_{DEPTH}_norm_2"]


def build(
    config: ModelConfig,
    batch_normalization: type[keras.layers.BatchNormalization] | None = None,
) -> keras.Model:
    """Build the network; arguments and result as those of `unet.networks.unet.build`."""
    last = len(config.filters)
    deep = {f"encoder_{last}", "bottleneck", f"decoder_{last}"}
    plain = double_convolution(config, batch_normalization)

    def block(x, filters: int, dropout: float, name: str):
        if name in deep:
            return mixers(x, filters, dropout, name, batch_normalization)
        return plain(x, filters, dropout, name)

    return assemble(config, block)


def mixers(x, filters: int, dropout: float, name: str, batch_normalization=None):
    """`DEPTH` ConvMixer blocks at one size: `(B, H, W, C)` → `(B, H, W, filters)`."""
    import keras

    batch_normalization = batch_normalization or keras.layers.BatchNormalization

    def activated(x, name: str, number: int):
        x = keras.layers.Activation("silu", name=f"{name}_silu_{number}")(x)
        return batch_normalization(name=f"{name}_norm_{number}")(x)

    x = activated(keras.layers.Conv2D(filters, 1, name=f"{name}_embed_conv")(x), f"{name}_embed", 1)
    x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
    for number in range(1, DEPTH + 1):
        mixer = f"{name}_mixer_{number}"
        y = keras.layers.DepthwiseConv2D(KERNEL, padding="same", name=f"{mixer}_depthwise_conv")(x)
        x = keras.layers.Add(name=f"{mixer}_add")([x, activated(y, mixer, 1)])
        x = activated(keras.layers.Conv2D(filters, 1, name=f"{mixer}_pointwise_conv")(x), mixer, 2)
    return x
