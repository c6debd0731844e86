"""Training set: cases, patches of them, and oversampling."""

from __future__ import annotations

import numpy as np

from unet.config import TrainConfig
from unet.core.image import mask_to_input, to_input
from unet.core.windows import Candidates, find_candidates, window_around
from unet.data.cases import Case, Dataset, read_grey, read_mask
from unet.data.patches import painted_pair, piece_of_normal, piece_pair
from unet.training.trainer import TrainingSet

AROUND = (1.6, 3.0)
"""Sides of a window relative to the region's."""
SMALLEST_WINDOW = 0.3
"""Sides of a window as a share of the image's, at least."""
SHIFT = 0.1
"""Largest shift of a window from the region's middle as a share of the region's sides."""
WHOLE = 2
"""Times a whole image is shown for each time its patch is: people bring whole ones."""


def make_training_set(
    dataset: Dataset,
    indices: list[int],
    config: TrainConfig,
    candidates: Candidates | None = None,
) -> TrainingSet:
    """The cases with these indices as `config` says they are shown.

    Args:
        dataset, indices: Cases, and the places of those that are shown.
        config: How.
        candidates: Bounds of regions that a network took for a lesion, by case id; see
            `unet.experiments.mining`. Used with `config.windows`.
    """
    images, masks = dataset.images[indices], dataset.masks[indices]
    if config.patches:
        more = _pieces(dataset, indices, config.seed)
        images, masks = (np.concatenate(pair) for pair in zip((images, masks), more))
    if config.windows:
        more = _windows(dataset, indices, candidates or {}, config.seed)
        images, masks = (np.concatenate(pair) for pair in zip((images, masks), more))
    lesion = masks.any(axis=(1, 2, 3))
    repeats = np.ones(len(images), int)
    whole = slice(len(indices))
    repeats[whole] = np.where(lesion[whole], 1, config.normal_oversampling) * (
        WHOLE if config.patches or config.windows else 1
    )
    repeats[whole] *= dataset_repeats(
        [dataset.cases[i] for i in indices], config.dataset_oversampling
    )
    return TrainingSet(images, masks, repeats)


def dataset_repeats(cases: list[Case], most: int) -> np.ndarray:
    """How often each case is shown, so that a small data set is seen beside a large one.

    With g groups (patients) and n images of its data set, and G groups of the set that has most:
    the root of G times g, over n. Many frames of few patients are much alike, and are not shown
    more often.

    Args:
        cases: Of all data sets, with groups.
        most: The highest number.

    Returns:
        int `(N,)`, from 1 to `most`.
    """
    by_set: dict[str, list[Case]] = {}
    for case in cases:
        by_set.setdefault(case.dataset, []).append(case)
    groups = {name: len({case.group for case in own}) for name, own in by_set.items()}
    largest = max(groups.values())
    times = {
        name: int(np.clip(round((largest * groups[name]) ** 0.5 / len(own)), 1, most))
        for name, own in by_set.items()
    }
    return np.array([times[case.dataset] for case in cases])


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


def _windows(
    dataset: Dataset, indices: list[int], candidates: Candidates, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Windows about lesions and about false candidates: float32 and bool `(P, S, S, 1)`.

    A window about a false candidate shows no part of a lesion, or it is left out.
    """
    size = dataset.images.shape[1]
    shown: list[tuple[np.ndarray, np.ndarray]] = []
    for index in indices:
        case = dataset.cases[index]
        grey, truth = read_grey(case), read_mask(case)
        random = np.random.default_rng([seed, index, 1])
        lesions = [bounds for bounds, _ in find_candidates(truth.astype(np.float32), 0.5, most=1)]
        for bounds in (*lesions, *candidates.get(case.id, ())):
            left, top, right, bottom = bounds
            dx, dy = random.uniform(-SHIFT, SHIFT, 2) * (right - left, bottom - top)
            moved = (left + dx, top + dy, right + dx, bottom + dy)
            window = window_around(moved, *truth.shape, random.uniform(*AROUND), SMALLEST_WINDOW)
            if window is None:
                continue
            box = np.s_[window[1] : window[3], window[0] : window[2]]
            if bounds in lesions or not truth[box].any():
                shown.append((grey[box], truth[box]))
    if not shown:
        return np.zeros((0, size, size, 1), np.float32), np.zeros((0, size, size, 1), bool)
    images = np.stack([to_input(grey, size) for grey, _ in shown])
    return images, np.stack([mask_to_input(truth, size) for _, truth in shown])
