import math

import numpy as np
import pytest

from unet.core.metrics import Confusion, cross_entropy, hausdorff_95, ratio_interval

EMPTY = np.zeros((4, 6), bool)


def rectangle(top, left, height, width, shape=(40, 60)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def test_counts_and_scores_of_two_overlapping_rectangles():
    mask, truth = rectangle(0, 0, 2, 4), rectangle(0, 2, 2, 6)
    counts = Confusion.of(mask, truth)
    assert counts == Confusion(4, 4, 8, 40 * 60 - 16)
    assert counts.dice == pytest.approx(8 / 20)
    assert counts.iou == pytest.approx(4 / 16)
    assert counts.precision == pytest.approx(4 / 8)
    assert counts.recall == pytest.approx(4 / 12)
    assert counts.accuracy == pytest.approx(1 - 12 / 2400)


@pytest.mark.parametrize(
    ("mask", "truth", "score"), [(EMPTY, EMPTY, 1), (~EMPTY, EMPTY, 0), (EMPTY, ~EMPTY, 0)]
)
def test_empty_masks_have_stated_scores(mask, truth, score):
    counts = Confusion.of(mask, truth)
    assert (counts.dice, counts.iou, counts.precision, counts.recall) == (score,) * 4


def test_masks_of_another_shape_or_type_are_refused():
    with pytest.raises(ValueError, match="expected two bool arrays of one shape"):
        Confusion.of(EMPTY, EMPTY.T)
    with pytest.raises(ValueError, match="expected two bool arrays of one shape"):
        Confusion.of(EMPTY.astype(np.uint8), EMPTY)


def test_the_hausdorff_distance_of_a_shifted_rectangle_is_the_shift():
    assert hausdorff_95(rectangle(5, 5, 10, 20), rectangle(5, 12, 10, 20)) == 7
    assert hausdorff_95(rectangle(5, 5, 10, 20), rectangle(9, 5, 10, 20)) == 4


def test_the_hausdorff_distance_is_the_larger_of_both_directions():
    small, large = rectangle(10, 10, 5, 5), rectangle(10, 10, 5, 45)
    # From the large rectangle's far end to the small one: 40 at most, 95th percentile below.
    assert 34 < hausdorff_95(small, large) == hausdorff_95(large, small) <= 40


def test_the_hausdorff_distance_of_empty_masks():
    assert hausdorff_95(EMPTY, EMPTY) == 0
    assert hausdorff_95(EMPTY, ~EMPTY) == hausdorff_95(~EMPTY, EMPTY) == math.inf


def test_cross_entropy_by_hand_and_at_certainty():
    truth = np.array([[True, False]])
    value = cross_entropy(np.array([[0.8, 0.4]], np.float32), truth)
    assert value == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)
    assert cross_entropy(np.array([[0.0, 1.0]]), truth) == pytest.approx(-math.log(1e-7))


def test_an_interval_holds_the_ratio_and_widens_with_larger_groups():
    random = np.random.default_rng(0)
    values, ones = random.random(200), np.ones(200)
    alone = ratio_interval(values, ones, np.arange(200))
    assert alone["value"] == pytest.approx(values.mean())
    assert alone["low"] < alone["value"] < alone["high"]
    error = values.std() / math.sqrt(200)
    assert alone["high"] - alone["low"] == pytest.approx(2 * 1.96 * error, rel=0.1)
    copies = ratio_interval(np.repeat(values[:50], 4), ones, np.repeat(np.arange(50), 4))
    assert copies["high"] - copies["low"] > 1.5 * (alone["high"] - alone["low"])


def test_an_interval_over_nothing_is_none():
    nothing = {"value": None, "low": None, "high": None}
    assert ratio_interval(np.zeros(0), np.zeros(0), np.zeros(0, int)) == nothing
    assert ratio_interval(np.ones(3), np.zeros(3), np.arange(3)) == nothing
