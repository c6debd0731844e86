import numpy as np
import pytest

from unet.images.reading import Picture
from unet.inference.postprocessing import PostProcessing
from unet.page.analysis import Analysed, result_at
from unet.page.exports import findings_of


def analysed(confidence: str | None, familiar: bool | None = True, presence: float = 0.9):
    """A lesion of 4 × 6 pixels at 200 of 255 in surroundings at 60, threshold 0.5."""
    p8 = np.full((20, 30), 60, np.uint8)
    p8[5:9, 10:16] = 200
    picture = Picture(np.zeros((20, 30), np.uint8))
    rules = PostProcessing(0.5, min_presence=0.3)
    return Analysed(
        "a", "a", picture, p8, None, confidence, familiar, presence, False, rules, "net", 0.1
    )


@pytest.mark.parametrize(
    ("threshold", "regions", "confidence"),
    [(None, 1, "high"), (0.7, 1, "high"), (0.9, 0, None), (0.1, 1, "high")],
)
def test_confidence_is_of_the_networks_own_answer(threshold, regions, confidence):
    result = result_at(analysed("high"), threshold)
    assert len(result.regions) == regions
    assert result.confidence == confidence
    assert result.gate is None


def test_an_unfamiliar_picture_is_of_low_confidence_at_every_threshold():
    for threshold in (None, 0.9):
        assert result_at(analysed("low", familiar=False), threshold).confidence == "low"


def test_a_closed_gate_is_named_and_opens_at_no_threshold():
    for threshold in (None, 0.0):
        result = result_at(analysed("high", presence=0.2), threshold)
        assert not result.mask.any()
        assert findings_of(result)["closed_gate"] == "presence"
        assert result.confidence == "high"  # of there being none
