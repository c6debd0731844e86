import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from unet.config import InferenceConfig
from unet.core.mask import PostProcessing, quantise
from unet.inference.confidence import Confidence
from unet.inference.lesion_classifier import LesionClassifier
from unet.inference.prediction import ModelId
from unet.inference.segmenter import Segmenter


@pytest.mark.parametrize("size", [(40, 70), (719, 1048), (1, 1), (3, 500)])
def test_any_size_comes_back_at_that_size(tiny_segmenter, size):
    probability = tiny_segmenter.predict(np.full(size, 90, np.uint8))
    assert probability.shape == size
    assert probability.dtype == np.float32
    assert 0 <= probability.min() <= probability.max() <= 1


THREE_VIEWS = InferenceConfig(flip=True, scales=(1.0, 0.8))


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
    probability, found = tiny_segmenter.predict(image), tiny_segmenter.analyze(image)
    np.testing.assert_array_equal(quantise(probability), found.probability_u8)
    middle = float(np.median(found.probability_u8)) / 255
    mask = tiny_segmenter.segment(image, middle)
    np.testing.assert_array_equal(mask, found.segment(middle).mask)
    # By hand: the rules are the network's own, and the threshold is the one that is given.
    free = replace(found, postprocessing=PostProcessing(0.5))
    expected = probability * np.float32(255) + np.float32(0.5) >= round(middle * 255)
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(free.segment(middle).mask, expected)
    # A gate above every presence takes the whole mask.
    closed = replace(found, presence=0.3, postprocessing=PostProcessing(0.5, min_presence=0.4))
    assert not closed.segment(middle).mask.any()


def test_the_threshold_is_the_one_in_the_bundle(tiny_segmenter, tiny_bundle):
    written = json.loads((tiny_bundle / "unet.json").read_text())
    assert tiny_segmenter.name == written["model"]["name"] == "tiny"
    assert tiny_segmenter.threshold == written["postprocessing"]["threshold"]
    assert tiny_segmenter.network.sha256 == written["sha256"]["model.weights.h5"]


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
    from unet.core.mask import PostProcessing
    from unet.inference.keras_export import runner_of
    from unet.inference.prediction import ModelId
    from unet.inference.segmenter import Segmenter
    from unet.networks import build_network

    run = runner_of(build_network(TINY), ())
    segmenter = Segmenter(run, TINY.input_size, ModelId("bare"), PostProcessing())
    found = segmenter.analyze(np.arange(4000).astype(np.uint8).reshape(50, 80))
    assert found.probability_u8.shape == (50, 80)
    assert (
        found.disagreement_u8,
        found.agreement,
        found.familiar,
        found.presence,
        found.confidence,
    ) == (None,) * 5
    assert found.segment().confidence is None


def test_flip_averaging_treats_left_and_right_alike():
    from tests.conftest import TINY
    from unet.core.mask import PostProcessing
    from unet.inference.keras_export import runner_of
    from unet.inference.prediction import ModelId
    from unet.inference.segmenter import Segmenter
    from unet.networks import build_network

    run = runner_of(build_network(TINY), ())
    network = ModelId("flipped")
    segmenter = Segmenter(
        run, TINY.input_size, network, PostProcessing(), inference=InferenceConfig(flip=True)
    )
    image = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    found, mirrored = segmenter.analyze(image), segmenter.analyze(image[:, ::-1])
    for ours, theirs in (
        (found.probability_u8, mirrored.probability_u8),
        (found.disagreement_u8, mirrored.disagreement_u8),
    ):
        np.testing.assert_allclose(theirs[:, ::-1].astype(int), ours, atol=1)
    assert found.disagreement_u8.max() > 0


def test_a_smaller_view_is_laid_back_over_the_image():
    """A network that gives back what it sees: all views show the same place, of the same size."""
    seen = []

    def run(batch):
        seen.append(batch)
        return {"probability": batch[..., :1]}

    segmenter = Segmenter(
        run,
        40,
        ModelId("n"),
        PostProcessing(),
        inference=THREE_VIEWS,
    )
    image = np.zeros((40, 40), np.uint8)
    image[10:18, 6:20] = 255
    views = segmenter.predict_views(image).probability
    assert len(views) == 3
    np.testing.assert_allclose(views[:2], np.stack([image / 255] * 2))
    assert (views[2] >= 0.5).tolist() == (image > 0).tolist()
    small = seen[-1][2, :, :, 0]
    assert not small[:4].any()
    assert not small[:, -4:].any()
    rows, columns = np.nonzero(small >= 0.5)
    middle = 4 + 0.8 * np.array([14, 13])  # of the rectangle, in the frame
    assert [rows.mean() + 0.5, columns.mean() + 0.5] == pytest.approx(middle, abs=0.5)
    assert len(rows) == pytest.approx(0.64 * 8 * 14, rel=0.2)
    assert segmenter.analyze(image).agreement > 0.8


