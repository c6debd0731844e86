"""What is taken home says who drew the mask, and what the network said."""

import json
import re
import zlib
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import predicted
from unet.core.mask import PostProcessing
from unet.core.prompts import Prompts
from unet.inference.prediction import ModelId
from unet.io.images import Picture
from unet.page.analysis import Analysis
from unet.page.exports import download, report

P8 = np.zeros((20, 30), np.uint8)
P8[5:9, 10:16] = 200
BY_HAND = np.zeros(P8.shape, bool)
BY_HAND[4:10, 9:16] = True
CLICK = Prompts(positive=(((12.0, 7.0),),))
GATED = PostProcessing(min_presence=0.1, unsure_presence=0.02)


def text_of(pdf: bytes) -> str:
    """What a report's page says; fpdf2 writes its text in parentheses, compressed."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    pages = [zlib.decompress(stream) for stream in streams if stream[:1] == b"x"]
    page = next(page for page in pages if b"BT" in page)
    parts = re.findall(rb"\(((?:[^()\\]|\\.)*)\)", page)
    return " ".join(" ".join(part.decode("latin-1").replace("\\", "") for part in parts).split())


def analysed_of(prediction, prompts=None) -> Analysis:
    return Analysis("a", "a", Picture(P8), prediction, 0.1, prompts=prompts)


def test_a_report_is_made_for_a_network_of_any_name():
    named = replace(predicted(P8), network=ModelId("сеть 网络", "ab" * 32))
    analysed = analysed_of(named)
    assert report.report_pdf(analysed, analysed.segment()).startswith(b"%PDF")


@pytest.mark.parametrize(
    ("probability_u8", "prompts", "edited", "drawn"),
    [
        (P8, None, False, "AUTOMATIC"),
        (P8, CLICK, False, "SEMIAUTOMATIC"),
        (P8, None, True, "SEMIAUTOMATIC"),
        (np.zeros_like(P8), None, True, "MANUAL"),
    ],
)
def test_who_drew_the_mask_is_said(probability_u8, prompts, edited, drawn):
    analysed = analysed_of(predicted(probability_u8), prompts)
    answer = analysed.segment()
    if edited:
        answer = answer.with_manual_mask(BY_HAND)
    assert download._drawn(analysed, answer) == drawn
    coco = json.loads(download.make("coco", analysed, answer)[2])
    assert drawn in json.dumps(coco)
    said = text_of(download.make("report", analysed, answer)[2])
    assert "not a medical device" in said
    assert (report.BY_HAND in said) == edited
    assert (report.POINTED_AT in said) == (prompts is not None)


def test_what_the_network_was_unsure_of_is_never_said_to_be_no_lesion():
    analysed = analysed_of(predicted(P8, GATED, presence=0.05))
    answer = analysed.segment()
    assert (answer.unsure, answer.mask.any()) == (True, False)
    assert "Unsure" in text_of(report.report_pdf(analysed, answer))
    edited = answer.with_manual_mask(BY_HAND)
    said = text_of(report.report_pdf(analysed, edited))
    assert "The network's own answer: Unsure" in said
    assert "No lesion" not in said
    own = report.findings_of(analysed.prediction, edited)["network_answer"]
    assert (own["lesion_found"], own["unsure"]) == (False, True)
    assert own["regions_to_look_at"][0]["area_px"] == 24
