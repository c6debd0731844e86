from pathlib import Path

import numpy as np
import pytest

from tests.conftest import predicted
from unet.config import RECIPES
from unet.core.mask import PostProcessing, quantise
from unet.data.cases import Case
from unet.evaluation.calibration import calibration_curve
from unet.evaluation.case_scores import CasePrediction
from unet.networks import architecture, build_network
from unet.training.calibration import augment_images, fit_confidence_thresholds

CASE = Case("a", "benign", Path("a.png"), ())


def map_of(square: np.ndarray, truth: np.ndarray, agreement: float | None = None) -> CasePrediction:
    prediction = predicted(quantise(square), agreement=agreement)
    return CasePrediction(CASE, square.astype(np.float32), prediction, truth)


def test_the_curve_and_its_error_by_hand():
    square = np.array([[0.05, 0.05, 0.05, 0.05], [0.85, 0.85, 1.0, 1.0]])
    truth = np.array([[0, 0, 0, 1], [1, 0, 1, 1]], bool)
    curve = calibration_curve([map_of(square.repeat(2, axis=0), truth.repeat(2, axis=0))])
    low, high, top = curve["bins"]
    assert low["share"] == 0.5
    assert low["frequency"] == 0.25
    assert high["probability"] == pytest.approx(0.85)
    assert top["probability"] == 1.0  # 1.0 falls into the last tenth
    error = 0.5 * 0.2 + 0.25 * abs(0.85 - 0.5) + 0.25 * 0
    assert curve["expected_calibration_error"] == pytest.approx(error, rel=1e-5)


def test_the_least_agreeing_images_get_low_confidence():
    full = np.ones((4, 4))
    maps = [map_of(full, full > 0, agreement) for agreement in np.linspace(0, 1, 101)]
    maps += [map_of(0 * full, full > 0, 0.0)] * 50  # without a mask: they do not count
    confidence = fit_confidence_thresholds(maps, PostProcessing())
    assert (confidence.low, confidence.high) == (0.15, 0.4)
    assert fit_confidence_thresholds([map_of(full, full > 0)], PostProcessing()) is None


def test_a_lesion_that_is_moved_out_of_the_picture_is_no_lesion_any_more():
    images = np.zeros((40, 64, 64, 1), np.float32)
    images[:, :6, :6] = 0.9  # at the corner, where shifts and zooms lose it
    altered_images, masks = augment_images(images, images > 0, seed=0)
    assert masks.dtype == bool
    visible = altered_images.max(axis=(1, 2, 3)) > 0.3
    present = masks.any(axis=(1, 2, 3))
    assert 5 < present.sum() < 35
    assert (visible == present).mean() > 0.9  # a rim of less than a pixel may differ
    again, _ = augment_images(images, images > 0, seed=0)
    np.testing.assert_array_equal(again, altered_images)


@pytest.mark.parametrize("name", {r.model.encoder: n for n, r in RECIPES.items()}.values())
def test_the_layers_that_are_asked_are_in_the_network(name):
    config = RECIPES[name].model
    network = build_network(config)
    for layer in (
        architecture(config).familiarity_layer(config),
        *architecture(config).presence_layers(config),
    ):
        assert network.get_layer(layer)
