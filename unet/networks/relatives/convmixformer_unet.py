"""A U-Net of Transformer-shaped blocks: ConvMixer for what is near, self-attention for the whole.

V.-Q. Nguyen et al. (*ConvmixFormer-Unet*, ICCAIS 2023) keep the shape of a Transformer's block, put
depthwise convolutions of several kernels (3, 5 and 7 in their table) into the place of its token
mixing, and keep the mixing of channels. Taken: that block in the encoder, with self-attention as
the token mixing at the bottleneck, where the places are few. Left out: squeeze and excitation, and
the decoder of ConvMixer blocks with transposed convolutions; the decoder is the paper's, and so is
the first level, where depthwise convolutions cost most and have least to mix. Widths are the
paper's, so the source's saving in parameters is not to be expected here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet.config import ModelConfig
from unet.networks.transformer_blocks import attended, channels_mixed, positioned
from unet.networks.unet import assemble, check, double_convolution

if TYPE_CHECKING:
    import keras

__all__ = ["PRETRAINED", "SENTENCE", "START", "build", "check", "familiarity_layer",
           "presence_layers"]  # fmt: skip

SENTENCE = (
    "A U-Net whose encoder mixes places by depthwise convolutions of several sizes and, at the "
    "bottom, by self-attention, after V.-Q. Nguyen et al. (ICCAIS 2023)."
)
START = "Trained from random weights."
PRETRAINED = None
KERNELS = (3, 5, 7)
BLOCKS = 2
"""In a row at each level."""


def familiarity_layer(config: ModelConfig) -> str:
    """The layer whose features tell ultrasound from other pictures: texture, not yet lesions."""
    level = min(len(config.filters), 3)
    return "encoder_1_relu_2" if level == 1 else f"encoder_{level}_{BLOCKS}_channels_add"


def presence_layers(config: ModelConfig) -> list[str]:
    """The layers whose features tell whether there is a lesion: the deepest."""
    return [f"bottleneck_{BLOCKS}_channels_add"]


def build(
    config: ModelConfig,
    batch_normalization: type[keras.layers.BatchNormalization] | None = None,
) -> keras.Model:
    """Build the network; arguments and result as those of `unet.networks.unet.build`."""
    import keras

    batch_normalization = batch_normalization or keras.layers.BatchNormalization
    plain = double_convolution(config, batch_normalization)

    def block(x, filters: int, dropout: float, name: str):
        if name == "encoder_1" or name.startswith("decoder"):
            return plain(x, filters, dropout, name)
        x = keras.layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_embed_conv")(x)
        x = batch_normalization(name=f"{name}_embed_norm")(x)
        if name == "bottleneck":
            x = positioned(x, name)
        for number in range(1, BLOCKS + 1):
            part = f"{name}_{number}"
            x = attended(x, part) if name == "bottleneck" else _near(x, part, batch_normalization)
            x = channels_mixed(x, dropout, part)
        return x

    return assemble(config, block)


def _near(x, name: str, batch_normalization):
    """x plus what depthwise convolutions of several sizes give together: `(B, H, W, C)` both."""
    import keras

    y = batch_normalization(name=f"{name}_mixing_norm")(x)
    scales = []
    for kernel in KERNELS:
        layer = f"{name}_depthwise_conv_{kernel}"
        scales.append(keras.layers.DepthwiseConv2D(kernel, padding="same", name=layer)(y))
    y = keras.layers.Add(name=f"{name}_scales_add")(scales)
    y = keras.layers.Activation("silu", name=f"{name}_mixing_silu")(y)
    y = keras.layers.Conv2D(x.shape[-1], 1, name=f"{name}_pointwise_conv")(y)
    return keras.layers.Add(name=f"{name}_mixing_add")([x, y])
