"""Numbers that come from a browser, or from whoever writes requests by hand."""

from __future__ import annotations

import gradio as gr
import pytest

from unet.io.images import ImageError
from unet.page.session_store import AnalysisCache
from unet.page.tabs import check_threshold, threshold_input
from unet.page.tabs.clip import _whole

HUGE = 10**5000  # as text it is longer than Python allows


@pytest.mark.parametrize(
    "threshold",
    [HUGE, -HUGE, float("nan"), float("inf"), "x" * 9999, [[]]],
    ids=["huge", "minus huge", "nan", "infinite", "text", "list"],
)
def test_a_threshold_that_cannot_be_meant_is_a_sentence(threshold):
    with pytest.raises(gr.Error, match="threshold must") as error:
        threshold_input().preprocess(threshold)
    assert len(str(error.value)) < 120


def test_a_threshold_left_out_is_allowed():
    check_threshold(None)
    assert threshold_input().preprocess(None) is None


@pytest.mark.parametrize("frame", [1.5, float("inf"), "1", None, True])
def test_what_is_no_frame_is_a_sentence(frame):
    with pytest.raises(ImageError, match="expected the number of a frame"):
        _whole(frame)


@pytest.mark.parametrize("name", [None, "", "gone", ["a"], {}, 7])
def test_what_is_no_id_names_nothing(name):
    assert AnalysisCache().get(name) is None
    assert AnalysisCache().packed(name) is None
