import numpy as np
import pytest

from unet.inference.confidence import Confidence, agreement, disagreement


def views(left: float, right: float) -> np.ndarray:
    """Two views of 100 × 100: a square of height `left` in one, of `right` in the other."""
    pair = np.zeros((2, 100, 100), np.float32)
    pair[0, 20:40, 20:40] = left
    pair[1, 20:40, 20:40] = right
    return pair


def test_views_that_agree_count_1_also_without_a_lesion():
    assert agreement(views(0.9, 0.9)) == pytest.approx(1)
    assert agreement(views(0, 0)) == 1


def test_agreement_is_the_soft_dice_of_the_views():
    expected = (2 * 400 * 0.3 + 10) / (400 * (0.3 + 0.9) + 10)
    assert agreement(views(0.3, 0.9)) == pytest.approx(expected, rel=1e-5)
    assert agreement(views(0, 1)) == pytest.approx(10 / 410, rel=1e-5)


def test_disagreement_is_the_difference_at_each_pixel():
    difference = disagreement(views(0.25, 0.75))
    assert difference.shape == (100, 100)
    assert difference[30, 30] == 0.5
    assert difference[0, 0] == 0


def test_words_by_their_limits():
    confidence = Confidence(low=0.5, high=0.8)
    words = [confidence.word(value, 0.99, True) for value in (0, 0.49, 0.5, 0.79, 0.8, 1)]
    assert words == ["low", "low", "medium", "medium", "high", "high"]


def test_no_mask_is_the_surer_the_less_there_is_in_the_map():
    confidence = Confidence(low=0.5, high=0.8)
    words = [confidence.word(0.1, peak, False) for peak in (0.02, 0.49, 0.5, 0.84, 0.85, 1)]
    assert words == ["high", "high", "medium", "medium", "low", "low"]


def test_no_mask_is_not_sure_where_a_lesion_is_not_unlikely():
    confidence = Confidence(low=0.5, high=0.8, none=0.1)
    assert [confidence.word(1, 0, False, value) for value in (0.05, 0.1, None)] == [
        "high", "low", "high",
    ]  # fmt: skip
    assert confidence.word(1, 0.99, True, 0.5) == "high"  # of a mask it says nothing
