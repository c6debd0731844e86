"""Training with simulated people."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from scipy import ndimage

from unet.config import RECIPES, ModelConfig, Recipe
from unet.core.prompts import Prompts, draw_prompts
from unet.data.loading import load_datasets
from unet.data.prompt_simulation import ELSE_AREAS
from unet.inference.keras_export import export_onnx
from unet.networks import build_network
from unet.training import interactive
from unet.training.calibration import uncalibrated_segmenter
from unet.training.interactive import pointed_at
from unet.training.sampling import make_training_set
from unet.training.trainer import TrainingSet, train

pytestmark = pytest.mark.slow

MODEL = replace(RECIPES["guided-unet"].model, input_size=32)
CLICK = Prompts(positive=(((16.0, 16.0),),))
QUICK = replace(
    RECIPES["guided-unet"].train, epochs=2, warmup_epochs=1, batch_size=8, pretrained=False
)
RECIPE = Recipe(MODEL, QUICK, RECIPES["guided-unet"].inference)


def batch(count: int = 40, size: int = 32):
    random = np.random.default_rng(0)
    truths = np.zeros((count, size, size, 1), np.float32)
    truths[: count // 2, 8:20, 10:24] = 1
    return random.random((count, size, size, 1), np.float32), truths


def test_some_are_left_alone_and_the_others_pointed_at(monkeypatch):
    monkeypatch.setattr(interactive, "CLOSER", 0)
    images, truths = batch(size=64)
    images = np.stack([ndimage.gaussian_filter(image, (4, 4, 0)) for image in images]) * 6 - 2.5
    asked, instead = [], []

    def predict(inputs):
        asked.append(inputs)
        return np.zeros(inputs.shape[:3], bool)

    for seed in range(8):
        inputs, given, alone = pointed_at(images, truths, np.random.default_rng(seed), predict)
        assert inputs.shape == (40, 64, 64, 3)
        np.testing.assert_array_equal(inputs[..., :1], images)
        np.testing.assert_array_equal(inputs[..., 1:].any(axis=(1, 2, 3)), alone == 0)
        assert 0 < alone[:20].sum() < 20
        # What is pointed at is the lesion or something else, never both.
        lesions, given = truths[..., 0] > 0, given[..., 0] > 0
        others = (given != lesions).any(axis=(1, 2))
        assert not (given & lesions)[others].any()
        assert not others[alone > 0].any()
        assert given[others].mean(axis=(1, 2)).max(initial=0) <= ELSE_AREAS[1]
        instead.append(others)
    shares = np.mean(instead, axis=0)
    assert (
        0 < shares[:20].mean() < interactive.ELSE < shares[20:].mean() <= interactive.ELSE_WITHOUT
    )
    assert asked  # someone has looked at an answer


def test_of_several_lesions_one_is_asked_for(monkeypatch):
    monkeypatch.setattr(interactive, "CLOSER", 0)
    monkeypatch.setattr(interactive, "ELSE", 0)
    images, truths = batch()
    truths[:20, 24:29, 2:9] = 1
    _, given, alone = pointed_at(
        images, truths, np.random.default_rng(0), lambda x: np.zeros(x.shape[:3], bool)
    )
    counts = np.array([ndimage.label(one[..., 0])[1] for one in given[:20]])
    assert (counts == np.where(alone[:20] > 0, 2, 1)).all()


def test_who_is_shown_a_picture_from_closer_points_at_the_same_place(monkeypatch):
    monkeypatch.setattr(interactive, "CLOSER", 1)
    monkeypatch.setattr(interactive, "ALONE", 0)
    monkeypatch.setattr(interactive, "ELSE", 0)
    truths = np.zeros((40, 64, 64, 1), np.float32)
    truths[:, 10:20, 40:52] = 1
    images = truths * 0.8  # a lesion is what is bright
    inputs, given, _ = pointed_at(
        images, truths, np.random.default_rng(0), lambda x: np.zeros(x.shape[:3], bool)
    )
    larger = given.sum(axis=(1, 2, 3)) / truths[0].sum()
    assert 1.5 < np.median(larger) < 1 / 0.35**2
    inside = inputs[..., 1] > 0
    assert inside.any(axis=(1, 2)).sum() > 20
    for image, prompt, truth in zip(inputs[..., 0], inside, given[..., 0], strict=True):
        np.testing.assert_array_equal(image > 0.4, truth > 0)
        assert not prompt.any() or truth[prompt].mean() > 0.5


def test_a_network_begins_by_not_seeing_prompts(tmp_path):
    plain = build_network(replace(MODEL, interactive=False))
    weights = tmp_path / "plain.weights.h5"
    plain.save_weights(weights)
    from unet.training.trainer import _copy_weights, _network_in

    shown_prompts = build_network(MODEL)
    _copy_weights(_network_in(weights, MODEL), shown_prompts)
    images, _ = batch(2)
    maps = draw_prompts(Prompts(positive=(((9.0, 9.0),),)), 32, 32, 32)
    shown = np.concatenate([images, np.stack([maps, maps])], axis=3)
    expected = plain.predict_on_batch(images)
    np.testing.assert_allclose(shown_prompts.predict_on_batch(shown), expected, atol=1e-5)


def test_only_one_encoder_takes_prompts():
    with pytest.raises(ValueError, match="only the encoder efficientnet-lite2 takes prompts"):
        ModelConfig(interactive=True)


def test_a_guided_network_is_trained_and_exported(phantoms, tmp_path):
    dataset = load_datasets([phantoms], 32)
    examples = make_training_set(dataset, list(range(12)), QUICK)
    validation = TrainingSet(dataset.images[12:], dataset.masks[12:])
    trained = train(MODEL, QUICK, examples, validation, tmp_path)
    assert [row["epoch"] for row in trained.history] == [1, 2]
    assert {"loss", "dice", "val_dice", "val_presence_auc"} <= set(trained.history[0])

    segmenter = uncalibrated_segmenter(trained, RECIPE, examples)
    grey = (dataset.images[0, :, :, 0] * 255).astype(np.uint8)
    alone = segmenter.analyze(grey)
    pointed = segmenter.analyze(grey, CLICK)
    assert alone.presence is not None
    assert pointed.presence is None
    maps = [segmenter.predict_views(grey, prompts).probability for prompts in (None, CLICK)]
    assert np.abs(maps[0] - maps[1]).max() > 0
    assert (
        segmenter.analyze(grey, Prompts()).probability_u8.tolist() == alone.probability_u8.tolist()
    )
    assert export_onnx(trained.network, segmenter.presence.layers)
    keras.backend.clear_session()
