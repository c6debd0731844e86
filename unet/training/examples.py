"""What a network is trained on: cases, pieces of them, and how often each is shown."""

from __future__ import annotations

import numpy as np

from unet.config import TrainConfig
from unet.data.cases import Dataset, read_grey, read_mask
from unet.data.pieces import piece_of_normal, piece_pair
from unet.inference.preprocessing import mask_to_input, to_input
from unet.training.loop import Examples


def examples_of(dataset: Dataset, indices: list[int], config: TrainConfig) -> Examples:
    """The cases with these indices as `config` says they are shown."""
    images, masks = dataset.images[indices], dataset.masks[indices]
    if config.pieces:
        more = _pieces(dataset, indices, config.seed)
        images, masks = (np.concatenate(pair) for pair in zip((images, masks), more))
    lesion = masks.any(axis=(1, 2, 3))
    repeats = np.ones(len(images), int)
    repeats[: len(indices)][~lesion[: len(indices)]] = config.normals
    return Examples(images, masks, repeats)


def _pieces(dataset: Dataset, indices: list[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pieces of these cases, resized: images float32 and masks bool, `(P, S, S, 1)`."""
    size = dataset.images.shape[1]
    images, masks = [], []
    for index in indices:
        case = dataset.cases[index]
        grey, truth = read_grey(case), read_mask(case)
        random = np.random.default_rng([seed, index])
        if truth.any():
            boxes = piece_pair(truth, random) or ()
        else:
            boxes = (piece_of_normal(truth.shape, random),)
        images += [to_input(grey[box], size) for box in boxes]
        masks += [mask_to_input(truth[box], size) for box in boxes]
    return np.stack(images), np.stack(masks)
