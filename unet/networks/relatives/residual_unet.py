"""A U-Net of residual blocks with group normalisation and spatial dropout.

Ciobotaru et al. (AQTR 2024) segment breast ultrasound with residual blocks, instance or group
normalisation, spatial dropout and weight decay. Taken: these four (the decay is a setting of the
training). The source is known here by what others say of it, so what it leaves open is this
project's choice: the block is He et al.'s (CVPR 2016) with a 1×1 convolution on the shortcut, the
groups number `GROUPS` (as many as channels would be instance normalisation), the rates are those of
the paper's dropout, which spatial dropout applies to whole channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet.config import ModelConfig
from unet.networks.unet import assemble, check, familiarity_layer, presence_layers

if TYPE_CHECKING:
    import keras

__all__ = ["PRETRAINED", "SENTENCE", "START", "build", "check", "familiarity_layer",
           "presence_layers"]  # fmt: skip

SENTENCE = (
    "A U-Net of residual blocks with group normalisation and spatial dropout, after Ciobotaru et "
    "al. (AQTR 2024)."
)
START = "Trained from random weights."
PRETRAINED = None
GROUPS = 8
"""Groups of channels that are normalised together; fewer where there are not so many channels."""


def build(
    config: ModelConfig,
    batch_normalization: type[keras.layers.BatchNormalization] | None = None,
) -> keras.Model:
    """Build the network; arguments and result as those of `unet.networks.unet.build`.

    It has no batch normalisation, so `batch_normalization` changes nothing.
    """
    import keras

    def normalised(x, name: str):
        groups = min(GROUPS, x.shape[-1])
        return keras.layers.GroupNormalization(groups, name=name)(x)

    def block(x, filters: int, dropout: float, name: str):
        shortcut = keras.layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_shortcut_conv")(x)
        shortcut = normalised(shortcut, f"{name}_shortcut_norm")
        for i in (1, 2):
            x = keras.layers.Conv2D(
                filters, config.kernel, padding="same", use_bias=False, name=f"{name}_conv_{i}"
            )(x)
            x = normalised(x, f"{name}_norm_{i}")
            if i == 1:
                x = keras.layers.ReLU(name=f"{name}_relu_1")(x)
                x = keras.layers.SpatialDropout2D(dropout, name=f"{name}_dropout")(x)
        x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
        return keras.layers.ReLU(name=f"{name}_relu_2")(x)

    return assemble(config, block)
