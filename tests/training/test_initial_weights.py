"""Training that starts from a finished network, of all its layers or of some."""

from dataclasses import replace

import numpy as np
import pytest

import train as command_line
from tests.conftest import QUICK, TINY
from unet.config import Recipe
from unet.data.loading import load_datasets
from unet.errors import UserError
from unet.experiments.fit import fit
from unet.inference.bundle import WEIGHTS, read_info
from unet.inference.keras_export import load_network
from unet.networks.fast_batchnorm import FusedBatchNormalization
from unet.training.checkpoint import RunError
from unet.training.trainer import TrainingSet, train

pytestmark = pytest.mark.slow

ONCE = replace(QUICK, epochs=1, checkpoint="last", batch_size=9)


@pytest.fixture(scope="module")
def examples(phantoms):
    dataset = load_datasets([phantoms], TINY.input_size)
    return TrainingSet(dataset.images, dataset.masks)


@pytest.mark.parametrize("trainable", ["all", "encoder", "decoder"])
def test_only_the_layers_that_are_trained_change(trainable, examples, tiny_bundle, tmp_path):
    source = load_network(tiny_bundle, read_info(tiny_bundle))
    options = {"start": tiny_bundle / WEIGHTS, "resume": True}
    config = replace(ONCE, trainable=trainable)
    tuned = train(TINY, config, examples, None, tmp_path, **options).network
    for layer in source.layers:
        if not layer.get_weights():
            continue
        now = tuned.get_layer(layer.name).get_weights()
        same = all(np.array_equal(a, b) for a, b in zip(layer.get_weights(), now))
        in_encoder = layer.name.startswith("encoder")
        frozen = {"all": False, "encoder": not in_encoder, "decoder": in_encoder}[trainable]
        assert same == frozen


def test_what_starts_from_nothing_is_not_tuned_in_part(examples, tmp_path):
    with pytest.raises(UserError, match="give --init-from a trained network"):
        train(TINY, replace(ONCE, trainable="decoder"), examples, None, tmp_path)


def test_a_run_is_not_resumed_from_another_start(examples, tiny_bundle, tmp_path):
    train(TINY, ONCE, examples, None, tmp_path)
    with pytest.raises(RunError, match="other data"):
        train(TINY, ONCE, examples, None, tmp_path, start=tiny_bundle / WEIGHTS, resume=True)


def test_a_bundle_says_what_it_started_from(phantoms, tiny_bundle, tmp_path):
    options = {"out": tmp_path / "out", "run_dir": tmp_path / "run", "init_from": tiny_bundle}
    recipe = Recipe(TINY, replace(ONCE, trainable="encoder", epochs=1))
    fit([str(phantoms)], "unet", recipe, **options)
    training = read_info(tmp_path / "out").training
    hashes = read_info(tiny_bundle).sha256
    assert training["start"] == {"name": "tiny", "sha256": hashes[WEIGHTS], "seen": []}
    assert training["command"].endswith("--init-from weights/tiny")


def test_a_start_of_another_kind_is_refused(phantoms, tiny_bundle, tmp_path, capsys):
    words = ["fit", "--data", str(phantoms), "--init-from", str(tiny_bundle), "--input-size", "32"]
    places = ["--out", str(tmp_path / "out"), "--run-dir", str(tmp_path / "run")]
    assert command_line.main([*words, *places]) == 1
    assert "holds a network of another kind" in capsys.readouterr().err
    assert command_line.main([*words, *places, "--folds", "2", "--checkpoint", "last"]) == 1
    assert "leave out --init-from" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_frozen_normalisation_uses_its_running_values():
    layer = FusedBatchNormalization(trainable=False)
    batch = np.random.default_rng(0).normal(3, 2, (2, 4, 4, 3)).astype("float32")
    np.testing.assert_allclose(layer(batch, training=True), batch / np.sqrt(1.001), rtol=1e-5)
    assert not np.any(layer.moving_mean)
