import numpy as np

from tests.conftest import predicted
from unet.core.mask import PostProcessing
from unet.inference.confidence import Confidence
from unet.io.images import Picture
from unet.page.analysis import Analysis
from unet.page.exports.report import findings_of


def test_the_findings_name_the_network_and_why_there_is_no_mask():
    probability_u8 = np.full((20, 30), 60, np.uint8)
    probability_u8[5:9, 10:16] = 200
    rules = PostProcessing(0.5, min_presence=0.3)
    prediction = predicted(
        probability_u8, rules, presence=0.2, agreement=0.9, confidence=Confidence(0.2, 0.5)
    )
    analysed = Analysis("a", "a", Picture(np.zeros((20, 30), np.uint8)), prediction, 0.1)
    for threshold in (None, 0.0):
        found = findings_of(prediction, analysed.segment(threshold))
        assert not found["lesion_found"]
        assert found["reason_for_no_mask"] == "presence"
        assert found["network"] == {"name": "net", "sha256": "", "revision": None}
    found = findings_of(prediction, analysed.segment())
    assert (found["unsure"], found["confidence"]) == (True, "low")
    assert [region["area_px"] for region in found["regions_to_look_at"]] == [24]
