"""Error labels: a line on what is wrong with a mask."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from unet.core.mask import EIGHT_NEIGHBOURS
from unet.inference.prediction import Prediction

GOOD = 0.8
"""From this precision and recall on, an outline is not called wrong."""


def diagnose(mask: np.ndarray, truth: np.ndarray, prediction: Prediction) -> str:
    """Label the largest error of a mask.

    Args:
        mask, truth: bool `(H, W)`.
        prediction: What the mask was made of, with the rules it was made by.

    Returns:
        A few words; "good" where there is nothing to say.
    """
    if not truth.any():
        return f"false mask on {mask.mean():.1%} of the image" if mask.any() else "good"
    probability_u8 = prediction.probability_u8
    peak = f"{prediction.peak:.3f}"  # limits are given with two digits
    if not mask.any():
        reason = prediction.segment().reason
        if reason == "presence":
            return f"missed: a lesion at all thought unlikely ({prediction.presence:.3f})"
        if reason == "threshold" or prediction.peak < prediction.postprocessing.threshold:
            return f"missed: highest probability {peak}"
        if reason == "peak":
            return f"missed: highest probability {peak} stays under the gate"
        return "missed: all regions too small"
    hits = mask & truth
    if not hits.any():
        return f"another place outlined; the lesion reaches {probability_u8[truth].max() / 255:.2f}"
    said = []
    lesions, lesion_count = ndimage.label(truth, EIGHT_NEIGHBOURS)
    regions, region_count = ndimage.label(mask, EIGHT_NEIGHBOURS)
    found = len(np.unique(lesions[hits]))
    false = region_count - len(np.unique(regions[hits]))
    if found < lesion_count:
        said.append(f"{lesion_count - found} of {lesion_count} lesions missed")
    if false:
        said.append(f"{false} false region{'s' if false > 1 else ''} besides")
    precision, recall = hits.sum() / mask.sum(), hits.sum() / truth.sum()
    size = f"{mask.sum() / truth.sum():.1f}"
    if precision < GOOD <= recall and size != "1.0":
        said.append(f"outline {size} times too large")
    elif recall < GOOD <= precision:
        said.append(f"outline covers {recall:.0%} of the lesion")
    elif min(precision, recall) < GOOD:
        said.append("outline displaced")
    return "; ".join(said) or "good"
