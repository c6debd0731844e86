"""tf.data input: shuffling and augmentation that depend on (seed, epoch, case) alone.

So a run that is killed and resumed sees the same images in the same order as one that was not.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

FLIP = 0.5
ROTATION = math.radians(12)
SCALE = 0.15
SHEAR = 0.08
SHIFT = 0.08
GAMMA = 0.35
BRIGHTNESS = 0.08
NOISE = 0.03


def training_batches(
    images: np.ndarray,
    masks: np.ndarray,
    *,
    batch_size: int,
    seed: int,
    first_epoch: int = 0,
    augment: bool = True,
) -> tf.data.Dataset:
    """Endless batches, epoch after epoch; every case once an epoch, the last batch kept.

    Args:
        images: float32 `(N, S, S, 1)` in [0, 1].
        masks: bool `(N, S, S, 1)`.
        batch_size: Images a batch; an epoch is `ceil(N / batch_size)` batches.
        seed: Seeds order and augmentation.
        first_epoch: The epoch to start from, counted from 0.
        augment: Whether to warp images with their masks and to change grey values.

    Returns:
        Pairs of float32 `(B, S, S, 1)`: images in [0, 1], masks 0 or 1.
    """
    count = len(images)
    images, masks = tf.constant(images), tf.constant(masks)

    def one_epoch(epoch):  # scalar int64
        order = tf.random.experimental.stateless_shuffle(tf.range(count), [seed, epoch])
        return tf.data.Dataset.from_tensor_slices(order).map(one_case_of(epoch)).batch(batch_size)

    def one_case_of(epoch):
        def one_case(index):
            image, mask = images[index], tf.cast(masks[index], tf.float32)  # (S, S, 1) each
            if augment:
                key = tf.stack([tf.cast(seed, tf.int64), epoch * count + tf.cast(index, tf.int64)])
                image, mask = augmented(image, mask, key)
            return image, mask

        return one_case

    epochs = tf.data.Dataset.counter(first_epoch)
    return epochs.flat_map(one_epoch).prefetch(2)


def evaluation_batches(images: np.ndarray, masks: np.ndarray, batch_size: int) -> tf.data.Dataset:
    """Every case once, in order: pairs of float32 `(B, S, S, 1)`, the last batch kept."""
    return (
        tf.data.Dataset.from_tensor_slices((images, masks))
        .batch(batch_size)
        .map(lambda image, mask: (image, tf.cast(mask, tf.float32)))
        .prefetch(1)
    )


def augmented(image: tf.Tensor, mask: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Warp an image with its mask and change the image's grey values.

    Horizontal flip only: ultrasound has a top. Grey values stay in [0, 1].

    Args:
        image: float32 `(S, S, 1)` in [0, 1].
        mask: float32 `(S, S, 1)`, 0 or 1; stays so.
        key: int64 `(2,)`; the same key gives the same result.
    """
    geometry, greys, grain = tf.unstack(tf.random.experimental.stateless_split(key, 3))
    size = image.shape[0]
    transform = _random_affine(geometry, size)[None]  # (1, 8)

    def warp(x: tf.Tensor, interpolation: str) -> tf.Tensor:
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=x[None],
            transforms=transform,
            output_shape=[size, size],
            interpolation=interpolation,
            fill_mode="CONSTANT",
            fill_value=0.0,
        )[0]

    image, mask = warp(image, "BILINEAR"), warp(mask, "NEAREST")
    gamma, offset = tf.unstack(tf.random.stateless_uniform([2], greys, -1.0, 1.0))
    noise = tf.random.stateless_normal(image.shape, grain) * NOISE
    # Speckle is multiplicative: black stays black.
    image = tf.pow(image, tf.exp(gamma * GAMMA)) * (1 + noise) * (1 + offset * BRIGHTNESS)
    return tf.clip_by_value(image, 0.0, 1.0), mask


def _random_affine(key: tf.Tensor, size: int) -> tf.Tensor:
    """float32 `(8,)`: output → input pixel map about the image's centre, as TensorFlow wants it."""
    u = tf.random.stateless_uniform([6], key, -1.0, 1.0)
    angle, shear = u[0] * ROTATION, u[1] * SHEAR
    scale = tf.exp(u[2] * SCALE)
    flip = tf.where(u[3] < 2 * FLIP - 1, -1.0, 1.0)
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    a, b = cos * flip, sin + shear
    c, d = -sin * flip, cos
    centre = (size - 1) / 2
    shift_x, shift_y = u[4] * SHIFT * size, u[5] * SHIFT * size
    x0 = centre + shift_x - a * centre - b * centre
    y0 = centre + shift_y - c * centre - d * centre
    return tf.stack([a, b, x0, c, d, y0, 0.0, 0.0])
