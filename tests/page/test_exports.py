import numpy as np

from tests.conftest import predicted
from unet.images.reading import Picture
from unet.inference.prediction import Network
from unet.page import exports
from unet.page.analysis import Analysed


def test_a_report_is_made_for_a_network_of_any_name():
    from dataclasses import replace

    p8 = np.zeros((20, 30), np.uint8)
    p8[5:9, 10:16] = 200
    named = replace(predicted(p8), network=Network("сеть 网络", "ab" * 32))
    analysed = Analysed("a", "a", Picture(p8), named, 0.1)
    assert exports.report_pdf(analysed, analysed.answer()).startswith(b"%PDF")