def test_presence_is_asked_of_the_views_at_full_size():
    def run(batch):
        brightest = batch.max(axis=(1, 2))  # (V, 1)
        brightest[2:] = np.nan
        return {"probability": batch[..., :1], "deep": brightest}

    presence = LesionClassifier(("deep",), np.ones(1, np.float32), 0.0)
    segmenter = Segmenter(run, 40, ModelId("n"), PostProcessing(), inference=THREE_VIEWS,
                          presence=presence)  # fmt: skip
    found = segmenter.analyze(np.eye(40, dtype=np.uint8) * 255)
    assert found.presence == pytest.approx(1 / (1 + np.exp(-1)))


def test_a_network_of_one_view_has_no_confidence_whatever_its_bundle_says():
    def run(batch):
        return {"probability": batch}

    segmenter = Segmenter(run, 8, ModelId("net"), PostProcessing(), confidence=Confidence())
    assert segmenter.analyze(np.zeros((9, 9), np.uint8)).segment().confidence is None


@pytest.mark.parametrize("grey", [0, 130, 255])
def test_a_picture_of_one_grey_shows_nothing(tiny_segmenter, grey):
    """Such as the black first frame of a clip, of which a network may make anything."""
    image = np.full((40, 70), grey, np.uint8)
    assert not tiny_segmenter.predict(image).any()
    prediction = tiny_segmenter.analyze(image)
    assert prediction.familiar is False
    assert not prediction.segment(threshold=0.01).mask.any()
    image[3, 5] ^= 1
    assert tiny_segmenter.predict(image).any()


def test_a_second_look_is_at_the_largest_candidate_and_blended_in():
    """The network takes what is bright for a lesion: half as surely where it fills little."""

    def run(batch):
        seen.append(batch)
        bright = batch[..., :1] > 0.5
        sure = np.where(bright.mean(axis=(1, 2, 3), keepdims=True) > 0.05, 1.0, 0.5)
        return {"probability": (bright * sure).astype(np.float32)}

    seen = []
    image = np.full((40, 40), 20, np.uint8)
    image[18:22, 18:22] = 255  # 0.1 of each side, 1 % of the picture
    inference = InferenceConfig(flip=True, second_look=0.8)
    segmenter = Segmenter(run, 40, ModelId("n"), PostProcessing(), inference=inference)
    plain = Segmenter(run, 40, ModelId("n"), PostProcessing(), inference=InferenceConfig(flip=True))
    seen.clear()
    found, alone = segmenter.analyze(image), plain.analyze(image)
    assert [len(batch) for batch in seen] == [2, 2, 2]  # two looks, each with its mirror image
    window = seen[1][0, :, :, 0] > 0.5
    assert 0.09 < window.mean() < 0.16  # 4 of 12 pixels a side: 0.3 of the picture is shown
    assert alone.probability_u8[20, 20] == 128
    assert found.probability_u8[20, 20] == pytest.approx(255 * (0.2 * 0.5 + 0.8), abs=1)
    assert found.agreement == alone.agreement  # of the whole picture
    outside = np.ones((40, 40), bool)
    outside[14:26, 14:26] = False
    np.testing.assert_array_equal(found.probability_u8[outside], alone.probability_u8[outside])
    np.testing.assert_allclose(segmenter.predict(image) * 255, found.probability_u8, atol=0.51)
    empty = np.full((40, 40), 20, np.uint8)
    empty[0, 0] = 21
    seen.clear()
    segmenter.analyze(empty)
    assert len(seen) == 1  # nothing to look at again


@pytest.mark.parametrize(
    "wrong", [{"second_look": 1.0}, {"scales": (0.9,)}, {"scales": (1.0, 0.4)}]
)
def test_how_a_network_answers_is_checked(wrong):
    with pytest.raises(ValueError, match="InferenceConfig: "):
        InferenceConfig(**wrong)
