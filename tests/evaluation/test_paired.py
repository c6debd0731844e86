import numpy as np
import pytest

from unet.evaluation.paired import CHOSEN, THRESHOLDS, count_map, count_mask, summarise_counts


def counts_of(*cases: tuple[int, int, int, int]) -> np.ndarray:
    """One training's counts, the same at each threshold: `(1, N, T, 4)`."""
    return np.repeat(np.array(cases)[None, :, None], len(THRESHOLDS), axis=2)


LESIONS = counts_of((8, 4, 0, 88), (0, 0, 10, 90), (10, 0, 0, 90))  # Dice 0.8, 0, 1
NORMALS = counts_of((0, 5, 0, 95), (0, 0, 0, 100))


def test_a_map_is_counted_at_the_truths_own_size_and_at_each_threshold():
    square = np.array([[0.2, 0.4], [0.6, 0.95]], np.float32)
    truth = np.array([[False, False], [True, True]])
    assert count_map(square, truth) == [[2, 1, 0, 1], [2, 0, 0, 2], [1, 0, 1, 2], [1, 0, 1, 2]]
    tall = np.array([[True, False]] * 6)
    assert all(sum(counts) == 12 for counts in count_map(square, tall))
    assert count_mask(truth, truth) == [[2, 0, 0, 2]] * len(THRESHOLDS)


def test_values_by_hand():
    found = summarise_counts(np.concatenate([LESIONS, NORMALS], axis=1), [0, 1, 2, 3, 4])
    assert found["cases"] == 5
    assert found["dice"]["value"] == pytest.approx(0.6)
    assert (found["missed"]["count"], found["missed"]["of"]) == (1, 3)
    assert (found["masked"]["count"], found["masked"]["of"]) == (1, 2)
    assert found["over_segmentation"]["0.5"]["value"] == pytest.approx(0.04 / 0.28)
    assert found["spread"] is None
    assert "difference" not in found


def test_over_segmentation_counts_an_image_by_its_shares_not_by_its_pixels():
    big = counts_of((8, 4, 0, 88), (1000, 0, 0, 9000))
    found = summarise_counts(big, [0, 1])
    assert found["over_segmentation"]["0.5"]["value"] == pytest.approx(0.04 / (0.08 + 0.1))


def test_trainings_are_averaged_and_their_spread_is_said():
    both = np.concatenate([LESIONS, LESIONS[:, [0, 2, 2]]])  # mean Dice 0.6 and 2.8 / 3
    found = summarise_counts(both, [0, 1, 2])
    assert found["by_seed"] == pytest.approx([0.6, 2.8 / 3])
    assert found["dice"]["value"] == pytest.approx(np.mean([0.6, 2.8 / 3]))
    assert found["spread"] == pytest.approx(np.std([0.6, 2.8 / 3], ddof=1))
    assert found["missed"]["count"] == 0.5


def test_a_difference_is_case_by_case_so_it_may_be_told_where_two_intervals_meet():
    random = np.random.default_rng(0)
    overlap = random.integers(10, 50, 40)
    first = counts_of(*[(n, 0, 60 - n, 40) for n in overlap])
    better = counts_of(*[(n + 4, 0, 56 - n, 40) for n in overlap])
    found = summarise_counts(better, range(40), first)
    alone = summarise_counts(first, range(40))
    assert found["difference"]["low"] > 0
    assert found["dice"]["low"] < alone["dice"]["high"]


def test_cases_of_one_group_are_drawn_together():
    apart = summarise_counts(np.repeat(LESIONS, 8, axis=1), range(24))["dice"]
    together = summarise_counts(np.repeat(LESIONS, 8, axis=1), np.repeat([0, 1, 2], 8))["dice"]
    assert together["high"] - together["low"] > 2 * (apart["high"] - apart["low"])


def test_what_has_no_lesions_has_no_dice():
    found = summarise_counts(NORMALS, [0, 1])
    assert "dice" not in found
    assert found["masked"]["of"] == 2
    assert THRESHOLDS[CHOSEN] == 0.5
