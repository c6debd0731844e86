"""Are the probabilities frequencies?"""

from __future__ import annotations

from typing import Any

import numpy as np

from unet.core.image import mask_to_input
from unet.evaluation.case_scores import CasePrediction

BINS = 10


def calibration_curve(maps: list[CasePrediction]) -> dict[str, Any]:
    """Calibration curve: share of lesion pixels at each probability, at the network's size.

    Returns:
        `bins`: for each tenth of [0, 1] that holds pixels their `share` of all pixels, mean
        `probability` and `frequency` of lesion; `expected_calibration_error`: the mean of
        |probability − frequency| weighted by share (Guo et al., *On Calibration of Modern Neural
        Networks*, ICML 2017).
    """
    count, total, lesion = np.zeros(BINS), np.zeros(BINS), np.zeros(BINS)
    for m in maps:
        probability = m.square.ravel().astype(np.float64)
        truth = mask_to_input(m.truth, m.square.shape[0]).ravel()
        bins = np.minimum((probability * BINS).astype(int), BINS - 1)
        count += np.bincount(bins, minlength=BINS)
        total += np.bincount(bins, probability, BINS)
        lesion += np.bincount(bins, truth, BINS)
    used = count > 0
    share = count[used] / count.sum()
    probability, frequency = total[used] / count[used], lesion[used] / count[used]
    rows = zip(share.tolist(), probability.tolist(), frequency.tolist())
    names = ("share", "probability", "frequency")
    return {
        "bins": [dict(zip(names, row)) for row in rows],
        "expected_calibration_error": float(np.sum(share * np.abs(probability - frequency))),
    }
