import json

import numpy as np
import pytest

from unet.inference.lesion_classifier import LesionClassifier
from unet.training.calibration import fit_lesion_regression


@pytest.fixture(scope="module")
def presence() -> LesionClassifier:
    """Learnt from 900 images with a lesion and 100 without, which one of three features tells."""
    random = np.random.default_rng(0)
    present = np.arange(1000) < 900
    features = random.normal(0, (1, 5, 1), (1000, 3)) + np.outer(present, (0, 20, 0))
    return fit_lesion_regression(("deep",), features, present)


def test_it_tells_images_apart_by_the_feature_that_does(presence):
    with_lesion, without = (
        presence.probability(np.array([[0, 20, 0]])),
        presence.probability(np.array([[0, 0, 0]])),
    )
    assert with_lesion > 0.95
    assert without < 0.05
    assert abs(presence.weights[1]) > 3 * abs(presence.weights[0])


def test_the_rarer_answer_weighs_the_same(presence):
    assert presence.probability(np.array([[0, 10, 0]])) == pytest.approx(0.5, abs=0.2)


def test_views_are_averaged(presence):
    one, other = np.array([[0, 14, 0]]), np.array([[1, 6, 0]])
    mean = (presence.probability(one) + presence.probability(other)) / 2
    assert presence.probability(np.concatenate([one, other])) == pytest.approx(mean)


def test_it_survives_json(presence):
    again = LesionClassifier.from_dict(json.loads(json.dumps(presence.to_dict())))
    features = np.array([[0.5, 9, 1]])
    assert again.probability(features) == presence.probability(features)
    assert again.layers == ("deep",)


def test_nothing_is_learnt_where_all_images_are_alike():
    assert fit_lesion_regression(("deep",), np.zeros((5, 3)), np.ones(5, bool)) is None
