"""One training in two processes on loopback: the same losses as in one, killed ones resumed."""

import importlib.util
import os
import signal
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from tests.conftest import QUICK, TINY
from unet import cli as command
from unet.config import RECIPES, Recipe
from unet.data.loading import load_datasets
from unet.errors import UserError
from unet.training import jax_processes
from unet.training.jax_processes import Processes
from unet.training.trainer import EpochEnd, TrainingSet, train

pytestmark = pytest.mark.slow

SMALL = replace(TINY, filters=(4,), dropout=(0.1,), bottleneck_filters=8)
"""Of one level: what is compiled takes most of the time."""
FIVE = replace(QUICK, batch_size=5)
needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is optional")


@pytest.fixture(scope="module")
def data(phantoms):
    """11 cases in batches of 5, and 7 in one of 8: none can be halved."""
    dataset = load_datasets([phantoms], TINY.input_size)
    return (
        TrainingSet(dataset.images[:11], dataset.masks[:11]),
        TrainingSet(dataset.images[11:], dataset.masks[11:]),
    )


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Processes compile what no other has before."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        patched.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        patched.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
        yield


@pytest.fixture(scope="module")
def by_one(data, compiled, tmp_path_factory):
    return train(SMALL, FIVE, *data, tmp_path_factory.mktemp("one"), among=Processes(1)).history


def losses(history: list[dict]) -> np.ndarray:
    return np.array([[row["loss"], row["val_loss"]] for row in history])


def dying(training, writes: bool) -> None:
    """A training whose process is killed at the end of the second epoch, if it is not the first."""

    def killed(self, epoch, logs=None):
        if epoch == 1 and not writes:
            os.kill(os.getpid(), signal.SIGKILL)
        on_epoch_end(self, epoch, logs)

    on_epoch_end, EpochEnd.on_epoch_end = EpochEnd.on_epoch_end, killed
    training(writes)


@needs_jax
def test_two_processes_train_as_one_also_when_one_was_killed(data, by_one, tmp_path, monkeypatch):
    run, two = jax_processes.run, Processes(2)
    with monkeypatch.context() as patched:
        patched.setattr(
            jax_processes,
            "run",
            lambda among, training, same: run(among, partial(dying, training), same),
        )
        with pytest.raises(UserError, match=r"process 1 of 2 ended .*SIGKILL.* with --resume"):
            train(SMALL, FIVE, *data, tmp_path, among=two)
    trained = train(SMALL, FIVE, *data, tmp_path, among=two, resume=True)
    assert len(trained.history) == FIVE.epochs
    np.testing.assert_allclose(losses(trained.history), losses(by_one), rtol=0, atol=1e-6)


def several_at_once(training, writes: bool) -> None:
    """A training whose calls take two steps, as on a GPU they take more; the third fills none."""
    from unet.training import jax_data_parallel

    jax_data_parallel.steps_a_call = lambda: 2
    training(writes)


@needs_jax
def test_several_steps_a_call_train_as_single_ones(data, by_one, tmp_path, monkeypatch):
    run = jax_processes.run
    monkeypatch.setattr(
        jax_processes,
        "run",
        lambda among, training, same: run(among, partial(several_at_once, training), same),
    )
    trained = train(SMALL, FIVE, *data, tmp_path, among=Processes(1))
    np.testing.assert_allclose(losses(trained.history), losses(by_one), rtol=0, atol=1e-5)


@needs_jax
def test_depthwise_convolutions_trained_on_jax_are_keras_own_afterwards(compiled, data, tmp_path):
    """Biases, strides and the names in the file of weights: ConvMixer has the first."""
    model = replace(RECIPES["convmixer-unet"].model, input_size=32, filters=(4,), dropout=(0.0,))
    model = replace(model, bottleneck_filters=8)
    once = replace(FIVE, epochs=1, checkpoint="last")
    trained = train(model, once, *data, tmp_path, among=Processes(1))
    assert np.isfinite(trained.network(data[1].images)).all()
    again = train(model, once, *data, tmp_path, among=Processes(1), resume=True)
    np.testing.assert_array_equal(trained.network(data[1].images), again.network(data[1].images))


@needs_jax
def test_what_a_process_says_is_told():
    with pytest.raises(UserError, match=r"^not so$"):
        jax_processes.run(Processes(1), refused, "")


def refused(writes: bool) -> None:
    raise UserError("not so")


def test_without_jax_it_is_said_what_installs_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "jax", None)
    monkeypatch.setitem(RECIPES, "unet", Recipe(TINY, QUICK))
    places = ["--out", str(tmp_path / "out"), "--run-dir", str(tmp_path / "run")]
    assert command.main(["fit", "--data", "phantom", "--backend", "jax", *places]) == 1
    assert "pip install -r requirements-cluster.txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--processes", "2"], "need --backend jax"),
        (["--backend", "jax", "--processes", "0"], "must be at least 1. Received: 0"),
        (["--backend", "jax", "--rank", "0"], "give both, or none"),
        (["--backend", "jax", "--coordinator", "here", "--rank", "0"], "must be HOST:PORT"),
        (["--backend", "jax", "--coordinator", "a:1", "--rank", "1"], "between 0 and 0"),
        (["--backend", "jax", "--folds", "2", "--ray", "local"], "leave out --backend jax"),
        (
            [
                "--backend",
                "jax",
                "--leave-out-domain",
                "BUSI",
                "--coordinator",
                "a:1",
                "--rank",
                "0",
            ],
            "leave out --coordinator and --rank",
        ),
    ],
)
def test_processes_that_cannot_be_are_refused_in_words(words, said, capsys):
    assert command.main(["fit", "--data", "phantom", *words]) == 1
    assert said in capsys.readouterr().err


def test_prompts_and_tensorboard_are_refused_on_jax(data, tmp_path):
    recipe = RECIPES["guided-unet"]
    model, config = recipe.model, recipe.train
    with pytest.raises(UserError, match="leave it out for guided-unet"):
        train(replace(model, input_size=32), config, *data, tmp_path, among=Processes(1))
    with pytest.raises(UserError, match="leave it out for --tensorboard"):
        train(TINY, QUICK, *data, tmp_path, among=Processes(1), tensorboard=True)


def test_jax_chooses_its_own_device_unless_the_person_does(monkeypatch):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    with jax_processes._environment(1):
        assert os.environ["KERAS_BACKEND"] == "jax"
        assert "JAX_PLATFORMS" not in os.environ
    with jax_processes._environment(2):  # which would want one GPU each
        assert os.environ["JAX_PLATFORMS"] == "cpu"
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    with jax_processes._environment(2):
        assert os.environ["JAX_PLATFORMS"] == "cpu"
