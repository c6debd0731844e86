import numpy as np
import pytest

from unet.core.mask import PostProcessing, active_gate, quantise, segment, to_level


@pytest.mark.parametrize(
    ("probability", "expected"), [(0, 0), (1, 255), (0.1, 26), (0.3, 77), (0.5, 128), (0.7, 179)]
)
def test_halves_are_rounded_up_as_javascript_does(probability, expected):
    assert to_level(probability) == expected
    assert quantise(np.array([[probability]]))[0, 0] == expected


def test_the_threshold_itself_belongs_to_the_lesion():
    probability_u8 = np.array([[127, 128, 129]], np.uint8)
    np.testing.assert_array_equal(
        segment(probability_u8, PostProcessing(0.5)), [[False, True, True]]
    )


def test_a_given_threshold_replaces_the_networks_own():
    probability_u8 = np.array([[100, 200]], np.uint8)
    rules = PostProcessing(threshold=0.9)
    assert segment(probability_u8, rules).sum() == 0
    assert segment(probability_u8, rules, 0.5).sum() == 1
    assert segment(probability_u8, rules, 0.0).sum() == 2


def test_regions_that_touch_at_a_corner_are_one_and_smaller_ones_are_dropped():
    probability_u8 = np.zeros((10, 20), np.uint8)
    probability_u8[0, 0] = probability_u8[1, 1] = 255  # one region of 2 pixels
    probability_u8[8, 15] = 255  # one of 1
    kept = segment(probability_u8, PostProcessing(0.5, min_area=2 / 200))
    assert sorted(map(tuple, np.argwhere(kept))) == [(0, 0), (1, 1)]


def test_a_low_peak_gates_the_whole_mask():
    probability_u8 = np.full((4, 6), 200, np.uint8)
    assert segment(probability_u8, PostProcessing(0.5, min_peak=0.7)).all()
    assert not segment(probability_u8, PostProcessing(0.5, min_peak=0.9)).any()


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_outside_0_to_1_is_refused(threshold):
    with pytest.raises(ValueError, match="between 0 and 1"):
        segment(np.zeros((2, 2), np.uint8), PostProcessing(), threshold)
    with pytest.raises(ValueError, match="PostProcessing: threshold must lie between 0 and 1"):
        PostProcessing(threshold=threshold)


def test_a_lesion_thought_unlikely_gates_the_whole_mask():
    probability_u8 = np.full((4, 6), 200, np.uint8)
    rules = PostProcessing(0.5, min_presence=0.3)
    assert segment(probability_u8, rules).all()  # nothing is known
    assert segment(probability_u8, rules, presence=0.3).all()
    assert not segment(probability_u8, rules, presence=0.29).any()
    assert not segment(probability_u8, rules, 0.1, presence=0.29).any()


def test_the_gate_that_is_closed_is_named():
    probability_u8 = np.full((4, 6), 200, np.uint8)
    rules = PostProcessing(0.5, min_peak=0.8, min_presence=0.3)
    assert active_gate(probability_u8, rules, 0.29) == "presence"
    assert (
        active_gate(probability_u8, rules, 0.3)
        == active_gate(probability_u8, rules, None)
        == "peak"
    )
    assert active_gate(probability_u8 + 10, rules, 0.3) is None
