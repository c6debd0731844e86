"""Windows and candidates, by hand."""

import numpy as np
import pytest

from unet.core.windows import blend_window, find_candidates, second_window, window_around


def test_a_window_has_the_pictures_proportions_and_lies_in_it():
    # A region of 10 × 6 in 100 × 60: 0.1 of each side, times 2 is less than the smallest share.
    assert window_around((45, 27, 55, 33), 60, 100, 2.0, 0.3) == (35, 21, 65, 39)
    assert window_around((45, 27, 55, 33), 60, 100, 4.0, 0.3) == (30, 18, 70, 42)
    assert window_around((0, 0, 10, 6), 60, 100, 4.0, 0.3) == (0, 0, 40, 24)
    assert window_around((90, 54, 100, 60), 60, 100, 4.0, 0.3) == (60, 36, 100, 60)


@pytest.mark.parametrize(("around", "none"), [(1.8, False), (1.9, True)])
def test_a_region_that_fills_the_picture_needs_no_window(around, none):
    found = window_around((30, 10, 70, 30), 60, 100, around, 0.3)  # 0.4 of the width
    assert (found is None) == none


def test_candidates_come_by_their_probability_and_hold_their_own_pixels():
    probability = np.zeros((6, 9), np.float32)
    probability[0, 0] = 0.9
    probability[3:5, 2:5] = 0.5  # 3.0 in all
    probability[1, 7], probability[2, 8] = 0.8, 0.6  # joined at a corner: 1.4
    probability[5, 8] = 0.1
    (first, pixels), (second, _) = find_candidates(probability, 0.2, most=2)
    assert first == (2, 3, 5, 5)
    assert np.argwhere(pixels).tolist() == [[y, x] for y in (3, 4) for x in (2, 3, 4)]
    assert second == (7, 1, 9, 3)
    assert len(find_candidates(probability, 0.2, most=9)) == 3
    assert find_candidates(probability, 0.95, most=9) == []


def test_the_second_window_is_about_the_largest_candidate():
    probability_u8 = np.zeros((60, 100), np.uint8)
    probability_u8[10:14, 10:20] = 100  # 40 pixels of 100
    probability_u8[40:44, 80:84] = 255  # 16 pixels of 255: more in all
    # 0.04 of the width and 0.067 of the height, times 2.5, is less than the smallest share.
    assert second_window(probability_u8) == (67, 33, 97, 51)
    probability_u8[40:44, 80:84] = 63  # below a quarter
    assert second_window(probability_u8) == (0, 3, 30, 21)
    assert second_window(np.zeros((60, 100), np.uint8)) is None
    assert second_window(np.full((60, 100), 200, np.uint8)) is None  # fills the picture


def test_a_window_is_blended_by_its_weight_and_fades_to_its_edge():
    whole = np.full((40, 60), 0.2, np.float32)
    both = blend_window(whole, np.full((20, 30), 1.0, np.float32), (10, 10, 40, 30), 0.7)
    assert both[20, 25] == pytest.approx(0.2 + 0.7 * 0.8)
    assert 0.2 < both[10, 25] < 0.4
    assert (both[:10] == whole[:10]).all()
