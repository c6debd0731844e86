"""tf.data input: shuffling and augmentation that depend on (seed, epoch, case) alone.

So a run that is killed and resumed sees the same images in the same order as one that was not.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from unet.data.annotations import annotation_layers

FLIP = 0.5
ROTATION = math.radians(12)
SCALE = 0.15
SHEAR = 0.08
SHIFT = 0.08
GAMMA = 0.35
BRIGHTNESS = 0.08
NOISE = 0.03

STRONG_ROTATION = math.radians(15)
STRONG_SCALE = 0.3
STRONG_ASPECT = 0.15
STRONG_SHEAR = 0.1
STRONG_SHIFT = 0.12
STRONG_GAMMA = 0.5
CONTRAST = 0.3
DEPTH_GAIN = 0.35
SPECKLE = 0.15
COARSE = 0.3
"""Share of images that lose resolution."""
ANNOTATED = 0.5
"""Share of images that annotations are drawn over."""


def training_batches(
    images: np.ndarray,
    masks: np.ndarray,
    *,
    batch_size: int,
    seed: int,
    first_epoch: int = 0,
    augment: bool = True,
    strong: bool = False,
    annotations: bool = False,
) -> tf.data.Dataset:
    """Endless batches, epoch after epoch; every case once an epoch, the last batch kept.

    Args:
        images: float32 `(N, S, S, 1)` in [0, 1].
        masks: bool `(N, S, S, 1)`.
        batch_size: Images a batch; an epoch is `ceil(N / batch_size)` batches.
        seed: Seeds order and augmentation.
        first_epoch: The epoch to start from, counted from 0.
        augment: Whether to warp images with their masks and to change grey values.
        strong: Do so as widely as scanners and their settings differ (`strongly_augmented`).
        annotations: Draw calipers and text over `ANNOTATED` of the augmented images.

    Returns:
        Pairs of float32 `(B, S, S, 1)`: images in [0, 1], masks 0 or 1.
    """
    count = len(images)
    images, masks = tf.constant(images), tf.constant(masks)
    layers = tf.constant(annotation_layers(images.shape[1], seed)) if annotations else None

    def one_epoch(epoch):  # scalar int64
        order = tf.random.experimental.stateless_shuffle(tf.range(count), [seed, epoch])
        return tf.data.Dataset.from_tensor_slices(order).map(one_case_of(epoch)).batch(batch_size)

    def one_case_of(epoch):
        def one_case(index):
            image, mask = images[index], tf.cast(masks[index], tf.float32)  # (S, S, 1) each
            if augment:
                key = tf.stack([tf.cast(seed, tf.int64), epoch * count + tf.cast(index, tf.int64)])
                if strong:
                    image, mask = strongly_augmented(image, mask, key, layers)
                else:
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
    transform = _random_affine(geometry, size)
    image, mask = _warp(image, transform, "BILINEAR"), _warp(mask, transform, "NEAREST")
    gamma, offset = tf.unstack(tf.random.stateless_uniform([2], greys, -1.0, 1.0))
    noise = tf.random.stateless_normal(image.shape, grain) * NOISE
    # Speckle is multiplicative: black stays black.
    image = tf.pow(image, tf.exp(gamma * GAMMA)) * (1 + noise) * (1 + offset * BRIGHTNESS)
    return tf.clip_by_value(image, 0.0, 1.0), mask


def strongly_augmented(
    image: tf.Tensor, mask: tf.Tensor, key: tf.Tensor, layers: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Warp an image with its mask and make the image look as if another scanner had made it.

    Geometry (scale, aspect, rotation, shear, shift, flip), gain over depth, gamma, contrast,
    speckle, annotations, loss of resolution.

    Args:
        image, mask, key: As in `augmented`.
        layers: uint8 `(N, S, S)` of `annotation_layers`, or None for no annotations.
    """
    keys = tf.unstack(tf.random.experimental.stateless_split(key, 5))
    size = image.shape[0]
    transform = _random_affine(
        keys[0], size, STRONG_ROTATION, STRONG_SHEAR, STRONG_SCALE, STRONG_SHIFT, STRONG_ASPECT
    )
    image, mask = _warp(image, transform, "BILINEAR"), _warp(mask, transform, "NEAREST")

    gamma, contrast, offset, gain, grain = tf.unstack(
        tf.random.stateless_uniform([5], keys[1], -1.0, 1.0)
    )
    depth = tf.linspace(-1.0, 1.0, size)[:, None, None]  # (S, 1, 1)
    coarse = tf.random.stateless_normal([size // 2, size // 2, 1], keys[2])
    speckle = tf.image.resize(coarse, [size, size]) * SPECKLE * tf.abs(grain)
    # Gain and speckle are multiplicative: black stays black.
    image = tf.pow(image, tf.exp(gamma * STRONG_GAMMA)) * (1 + gain * DEPTH_GAIN * depth)
    image = image * (1 + speckle) * (1 + offset * BRIGHTNESS)
    mean = tf.reduce_mean(image)
    image = tf.clip_by_value((image - mean) * tf.exp(contrast * CONTRAST) + mean, 0.0, 1.0)

    pick, lose, blend = tf.unstack(tf.random.stateless_uniform([3], keys[3]))
    if layers is not None:
        number = tf.cast(pick / ANNOTATED * len(layers), tf.int32)
        layer = layers[tf.minimum(number, len(layers) - 1)][:, :, None]  # (S, S, 1)
        drawn = (layer > 0) & (pick < ANNOTATED)
        image = tf.where(drawn, tf.cast(layer, tf.float32) / 255, image)
    reduced = tf.cast(tf.cast(size, tf.float32) * (0.3 + 0.5 * blend), tf.int32)
    image = tf.cond(
        lose < COARSE,
        lambda: tf.image.resize(
            tf.image.resize(image, [reduced, reduced], antialias=True), [size, size]
        ),
        lambda: image,
    )
    noise = tf.random.stateless_normal(image.shape, keys[4]) * NOISE
    return tf.clip_by_value(image * (1 + noise), 0.0, 1.0), mask


def _warp(x: tf.Tensor, transform: tf.Tensor, interpolation: str) -> tf.Tensor:
    """float32 `(S, S, 1)` moved by an affine map `(8,)`; black comes in from outside."""
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=x[None],
        transforms=transform[None],
        output_shape=x.shape[:2],
        interpolation=interpolation,
        fill_mode="CONSTANT",
        fill_value=0.0,
    )[0]


def _random_affine(
    key: tf.Tensor,
    size: int,
    rotation: float = ROTATION,
    shear: float = SHEAR,
    scale: float = SCALE,
    shift: float = SHIFT,
    aspect: float = 0.0,
) -> tf.Tensor:
    """float32 `(8,)`: output → input pixel map about the image's centre, as TensorFlow wants it.

    Rotation in radians, shear and shift as shares, scale and aspect as logarithms: the greatest
    either way.
    """
    u = tf.random.stateless_uniform([7 if aspect else 6], key, -1.0, 1.0)
    angle, slant = u[0] * rotation, u[1] * shear
    zoom = tf.exp(u[2] * scale)
    wide = tf.exp(u[6] * aspect) if aspect else 1.0
    flip = tf.where(u[3] < 2 * FLIP - 1, -1.0, 1.0)
    cos, sin = tf.cos(angle) * zoom, tf.sin(angle) * zoom
    a, b = cos * flip * wide, (sin + slant) * wide
    c, d = -sin * flip / wide, cos / wide
    centre = (size - 1) / 2
    shift_x, shift_y = u[4] * shift * size, u[5] * shift * size
    x0 = centre + shift_x - a * centre - b * centre
    y0 = centre + shift_y - c * centre - d * centre
    return tf.stack([a, b, x0, c, d, y0, 0.0, 0.0])
