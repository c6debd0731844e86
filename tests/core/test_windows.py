"""Windows and candidates, by hand."""

import numpy as np
import pytest

from unet.core.windows import find_candidates, window_around


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
