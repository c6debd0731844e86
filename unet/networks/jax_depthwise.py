"""Depthwise convolution as a sum of shifted pictures, for training on JAX.

XLA computes the gradient of a depthwise convolution's kernel as that of a dense one, of as many
times the work as there are channels. As sums its gradients are sums again. The layer has the same
weights as the built-in one, so they are trained here and shipped there.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import keras
from jax import lax


def with_shifted_depthwise(network: keras.Model) -> keras.Model:
    """Rebuild the network, untrained, with depthwise convolutions as sums of shifts."""

    def same(layer: keras.Layer) -> keras.Layer:
        of = DepthwiseConv2D if _can_be_shifted(layer) else type(layer)
        return of.from_config(layer.get_config())

    return keras.models.clone_model(network, clone_function=same)


def _can_be_shifted(layer: keras.Layer) -> bool:
    """Return True for a depthwise convolution of the kind that `depthwise` computes."""
    return type(layer) is keras.layers.DepthwiseConv2D and (
        (layer.padding, layer.depth_multiplier, len(set(layer.strides)), set(layer.dilation_rate))
        == ("same", 1, 1, {1})
        and layer.activation is keras.activations.linear
    )


class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """Named as Keras' weight files name the built-in layer; "same" padding."""

    def call(self, inputs):
        kernel = jnp.asarray(self.kernel)[:, :, :, 0].astype(inputs.dtype)  # (K, K, C)
        outputs = depthwise(inputs, kernel, self.strides[0])
        return outputs if self.bias is None else outputs + jnp.asarray(self.bias)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Depthwise convolution with "same" padding: `(B, H, W, C)`, `(K, K, C)` → `(B, H', W', C)`."""
    return _sum_of_shifted(_padded(x, kernel, stride), kernel, _outputs(x, stride), stride)


def _forward(x, kernel, stride):
    return depthwise(x, kernel, stride), (x, kernel)


def _backward(stride, saved, gradient):
    """The gradients of a sum of shifted pictures: each picture's product, and a sum of shifted."""
    x, kernel = saved
    side, outputs = len(kernel), _outputs(x, stride)
    padded = _padded(x, kernel, stride)
    of_kernel = [
        [
            jnp.sum(_shifted(padded, i, j, outputs, stride) * gradient, (0, 1, 2))
            for j in range(side)
        ]
        for i in range(side)
    ]
    apart = [(0, 0, 0)]  # the gradient's rows and columns as far apart as in x
    for size, count in zip(x.shape[1:3], outputs, strict=True):
        before = side - 1 - _padding(size, side, stride)[0]
        apart.append((before, size + side - 2 - before - (count - 1) * stride, stride - 1))
    spread = lax.pad(gradient, jnp.zeros((), gradient.dtype), [*apart, (0, 0, 0)])
    of_x = _sum_of_shifted(spread, kernel[::-1, ::-1], x.shape[1:3], 1)
    return of_x, jnp.stack([jnp.stack(row) for row in of_kernel])


depthwise.defvjp(_forward, _backward)


def _outputs(x, stride: int) -> tuple[int, int]:
    """Height and width of the output."""
    return -(-x.shape[1] // stride), -(-x.shape[2] // stride)


def _padding(size: int, side: int, stride: int) -> tuple[int, int]:
    """Padding that "same" adds before and after."""
    both = max((-(-size // stride) - 1) * stride + side - size, 0)
    return both // 2, both - both // 2


def _padded(x, kernel, stride: int):
    """`(B, H, W, C)` with what "same" adds."""
    sides = [_padding(size, len(kernel), stride) for size in x.shape[1:3]]
    return jnp.pad(x, [(0, 0), *sides, (0, 0)])


def _shifted(padded, i: int, j: int, outputs: tuple[int, int], stride: int):
    """Input pixels under the kernel's place (i, j) for each output: `(B, H', W', C)`."""
    ends = i + (outputs[0] - 1) * stride + 1, j + (outputs[1] - 1) * stride + 1
    batch, _, _, channels = padded.shape
    return lax.slice(padded, (0, i, j, 0), (batch, *ends, channels), (1, stride, stride, 1))


def _sum_of_shifted(padded, kernel, outputs: tuple[int, int], stride: int):
    """The convolution of a picture that is padded: `(B, H', W', C)`."""
    return sum(
        _shifted(padded, i, j, outputs, stride) * kernel[i, j]
        for i in range(len(kernel))
        for j in range(len(kernel))
    )
