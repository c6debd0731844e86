"""What a network is trained on: cases, pieces of them, and how often each is shown."""

from __future__ import annotations

import numpy as np

from unet.config import TrainConfig
from unet.data.cases import Dataset, read_grey, read_mask
from unet.data.pieces import painted_pair, piece_of_normal, piece_pair
from unet.inference.preprocessing import mask_to_input, to_input
from unet.training.loop import Examples

WHOLE = 2
"""How often a whole image is shown while a piece of it is shown once: people bring whole ones."""


def examples_of(dataset: Dataset, indices: list[int], config: TrainConfig) -> Examples:
    """The cases with these indices as `config` says they are shown."""
    images, masks = dataset.images[indices], dataset.masks[indices]
    outlined = None
    if config.pieces:
        more = _pieces(dataset, indices, config.seed)
        images, masks = (np.concatenate(pair) for pair in zip((images, masks), more))
    lesion = masks.any(axis=(1, 2, 3))
    if config.pieces and config.presence:
        # A piece without a lesion is for telling if there is one. Of where, it only teaches to
        # keep quiet: with BUSI left out, lesion Dice was 0.675 so, and is 0.708.
        outlined = lesion | (np.arange(len(images)) < len(indices))
    repeats = np.ones(len(images), int)
    whole = slice(len(indices))
    repeats[whole] = np.where(lesion[whole], 1, config.normals) * (WHOLE if config.pieces else 1)
    return Examples(images, masks, repeats, outlined)


def _pieces(dataset: Dataset, indices: list[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pieces and painted versions of these cases: images float32 and masks bool, `(P, S, S, 1)`."""
    size = dataset.images.shape[1]
    shown: list[tuple[np.ndarray, np.ndarray]] = []
    for index in indices:
        case = dataset.cases[index]
        grey, truth = read_grey(case), read_mask(case)
        random = np.random.default_rng([seed, index])
        if not truth.any():
            box = piece_of_normal(truth.shape, random)
            shown.append((grey[box], truth[box]))
        elif index % 2 and (pair := painted_pair(grey, truth, random)):
            without, with_lesion = pair
            shown += [(without, np.zeros_like(truth)), (with_lesion, truth)]
        elif boxes := piece_pair(truth, random):
            shown += [(grey[box], truth[box]) for box in boxes]
    images = np.stack([to_input(grey, size) for grey, _ in shown])
    return images, np.stack([mask_to_input(truth, size) for _, truth in shown])
