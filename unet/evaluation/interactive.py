"""Interactive evaluation: simulated people click on lesions, then on the largest error."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from unet.core.mask import EIGHT_NEIGHBOURS, to_level
from unet.core.metrics import Confusion, ratio_interval
from unet.core.prompts import Prompts
from unet.data.cases import Case, read_grey, read_mask
from unet.data.prompt_simulation import click, first_click, next_click
from unet.inference.prediction import Prediction

if TYPE_CHECKING:
    from unet.inference.segmenter import Segmenter

LOST, RESCUED = 0.1, 0.7
"""Dice below which a lesion counts as not found, and from which a click has mended that."""
LOWER = 0.8
"""Factor by which region growing lowers its threshold until the click lies in a region."""


def interactive_summary(
    alone: Segmenter, interactive_model: Segmenter, cases: Sequence[Case], clicks: int, people: int
) -> dict[str, Any]:
    """Dice after so many clicks, by data set, and what clicks at nothing do.

    Args:
        alone: The network that answers before anyone clicks.
        interactive_model: The network that answers to clicks.
        cases: With and without lesion.
        clicks: How often each person clicks at most.
        people: How many click at each lesion, each elsewhere; whoever clicks at nothing is one.

    Returns:
        By data set: `lesions`; `dice`, for 0 to `clicks` clicks the mean over lesions and people
        with its interval over groups; `people`, the same by person without interval; `grown`, of
        region growing on the first network's map from the first clicks; `lost`, how many lesions
        are not found without help, and `rescued`, in how many of their first clicks mend that;
        `stray`, see `stray_clicks`.
    """
    found = {}
    for name in dict.fromkeys(case.dataset for case in cases):
        own = [case for case in cases if case.dataset == name]
        of = [(case, read_grey(case), read_mask(case)) for case in own]
        lesions = [(case, grey, truth) for case, grey, truth in of if truth.any()]
        curves = np.array(
            [_curves(alone, interactive_model, *each, clicks, people) for each in lesions]
        )  # (lesions, people, 1 + clicks + 1)
        groups = np.array([case.group for case, _, _ in lesions])
        means = curves.mean(axis=1)
        lost = curves[:, 0, 0] < LOST
        normals = [(case, grey) for case, grey, truth in of if not truth.any()]
        found[name] = {
            "lesions": len(lesions),
            "dice": [_mean(column, groups) for column in means[:, :-1].T],
            "people": curves[:, :, :-1].mean(axis=0).tolist(),
            "grown": _mean(means[:, -1], groups),
            "lost": int(lost.sum()),
            "rescued": float((curves[lost, :, 1] >= RESCUED).mean()) if lost.any() else None,
            "stray": stray_clicks(interactive_model, normals) if normals else None,
        }
    return found


def _curves(
    alone: Segmenter,
    interactive_model: Segmenter,
    case: Case,
    grey: np.ndarray,
    truth: np.ndarray,
    clicks: int,
    people: int,
) -> np.ndarray:
    """Dice after 0 to `clicks` clicks, then that of region growing: `(people, clicks + 2)`."""
    before = alone.analyze(grey)
    curves = np.empty((people, clicks + 2))
    for person in range(people):
        random = _person(case, person)
        mask = before.segment().mask
        prompts = first_click(truth, random)
        curves[person, 0] = _dice(mask, truth)
        curves[person, -1] = _dice(grow_region(before, prompts.positive[0][0]), truth)
        for number in range(1, clicks + 1):
            if number > 1:
                prompts = next_click(prompts, truth, mask, random)
            mask = interactive_model.analyze(grey, prompts).segment().mask
            curves[person, number] = _dice(mask, truth)
    return curves


def grow_region(prediction: Prediction, point: tuple[float, float]) -> np.ndarray:
    """The region about a point of a map that knows nothing of it: bool `(H, W)`.

    At the network's own threshold or, where the point lies below, at one that it lies above.
    """
    column, row = int(point[0]), int(point[1])
    threshold = prediction.postprocessing.threshold
    while prediction.probability_u8[row, column] < to_level(threshold) and to_level(threshold) > 1:
        threshold *= LOWER
    labels, _ = ndimage.label(prediction.probability_u8 >= to_level(threshold), EIGHT_NEIGHBOURS)
    return (labels == labels[row, column]) & (labels > 0)


def stray_clicks(
    interactive_model: Segmenter, normals: list[tuple[Case, np.ndarray]]
) -> dict[str, Any]:
    """Share of each normal image, uint8 `(H, W)`, that a click marks.

    Returns:
        `images`; `share`, the median; `largest`; `after_not_here`, the median once the same place
        is clicked as "not here".
    """
    shares, after = [], []
    for case, grey in normals:
        point = click(np.ones(grey.shape, bool), _person(case, 0))
        once = Prompts(positive=((point,),))
        shares.append(interactive_model.analyze(grey, once).segment().mask.mean())
        taken_back = Prompts(negative=((point,),))
        after.append(interactive_model.analyze(grey, taken_back).segment().mask.mean())
    return {
        "images": len(normals),
        "share": float(np.median(shares)),
        "largest": float(np.max(shares)),
        "after_not_here": float(np.median(after)),
    }


def _person(case: Case, number: int) -> np.random.Generator:
    return np.random.default_rng([number, zlib.crc32(case.id.encode())])


def _dice(mask: np.ndarray, truth: np.ndarray) -> float:
    return Confusion.of(mask, truth).dice


def _mean(values: np.ndarray, groups: np.ndarray) -> dict[str, float | None]:
    return ratio_interval(values, np.ones(len(values)), groups)
