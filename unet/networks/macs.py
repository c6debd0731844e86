"""Cost of a network: multiply-adds of one image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def multiply_adds(network: keras.Model) -> int:
    """Multiply-adds of convolutions, dense layers and attention for one image.

    Normalisation, activations and resizing are not counted: a few in a thousand.
    """
    return sum(_of_layer(layer) for layer in network.layers)


def _of_layer(layer: keras.layers.Layer) -> int:
    import keras

    if isinstance(layer, keras.layers.MultiHeadAttention):
        tokens = layer.output.shape[1]
        projections = sum(math.prod(w.shape) for w in layer.weights if len(w.shape) == 3)
        inner = layer.num_heads * (layer.key_dim + layer.value_dim)
        return tokens * projections + tokens * tokens * inner  # queries × keys, weights × values
    if isinstance(
        layer,
        keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.Conv2DTranspose
        | keras.layers.Dense,
    ):  # fmt: skip
        # Each weight of a kernel is used once for each place of the smaller of the two sides.
        smaller = layer.input if isinstance(layer, keras.layers.Conv2DTranspose) else layer.output
        return math.prod(smaller.shape[1:-1]) * math.prod(layer.kernel.shape)
    return 0
