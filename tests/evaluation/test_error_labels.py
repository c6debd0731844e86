import numpy as np
import pytest

from tests.conftest import predicted
from unet.core.mask import PostProcessing
from unet.evaluation.error_labels import diagnose

RULES = PostProcessing(threshold=0.5, min_area=0.001, min_peak=0.8)


def box(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """bool `(40, 60)`, true in boxes of top, left, height, width."""
    mask = np.zeros((40, 60), bool)
    for y, x, height, width in boxes:
        mask[y : y + height, x : x + width] = True
    return mask


LESION = box((10, 20, 10, 20))


@pytest.mark.parametrize(
    ("mask", "truth", "words"),
    [
        (box(), box(), "good"),
        (LESION, LESION, "good"),
        (LESION, box(), "false mask on 8.3% of the image"),
        (box((30, 0, 5, 5)), LESION, "another place outlined; the lesion reaches 0.90"),
        (box((10, 20, 10, 5)), LESION, "outline covers 25% of the lesion"),
        (box((10, 20, 20, 20)), LESION, "outline 2.0 times too large"),
        (box((15, 25, 10, 20)), LESION, "outline displaced"),
        (LESION, LESION | box((30, 0, 5, 5)), "1 of 2 lesions missed"),
        (LESION | box((30, 0, 2, 5)), LESION, "1 false region besides"),
        (box((10, 24, 10, 16), (20, 24, 4, 11)), LESION, "outline displaced"),  # as large
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(mask, truth, words):
    probability_u8 = np.where(mask | truth, 230, 10).astype(np.uint8)
    assert diagnose(mask, truth, predicted(probability_u8, RULES)) == words


@pytest.mark.parametrize(
    ("peak", "words"),
    [
        (100, "missed: highest probability 0.392"),
        (180, "missed: highest probability 0.706 stays under the gate"),
        (250, "missed: all regions too small"),
    ],
)
def test_why_a_lesion_was_missed_is_said(peak, words):
    probability_u8 = np.zeros((40, 60), np.uint8)
    probability_u8[15, 30] = peak
    assert diagnose(box(), LESION, predicted(probability_u8, RULES)) == words


def test_a_lesion_missed_for_its_presence_is_said():
    probability_u8 = np.full((40, 60), 250, np.uint8)
    rules = PostProcessing(threshold=0.5, min_presence=0.2)
    words = diagnose(box(), LESION, predicted(probability_u8, rules, presence=0.1966))
    assert words == "missed: a lesion at all thought unlikely (0.197)"
