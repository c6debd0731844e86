"""The batches of `unet.data.pipeline` without TensorFlow, made by JAX where it trains.

The same changes, as far, in the same order; what is drawn differs, as JAX draws other numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

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
) -> Iterator[tuple]:
    """Endless batches, as `unet.data.pipeline.training_batches` gives them, of JAX arrays.

    An epoch's last batch is filled up with its first cases: each other size is compiled anew.
    """
    once = np.ones(len(images), int) if repeats is None else repeats
    shown = np.repeat(np.arange(len(images)), once)
    images, masks = jnp.asarray(images), jnp.asarray(masks)

    @jax.jit
    def batch_of(images, masks, indices, at, key):
        x, y = images[indices], masks[indices].astype(jnp.float32)  # (B, S, S, 1)
        if augmentation is not None:
            keys = jax.vmap(partial(jax.random.fold_in, key))(at)
            x, y = jax.vmap(partial(augmented, how=augmentation))(x, y, keys)
        return x, _answers(y) if presence else y

    for epoch in itertools.count(first_epoch):
        order, change = jax.random.split(jax.random.fold_in(jax.random.key(seed), epoch))
        places = np.asarray(jax.random.permutation(order, len(shown)))
        for start in range(0, len(shown), batch_size):
            at = np.arange(start, start + batch_size)
            yield batch_of(images, masks, shown[places[at % len(shown)]], at, change)


def evaluation_batches(
    images: np.ndarray, masks: np.ndarray, batch_size: int, *, presence: bool = False
) -> list[tuple]:
    """Every case once, in order, as `training_batches` gives them; the last batch kept."""
    batches = []
    for start in range(0, len(images), batch_size):
        some = slice(start, start + batch_size)
        y = masks[some].astype(np.float32)
        batches.append((images[some], _answers(y) if presence else y))
    return batches


def _answers(masks) -> dict:
    """Targets: the masks `(B, S, S, 1)` and the presence of a lesion `(B, 1)`."""
    return {"probability": masks, "presence": masks.max((1, 2))}


def augmented(
    image: jax.Array, mask: jax.Array, key: jax.Array, how: Augmentation = MILD
) -> tuple[jax.Array, jax.Array]:
    """As `unet.data.pipeline.augmented`, with a key of JAX's."""
    keys = jax.random.split(key, 5)
    size = image.shape[0]
    places = _moved_places(keys[0], size, how)
    image, mask = (
        map_coordinates(x[:, :, 0], places, order=order)[:, :, None]  # black outside
        for x, order in ((image, 1), (mask, 0))
    )

    gamma, contrast, offset, gain, grain = jax.random.uniform(keys[1], 5, minval=-1.0, maxval=1.0)
    # Gain and grain are multiplicative: black stays black.
    image = jnp.power(image, jnp.exp(gamma * how.gamma)) * (1 + offset * how.brightness)
    if how.gain:
        depth = jnp.linspace(-1.0, 1.0, size)[:, None, None]  # (S, 1, 1)
        image = image * (1 + gain * how.gain * depth)
    if how.speckle:
        coarse = jax.random.normal(keys[2], (size // 2, size // 2, 1))
        coarse = jax.image.resize(coarse, image.shape, "linear")
        image = image * (1 + coarse * how.speckle * jnp.abs(grain))
    if how.contrast:
        mean = jnp.mean(image)
        image = (image - mean) * jnp.exp(contrast * how.contrast) + mean
    image = jnp.clip(image, 0.0, 1.0)

    if how.coarse:
        lose, blend = jax.random.uniform(keys[3], 2)
        there_and_back = _to_and_from(jnp.floor(size * (0.3 + 0.5 * blend)), size)
        blurred = (there_and_back @ image[:, :, 0] @ there_and_back.T)[:, :, None]
        image = jnp.where(lose < how.coarse, blurred, image)
    noise = jax.random.normal(keys[4], image.shape) * how.noise
    return jnp.clip(image * (1 + noise), 0.0, 1.0), mask


def _to_and_from(reduced: jax.Array, size: int) -> jax.Array:
    """The linear map `(S, S)` that shrinks a side to `reduced` pixels, averaging, and back."""
    fine = jnp.arange(size) + 0.5  # pixels' centres, (S,)
    centres = fine * size / reduced  # of the reduced pixels, where there are as many
    shrink = jnp.maximum(0.0, 1 - jnp.abs(fine - centres[:, None]) * reduced / size)
    shrink = jnp.where(fine[:, None] < reduced, shrink, 0.0)
    shrink = shrink / jnp.maximum(shrink.sum(axis=1, keepdims=True), 1e-6)
    grow = jnp.maximum(0.0, 1 - jnp.abs(fine - (fine * reduced / size)[:, None]))
    grow = jnp.where(fine < reduced, grow, 0.0)
    return grow / grow.sum(axis=1, keepdims=True) @ shrink


def _moved_places(key: jax.Array, size: int, how: Augmentation) -> jax.Array:
    """Rows and columns in the input of each output pixel, `(2, S, S)`: affine about the centre."""
    u = jax.random.uniform(key, 7, minval=-1.0, maxval=1.0)
    angle, slant = u[0] * how.rotation, u[1] * how.shear
    zoom = jnp.exp(jnp.where(u[2] > 0, u[2] * how.smaller, u[2] * how.larger))
    wide = jnp.exp(u[6] * how.aspect)
    flip = jnp.where(u[3] < 0, -1.0, 1.0)
    cos, sin = jnp.cos(angle) * zoom, jnp.sin(angle) * zoom
    a, b = cos * flip * wide, (sin + slant) * wide
    c, d = -sin * flip / wide, cos / wide
    centre = (size - 1) / 2
    y, x = jnp.mgrid[:size, :size] - centre
    shift_x, shift_y = u[4] * how.shift * size, u[5] * how.shift * size
    return jnp.stack([c * x + d * y + centre + shift_y, a * x + b * y + centre + shift_x])
