"""Training with simulated people, who point at lesions and at what the network has wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import keras
import numpy as np
from scipy import ndimage

from unet.core.image import with_empty_prompts
from unet.core.prompts import (
    Prompts,
    Stroke,
    crop_prompts,
    draw_prompts,
    prompted_regions,
    zoom_window,
)
from unet.data.prompt_simulation import first_prompt, next_click, standing_out
from unet.inference.onnx_model import PROBABILITY
from unet.training.epochs import run_epochs

ALONE = 0.2
"""Share of the pictures without any prompt."""
ELSE = 0.2
"""Share of the other pictures with a lesion where people point at something else, as they see it
stand out: a network that knows its training images by heart learns to look at prompts only so."""
ELSE_WITHOUT = 0.5
"""Share of normal images with a prompt; the rest get none."""
CLOSER = 0.5
"""Share of the pictures with a lesion pointed at that are seen from closer."""
SHARES = (0.35, 0.75)
"""Range of the window's side as a share of the picture's, uniform."""
CORRECTIONS = (0.45, 0.3, 0.15, 0.1)
"""Probabilities of 0, 1, 2 and 3 corrective clicks on the largest error."""

Predict = Callable[[np.ndarray], np.ndarray]


def fit(
    model: keras.Model,
    batches: Iterable[tuple],
    held_out: Iterable[tuple] | None,
    *,
    steps: int,
    first_epoch: int,
    epochs: int,
    seed: int,
    callback: keras.callbacks.Callback,
) -> None:
    """Train a compiled network of three channels, people looking at its answers meanwhile.

    Args:
        model: With the outputs "probability" and "presence".
        batches: As `unet.data.pipeline.training_batches` gives them with `presence`.
        held_out: Batches of validation cases, which nobody points at; None for none.
        steps: Batches an epoch.
        seed: Seeds the people, with the epoch and the step.
        first_epoch, epochs, callback: As in `run_epochs`.
    """
    batches = iter(batches)

    def predict(inputs: np.ndarray) -> np.ndarray:
        return model.predict_on_batch(inputs)[PROBABILITY][..., 0] >= 0.5

    def learn(epoch: int) -> dict[str, float]:
        sums: Counter[str] = Counter()
        for step in range(steps):
            images, answers = next(batches)
            random = np.random.default_rng([seed, epoch, step])
            truths = np.asarray(answers[PROBABILITY], np.float32)
            inputs, truths, alone = pointed_at(np.asarray(images), truths, random, predict)
            present = np.asarray(answers["presence"], np.float32)
            found = model.train_on_batch(
                inputs,
                {PROBABILITY: truths, "presence": present},
                # Whoever points at a lesion says that there is one: nothing is to be learnt of it.
                {PROBABILITY: np.ones_like(alone), "presence": alone},
                return_dict=True,
            )
            sums.update({name: float(value) for name, value in found.items()})
        # Keras tells of each batch alone; of their means that of an AUC would say nothing.
        return {name: total / steps for name, total in sums.items() if not name.endswith("auc")}

    def score() -> dict[str, float]:
        return model.evaluate(held_out, verbose=0, return_dict=True)

    run_epochs(
        model, learn, None if held_out is None else score,
        first_epoch=first_epoch, epochs=epochs, callback=callback,
    )  # fmt: skip


def pointed_at(
    images: np.ndarray, truths: np.ndarray, random: np.random.Generator, predict: Predict
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simulate prompts for a batch.

    Args:
        images: float32 `(B, S, S, 1)` in [0, 1].
        truths: float32 `(B, S, S, 1)`, 0 or 1.
        random: Generator of the prompts.
        predict: Gives masks, bool `(B, S, S)`, of inputs `(B, S, S, 3)`.

    Returns:
        Inputs float32 `(B, S, S, 3)`; truths `(B, S, S, 1)`, only the prompted lesion in images
        with prompts; float32 `(B,)`, 1 for images without prompts.
    """
    images, truths = images.copy(), truths.copy()
    masks = truths[..., 0] > 0.5  # (B, S, S), truths are changed with it
    alone = random.random(len(images)) < ALONE
    prompts = [Prompts()] * len(images)
    for i in np.flatnonzero(~alone):
        present = masks[i].any()
        if random.random() < (ELSE if present else ELSE_WITHOUT):
            masks[i] = standing_out(images[i, :, :, 0], ~masks[i], random)
        if masks[i].any():
            prompts[i] = first_prompt(masks[i], random)
            masks[i] = prompted_regions(masks[i], prompts[i])
            if random.random() < CLOSER:
                images[i], masks[i], prompts[i] = _closer(images[i], masks[i], prompts[i], random)
        else:
            masks[i] = truths[i, :, :, 0] > 0.5
    rounds = random.choice(len(CORRECTIONS), p=CORRECTIONS)
    for _ in range(rounds):
        found = predict(_inputs(images, prompts))
        for i in np.flatnonzero(~alone):
            prompts[i] = next_click(prompts[i], masks[i], found[i], random)
    truths[..., 0] = masks
    alone = np.array([not prompt for prompt in prompts], np.float32)
    return _inputs(images, prompts), truths, alone


def _closer(
    image: np.ndarray, mask: np.ndarray, prompts: Prompts, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, Prompts]:
    """A picture `(S, S, 1)`, its mask `(S, S)` and prompts, as the zoom window shows them."""
    size = len(mask)
    window = zoom_window(prompts, size, size, random.uniform(*SHARES))
    if window is None:
        return image, mask, prompts
    left, top, right, bottom = window
    y, x = (
        start + (np.arange(size) + 0.5) * (end - start) / size - 0.5
        for start, end in ((top, bottom), (left, right))
    )
    at = np.meshgrid(y, x, indexing="ij")
    seen = ndimage.map_coordinates(image[..., 0], at, order=1, mode="nearest")
    truth = ndimage.map_coordinates(mask.astype(np.float32), at, order=1, mode="nearest") >= 0.5
    return seen[..., None], truth, _scaled(crop_prompts(prompts, window), size / (right - left))


def _scaled(prompts: Prompts, times: float) -> Prompts:
    """Prompts in a picture that is shown so many times as large."""

    def strokes(of: tuple[Stroke, ...]) -> tuple[Stroke, ...]:
        return tuple(tuple((x * times, y * times) for x, y in stroke) for stroke in of)

    boxes = tuple(tuple(side * times for side in box) for box in prompts.boxes)
    return Prompts(strokes(prompts.positive), strokes(prompts.negative), boxes)


def _inputs(images: np.ndarray, prompts: list[Prompts]) -> np.ndarray:
    """Images with the maps of what is pointed at: float32 `(B, S, S, 3)`."""
    size = images.shape[1]
    inputs = with_empty_prompts(images, 3)
    for i, prompt in enumerate(prompts):
        if prompt:
            inputs[i, :, :, 1:] = draw_prompts(prompt, size, size, size)
    return inputs
