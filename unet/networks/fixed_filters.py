"""Edge and texture channels that a network computes of its grey image by fixed convolutions.

After Cai et al. (ICCECE 2022), who give a U-Net Sobel or Canny edges and local binary patterns
beside the grey channel. Here they are layers of the network, so its input stays the grey image. Of
Canny's steps a convolution can do the first two, smoothing and gradient; thinning and hysteresis
are left out, so "edges" is a smoothed Sobel magnitude. How the source scales and stacks its
channels is not known here.
"""

from __future__ import annotations

import numpy as np

SOBEL = np.outer([1, 2, 1], [-1, 0, 1]) / 8.0  # float64 (3, 3): grey levels a pixel, to the right
SMOOTHING = np.outer([1, 2, 1], [1, 2, 1]) / 16.0
AROUND = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
"""Row and column of the eight neighbours, clockwise from the upper left."""
STEEPNESS, MIDDLE = 1e5, 4.0
"""Of the ramp in place of a step: `hard_sigmoid` is 0 up to -3 and 1 from 3 on. Inputs are rounded
to 4 decimals, so two that differ do so by at least 1e-4: a darker neighbour gives -6 or less, one
that is as bright 4, each with room for rounding."""


def with_channels(inputs, channels: tuple[str, ...]):
    """The grey image with these channels beside it.

    Args:
        inputs: float32 `(B, S, S, 1)` in [0, 1].
        channels: Some of `unet.config.CHANNELS`, "grey" first.

    Returns:
        float32 `(B, S, S, C)`; the image itself where it is the only channel.
    """
    import keras

    made = {"edges": _edges, "texture": _texture}
    if channels == ("grey",):
        return inputs
    beside = [made[name](inputs) for name in channels[1:]]
    return keras.layers.Concatenate(dtype="float32", name="channels")([inputs, *beside])


def _edges(inputs):
    """Gradient magnitude of the smoothed image: |d/dx| + |d/dy|, float32 `(B, S, S, 1)`.

    The sum of absolute values stands for the length of the gradient, which is at most that and at
    least 0.7 of it. An absolute value is the sum of what is above and of what is below zero.
    """
    import keras

    smooth = _fixed(inputs, SMOOTHING[:, :, None, None], "edges_smooth")
    kernel = np.stack([SOBEL, -SOBEL, SOBEL.T, -SOBEL.T], axis=-1)[:, :, None]  # (3, 3, 1, 4)
    sides = keras.layers.ReLU(dtype="float32", name="edges_sides")(
        _fixed(smooth, kernel, "edges_gradient")
    )
    return _fixed(sides, np.ones((1, 1, 4, 1)), "edges")


def _texture(inputs):
    """Local binary patterns of the eight neighbours (Ojala et al. 1996), float32 `(B, S, S, 1)`.

    Each neighbour that is at least as bright as its pixel sets a bit; the code is divided by 255.
    Exact for inputs rounded to 4 decimals; what augmentation makes lies on a ramp where two pixels
    differ by less than that. Outside the image is black. Training adds noise before this: of 3 % it
    changes half of the codes, and images that the network is used on have less of it.
    """
    import keras

    kernel = np.zeros((3, 3, 1, 8))
    for bit, (row, column) in enumerate(AROUND):
        kernel[1 + row, 1 + column, 0, bit] = STEEPNESS
        kernel[1, 1, 0, bit] = -STEEPNESS
    bits = keras.layers.Activation("hard_sigmoid", dtype="float32", name="texture_bits")(
        _fixed(inputs, kernel, "texture_differences", bias=MIDDLE)
    )
    weights = 2.0 ** np.arange(8) / 255
    return _fixed(bits, weights[None, None, :, None], "texture")


def _fixed(x, kernel: np.ndarray, name: str, bias: float | None = None):
    """`x` convolved with a kernel `(k, k, C, D)` that is not trained."""
    import keras

    layer = keras.layers.Conv2D(
        kernel.shape[-1], kernel.shape[0], padding="same", use_bias=bias is not None,
        trainable=False, dtype="float32", name=name,
    )  # fmt: skip
    y = layer(x)
    biases = [] if bias is None else [np.full(kernel.shape[-1], bias)]
    layer.set_weights([kernel, *biases])
    return y
