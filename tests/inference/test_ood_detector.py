import json

import numpy as np
import pytest

from unet.inference.ood_detector import OODDetector
from unet.training.calibration import fit_feature_gaussian


def known(count: int, seed: int) -> np.ndarray:
    """Features with mean (3, −1) and standard deviations 1 and 10."""
    return np.random.default_rng(seed).normal((3, -1), (1, 10), (count, 2))


@pytest.fixture(scope="module")
def familiarity() -> OODDetector:
    return fit_feature_gaussian("some_layer", known(4000, 0), known(1000, 1))


def test_a_distance_counts_in_standard_deviations(familiarity):
    assert familiarity.distance(np.array([3.0, -1.0])) == pytest.approx(0, abs=0.1)
    assert familiarity.distance(np.array([3.0, 39.0])) == pytest.approx(4, rel=0.15)
    # A direction in which images hardly differ counts more; shrinkage tempers it.
    assert familiarity.distance(np.array([13.0, -1.0])) > 3


def test_one_in_a_hundred_held_out_images_lies_beyond_the_limit(familiarity):
    beyond = np.mean([familiarity.distance(f) > familiarity.limit for f in known(5000, 2)])
    assert beyond == pytest.approx(0.01, abs=0.006)


def test_a_picture_is_unfamiliar_some_way_beyond_the_limit(familiarity):
    one = np.array([0.0, 1.0])
    step = one * familiarity.limit / familiarity.distance(familiarity.mean + one)
    assert familiarity.knows(familiarity.mean + 1.2 * step)
    assert not familiarity.knows(familiarity.mean + 1.4 * step)


def test_it_survives_json(familiarity):
    again = OODDetector.from_dict(json.loads(json.dumps(familiarity.to_dict())))
    features = np.array([1.0, 2.0], np.float32)
    assert again.distance(features) == familiarity.distance(features)
    assert (again.layer, again.limit) == ("some_layer", familiarity.limit)


@pytest.mark.parametrize("change", [{"mean": "!"}, {"precision": "AAAA"}, {"limit": "far"}])
def test_values_that_do_not_fit_are_refused(familiarity, change):
    with pytest.raises((ValueError, TypeError)):
        OODDetector.from_dict(familiarity.to_dict() | change)
