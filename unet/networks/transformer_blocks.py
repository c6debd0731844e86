"""A Transformer's two halves over the places of a map, of built-in layers.

SiLU stands for GELU, whose error function cannot be exported.
"""

from __future__ import annotations

HEADS = 4
EXPANSION = 2
"""Expansion factor of the channel mixing."""


def attended(x, name: str):
    """x plus what self-attention over all its places gives: `(B, H, W, C)` both (pre-norm)."""
    import keras

    height, width, channels = x.shape[1:]
    y = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_attention_norm")(x)
    tokens = keras.layers.Reshape((height * width, channels), name=f"{name}_tokens")(y)
    heads = min(HEADS, channels)
    y = keras.layers.MultiHeadAttention(heads, channels // heads, name=f"{name}_attention")(
        tokens, tokens
    )  # (B, H·W, C)
    y = keras.layers.Reshape((height, width, channels), name=f"{name}_places")(y)
    return keras.layers.Add(name=f"{name}_attention_add")([x, y])


def channels_mixed(x, dropout: float, name: str):
    """x plus what a two-layer perceptron makes of each place's channels: `(B, H, W, C)` both."""
    import keras

    channels = x.shape[-1]
    y = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_channels_norm")(x)
    y = keras.layers.Dense(EXPANSION * channels, activation="silu", name=f"{name}_expand")(y)
    y = keras.layers.Dropout(dropout, name=f"{name}_dropout")(y)
    y = keras.layers.Dense(channels, name=f"{name}_project")(y)
    return keras.layers.Add(name=f"{name}_channels_add")([x, y])


def positioned(x, name: str):
    """x plus a depthwise convolution of it, by which places differ (Chu et al., CPVT, 2021).

    It knows where the border is, and has the same weights whatever the image's size.
    """
    import keras

    y = keras.layers.DepthwiseConv2D(3, padding="same", name=f"{name}_position_conv")(x)
    return keras.layers.Add(name=f"{name}_position_add")([x, y])
