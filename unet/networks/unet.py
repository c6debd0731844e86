"""The paper's U-Net as a Keras functional model of built-in layers, and its relatives' frame.

A relative is what it puts in place of a part: `assemble` takes the block, and what happens to the
skips and at the bottom.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from unet.config import ModelConfig
from unet.networks.fixed_filters import with_channels

if TYPE_CHECKING:
    import keras

SENTENCE = (
    "The U-Net of: Cheng, Illanko, Khan. Image Segmentation of Breast Cancer Ultrasounds using "
    "U-Net Architecture. Toronto Metropolitan University."
)
START = "The paper names no optimizer, batch size or epochs; these are this project's."
PRETRAINED = None


def check(config: ModelConfig) -> None:
    """Raise ValueError where this network cannot be built as `config` says."""
    multiple = 2 ** len(config.filters)
    if config.input_size < multiple or config.input_size % multiple:
        raise ValueError(
            f"ModelConfig: input_size must be a multiple of {multiple}, so that the decoder "
            f"meets the skips. Received: {config.input_size}"
        )


def familiarity_layer(config: ModelConfig) -> str:
    """The layer whose features tell ultrasound from other pictures: texture, not yet lesions."""
    return f"encoder_{min(len(config.filters), 3)}_relu_2"


def presence_layers(config: ModelConfig) -> list[str]:
    """The layers whose features tell whether there is a lesion: the deepest."""
    return ["bottleneck_relu_2"]


def build(
    config: ModelConfig,
    batch_normalization: type[keras.layers.BatchNormalization] | None = None,
) -> keras.Model:
    """Build the U-Net of Cheng, Illanko and Khan (after Ronneberger et al., MICCAI 2015).

    Args:
        config: Sizes, filters and dropout; the defaults are the paper's.
        batch_normalization: The class for the normalisation layers. Training passes a faster one
            with the same weights; whatever is saved is built with Keras' own, the default.

    Returns:
        A model from float32 `(B, S, S, 1)` in [0, 1] to the lesion probability of each pixel,
        float32 `(B, S, S, 1)` in [0, 1], where S is `config.input_size`.
    """
    return assemble(config, double_convolution(config, batch_normalization))


def double_convolution(
    config: ModelConfig, batch_normalization: type[keras.layers.BatchNormalization] | None
) -> Callable:
    """The paper's block, as `assemble` takes it: twice convolution, normalisation and ReLU."""
    import keras  # here: the page reads what this module says, and has no Keras

    batch_normalization = batch_normalization or keras.layers.BatchNormalization

    def block(x, filters: int, dropout: float, name: str):
        for i in (1, 2):
            x = keras.layers.Conv2D(
                filters, config.kernel, padding="same", name=f"{name}_conv_{i}"
            )(x)
            x = batch_normalization(name=f"{name}_norm_{i}")(x)
            x = keras.layers.ReLU(name=f"{name}_relu_{i}")(x)
            if i == 1:
                x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
        return x

    return block


def assemble(
    config: ModelConfig,
    block: Callable,
    *,
    skip: Callable | None = None,
    bottom: Callable | None = None,
) -> keras.Model:
    """A network of the U-Net's shape with these parts.

    Args:
        config: Sizes, filters and dropout.
        block: `block(x, filters, dropout, name)`, features of that size with `filters` channels.
        skip: `skip(features, x, level)`, what the decoder gets of the encoder's features of a
            level, where `x` are the decoder's of half their size; they themselves if None.
        bottom: `bottom(x, inputs)`, features of x's size that the decoder starts from, where `x`
            comes from the bottleneck's block and `inputs` are the image; x itself if None.

    Returns:
        A model as `build` gives it.
    """
    import keras

    size = config.input_size
    inputs = keras.Input((size, size, 1), name="image")  # (B, S, S, 1)
    levels = list(enumerate(zip(config.filters, config.dropout), start=1))

    # Encoder: each level halves the size; at the paper's defaults 256, 128, 64, 32 → 16.
    x = with_channels(inputs, config.channels)  # (B, S, S, C)
    skips = []
    for level, (filters, dropout) in levels:
        x = block(x, filters, dropout, f"encoder_{level}")  # (B, S/2^(l-1), ·, F)
        skips.append(x)
        x = _halved(x, config, level)  # (B, S/2^l, ·, F)

    x = block(
        x, config.bottleneck_filters, config.bottleneck_dropout, "bottleneck"
    )  # (B, S/16, S/16, 512)
    x = bottom(x, inputs) if bottom else x

    # Decoder: each level doubles the size and meets the encoder's features of that size.
    for level, (filters, dropout) in reversed(levels):
        features = skip(skips[level - 1], x, level) if skip else skips[level - 1]
        x = keras.layers.Conv2DTranspose(
            filters, 2, strides=2, padding="same", name=f"decoder_{level}_upsample"
        )(x)  # (B, S/2^(l-1), ·, F)
        x = keras.layers.Concatenate(name=f"decoder_{level}_concat")([x, features])
        x = block(x, filters, dropout, f"decoder_{level}")  # (B, S/2^(l-1), ·, F)

    # float32 whatever the policy: a bfloat16 sigmoid has no values between 0.996 and 1.
    outputs = keras.layers.Conv2D(1, 1, activation="sigmoid", dtype="float32", name="probability")(
        x
    )  # (B, S, S, 1)
    return keras.Model(inputs, outputs, name=config.name)


def _halved(x, config: ModelConfig, level: int):
    """Features of half the size: the largest of each 2×2, or a convolution with stride 2.

    The convolution has the block's kernel and as many filters as there are channels, as
    Springenberg et al., *Striving for Simplicity* (ICLR 2015), put it in the place of pooling; here
    it is linear.
    """
    import keras

    if not config.strided:
        return keras.layers.MaxPooling2D(2, name=f"encoder_{level}_pool")(x)
    return keras.layers.Conv2D(
        x.shape[-1], config.kernel, strides=2, padding="same", name=f"encoder_{level}_downsample"
    )(x)
