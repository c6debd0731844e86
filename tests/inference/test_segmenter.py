import threading

import numpy as np
import pytest
from PIL import Image

from unet.inference.postprocessing import quantise, segment


@pytest.mark.parametrize("size", [(40, 70), (719, 1048), (1, 1), (3, 500)])
def test_any_size_comes_back_at_that_size(tiny_segmenter, size):
    probability = tiny_segmenter.predict(np.full(size, 90, np.uint8))
    assert probability.shape == size
    assert probability.dtype == np.float32
    assert 0 <= probability.min() <= probability.max() <= 1


def test_arrays_and_pil_images_in_grey_and_colour_give_the_same(tiny_segmenter):
    grey = np.random.default_rng(0).integers(0, 256, (50, 80), np.uint8)
    expected = tiny_segmenter.predict(grey)
    rgb = np.stack([grey] * 3, axis=2)
    for same in (Image.fromarray(grey), rgb, Image.fromarray(rgb)):
        np.testing.assert_array_equal(tiny_segmenter.predict(same), expected)


def test_rows_stay_rows(tiny_segmenter):
    image = np.zeros((60, 120), np.uint8)
    image[:20] = 200  # bright on top only
    wide = tiny_segmenter.predict(image)
    assert np.ptp(wide.mean(axis=1)) > 3 * np.ptp(wide.mean(axis=0)[10:-10])


def test_a_mask_follows_the_networks_rules_or_the_given_threshold(tiny_segmenter):
    image = np.random.default_rng(0).integers(0, 256, (50, 80), np.uint8)
    p8 = quantise(tiny_segmenter.predict(image))
    mask = tiny_segmenter.segment(image)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, segment(p8, tiny_segmenter.postprocessing))
    middle = float(np.median(p8)) / 255
    np.testing.assert_array_equal(
        tiny_segmenter.segment(image, middle), segment(p8, tiny_segmenter.postprocessing, middle)
    )


def test_the_threshold_is_the_one_chosen_on_validation(tiny_segmenter):
    assert tiny_segmenter.name == "tiny"
    assert tiny_segmenter.threshold == tiny_segmenter.postprocessing.threshold
    assert isinstance(tiny_segmenter.threshold, float)


def test_threads_may_share_a_segmenter(tiny_segmenter):
    images = [np.full((40, 60), 20 * i, np.uint8) for i in range(8)]
    expected = [tiny_segmenter.predict(image) for image in images]
    results: dict[int, np.ndarray] = {}

    def work(i: int) -> None:
        results[i] = tiny_segmenter.predict(images[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(8):
        np.testing.assert_array_equal(results[i], expected[i])


def test_what_is_no_image_is_refused(tiny_segmenter):
    with pytest.raises(TypeError, match="expected a PIL image or a uint8 array, got ndarray float"):
        tiny_segmenter.predict(np.zeros((4, 4)))


def test_a_network_that_knows_nothing_but_the_map_says_nothing_else():
    from tests.conftest import TINY
    from unet.inference.postprocessing import PostProcessing
    from unet.inference.segmenter import Segmenter
    from unet.networks import build_network

    segmenter = Segmenter(build_network(TINY), "bare", PostProcessing())
    found = segmenter.examine(np.full((50, 80), 90, np.uint8))
    assert found.probability.shape == (50, 80)
    assert (found.uncertainty, found.confidence, found.familiar, found.presence) == (None,) * 4


def test_flip_averaging_treats_left_and_right_alike():
    from tests.conftest import TINY
    from unet.inference.postprocessing import PostProcessing
    from unet.inference.segmenter import Segmenter
    from unet.networks import build_network

    segmenter = Segmenter(build_network(TINY), "flipped", PostProcessing(), flip=True)
    image = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    found, mirrored = segmenter.examine(image), segmenter.examine(image[:, ::-1])
    np.testing.assert_allclose(mirrored.probability[:, ::-1], found.probability, atol=1e-5)
    np.testing.assert_allclose(mirrored.uncertainty[:, ::-1], found.uncertainty, atol=1e-5)
    assert found.uncertainty.max() > 0
