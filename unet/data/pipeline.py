"""tf.data input: shuffling and augmentation that depend on (seed, epoch, case) alone.

So a run that is killed and resumed sees the same images in the same order as one that was not.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from unet.data.augmentation import MILD, Augmentation


def training_batches(
    images: np.ndarray,
    masks: np.ndarray,
    *,
    batch_size: int,
    seed: int,
    first_epoch: int = 0,
    augmentation: Augmentation | None = MILD,
    repeats: np.ndarray | None = None,
    presence: bool = False,
) -> tf.data.Dataset:
    """Endless batches, epoch after epoch; every case so often an epoch, the last batch kept.

    Args:
        images: float32 `(N, S, S, 1)` in [0, 1].
        masks: bool `(N, S, S, 1)`.
        batch_size: Images a batch; an epoch is `ceil(repeats.sum() / batch_size)` batches.
        seed: Seeds order and augmentation.
        first_epoch: The epoch to start from, counted from 0.
        augmentation: How images are warped with their masks and changed in grey values; None for
            as they are.
        repeats: int `(N,)`, how often each case is shown an epoch; once if None.
        presence: Whether batches say too if there is a lesion.

    Returns:
        Pairs of float32 `(B, S, S, 1)`: images in [0, 1], masks 0 or 1. With `presence`, in place
        of the masks a dict: "probability", the masks, and "presence", float32 `(B, 1)`, 0 or 1.
    """
    once = np.ones(len(images), int) if repeats is None else repeats
    shown = tf.constant(np.repeat(np.arange(len(images)), once))
    count = len(shown)
    images, masks = tf.constant(images), tf.constant(masks)

    def one_epoch(epoch):  # scalar int64
        order = tf.random.experimental.stateless_shuffle(tf.range(count), [seed, epoch])
        cases = tf.data.Dataset.from_tensor_slices(order)
        # On all cores, in the same order: each case's augmentation depends on its key alone.
        return cases.map(one_case_of(epoch), tf.data.AUTOTUNE, deterministic=True).batch(batch_size)

    def one_case_of(epoch):
        def one_case(place):
            index = shown[place]
            image, mask = images[index], tf.cast(masks[index], tf.float32)  # (S, S, 1) each
            if augmentation is not None:
                key = tf.stack([tf.cast(seed, tf.int64), epoch * count + tf.cast(place, tf.int64)])
                image, mask = augmented(image, mask, key, augmentation)
            return image, _answers(mask) if presence else mask

        return one_case

    epochs = tf.data.Dataset.counter(first_epoch)
    return epochs.flat_map(one_epoch).prefetch(2)


def evaluation_batches(
    images: np.ndarray, masks: np.ndarray, batch_size: int, *, presence: bool = False
) -> tf.data.Dataset:
    """Every case once, in order, as `training_batches` gives them; the last batch kept."""

    def one_case(image, mask):
        mask = tf.cast(mask, tf.float32)
        return image, _answers(mask) if presence else mask

    return (
        tf.data.Dataset.from_tensor_slices((images, masks))
        .map(one_case)
        .batch(batch_size)
        .prefetch(1)
    )


def _answers(mask: tf.Tensor) -> dict[str, tf.Tensor]:
    """Targets: the mask `(S, S, 1)` and the presence of a lesion `(1,)`."""
    return {"probability": mask, "presence": tf.reduce_max(mask, (0, 1))}


def augmented(
    image: tf.Tensor,
    mask: tf.Tensor,
    key: tf.Tensor,
    how: Augmentation = MILD,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Warp an image with its mask and change the image's grey values.

    Args:
        image: float32 `(S, S, 1)` in [0, 1].
        mask: float32 `(S, S, 1)`, 0 or 1; stays so. A lesion may leave the picture.
        key: int64 `(2,)`; the same key gives the same result.
        how: How far.
    """
    keys = tf.unstack(tf.random.experimental.stateless_split(key, 5))
    size = image.shape[0]
    transform = _random_affine(keys[0], size, how)
    image, mask = _warp(image, transform, "BILINEAR"), _warp(mask, transform, "NEAREST")

    gamma, contrast, offset, gain, grain = tf.unstack(
        tf.random.stateless_uniform([5], keys[1], -1.0, 1.0)
    )
    # Gain and grain are multiplicative: black stays black.
    image = tf.pow(image, tf.exp(gamma * how.gamma)) * (1 + offset * how.brightness)
    if how.gain:
        depth = tf.linspace(-1.0, 1.0, size)[:, None, None]  # (S, 1, 1)
        image = image * (1 + gain * how.gain * depth)
    if how.speckle:
        coarse = tf.random.stateless_normal([size // 2, size // 2, 1], keys[2])
        image = image * (1 + tf.image.resize(coarse, [size, size]) * how.speckle * tf.abs(grain))
    if how.contrast:
        mean = tf.reduce_mean(image)
        image = (image - mean) * tf.exp(contrast * how.contrast) + mean
    image = tf.clip_by_value(image, 0.0, 1.0)

    lose, blend = tf.unstack(tf.random.stateless_uniform([2], keys[3]))
    if how.coarse:
        reduced = tf.cast(tf.cast(size, tf.float32) * (0.3 + 0.5 * blend), tf.int32)
        image = tf.cond(
            lose < how.coarse,
            lambda: tf.image.resize(
                tf.image.resize(image, [reduced, reduced], antialias=True), [size, size]
            ),
            lambda: image,
        )
    noise = tf.random.stateless_normal(image.shape, keys[4]) * how.noise
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


def _random_affine(key: tf.Tensor, size: int, how: Augmentation) -> tf.Tensor:
    """float32 `(8,)`: output → input pixel map about the image's centre, as TensorFlow wants it."""
    u = tf.random.stateless_uniform([7], key, -1.0, 1.0)
    angle, slant = u[0] * how.rotation, u[1] * how.shear
    zoom = tf.exp(tf.where(u[2] > 0, u[2] * how.smaller, u[2] * how.larger))
    wide = tf.exp(u[6] * how.aspect)
    flip = tf.where(u[3] < 0, -1.0, 1.0)
    cos, sin = tf.cos(angle) * zoom, tf.sin(angle) * zoom
    a, b = cos * flip * wide, (sin + slant) * wide
    c, d = -sin * flip / wide, cos / wide
    centre = (size - 1) / 2
    shift_x, shift_y = u[4] * how.shift * size, u[5] * how.shift * size
    x0 = centre + shift_x - a * centre - b * centre
    y0 = centre + shift_y - c * centre - d * centre
    return tf.stack([a, b, x0, c, d, y0, 0.0, 0.0])
