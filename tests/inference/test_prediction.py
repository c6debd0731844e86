from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import predicted
from unet.core.mask import PostProcessing
from unet.inference.confidence import Confidence

LIMITS = {"agreement": 0.9, "confidence": Confidence(0.2, 0.5)}


def lesion(rules: PostProcessing = PostProcessing(0.5), **facts):  # noqa: B008 (frozen)
    """A lesion of 4 × 6 pixels at 200 of 255 in surroundings at 60."""
    probability_u8 = np.full((20, 30), 60, np.uint8)
    probability_u8[5:9, 10:16] = 200
    return predicted(probability_u8, rules, **LIMITS | facts)


@pytest.mark.parametrize(
    ("threshold", "area", "confidence"),
    [(None, 24, "high"), (0.5, 24, "high"), (0.7, 24, None), (0.9, 0, None), (0.0, 600, None)],
)
def test_confidence_is_said_at_the_networks_own_threshold_alone(threshold, area, confidence):
    answer = lesion().segment(threshold)
    assert answer.mask.sum() == area
    assert sum(region.area_px for region in answer.regions) == area
    assert answer.confidence == confidence


def test_of_an_unfamiliar_picture_a_network_is_not_sure():
    assert lesion(familiar=False).segment().confidence == "low"
    assert lesion(familiar=False).segment(0.9).confidence is None


@pytest.mark.parametrize(
    ("rules", "threshold", "reason"),
    [
        (PostProcessing(0.5), 0.5, None),
        (PostProcessing(0.5), 0.9, "threshold"),
        (PostProcessing(0.5, min_area=0.1), 0.5, "area"),
        (PostProcessing(0.5, min_peak=0.9), 0.5, "peak"),
        (PostProcessing(0.5, min_peak=0.9, min_presence=0.5), 0.5, "presence"),
    ],
)
def test_why_there_is_no_mask_is_said(rules, threshold, reason):
    answer = lesion(rules, presence=0.4).segment(threshold)
    assert answer.reason == reason
    assert answer.mask.any() == (reason is None)


def test_regions_are_in_millimetres_where_the_spacing_is_known():
    (region,) = lesion().segment(spacing_mm=(0.5, 0.1)).regions
    assert region.area_mm2 == pytest.approx(24 * 0.05)
    assert lesion().segment().regions[0].area_mm2 is None


def test_a_threshold_outside_0_to_1_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        lesion().segment(1.2)


def test_other_rules_are_another_prediction():
    strict = replace(lesion(), postprocessing=PostProcessing(0.9))
    assert not strict.segment().mask.any()


@pytest.mark.parametrize(
    ("rules", "presence", "unsure"),
    [
        (PostProcessing(0.5), 0.4, False),  # found
        (PostProcessing(0.5, min_presence=0.5), 0.4, True),
        (PostProcessing(0.5, min_presence=0.5, unsure_presence=0.4), 0.4, True),
        (PostProcessing(0.5, min_presence=0.5, unsure_presence=0.45), 0.4, False),
        (PostProcessing(0.5, min_peak=0.9), None, True),
        (PostProcessing(0.5, min_peak=0.9, min_area=0.1), None, False),  # nothing of that size
        (PostProcessing(0.9, min_presence=0.5), 0.4, False),  # nothing reaches the threshold
    ],
)
def test_what_a_gate_keeps_back_is_unsure_unless_a_lesion_is_very_unlikely(rules, presence, unsure):
    answer = lesion(rules, presence=presence).segment()
    assert answer.unsure == unsure
    assert not unsure or answer.confidence == "low"
    assert [region.area_px for region in answer.withheld_regions] == [24] * unsure
    assert not (answer.mask & answer.withheld_mask).any()
