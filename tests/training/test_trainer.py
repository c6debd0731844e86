import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from tests.conftest import QUICK, TINY
from unet.config import TrainConfig
from unet.data.loading import load_datasets
from unet.errors import UserError
from unet.training import trainer
from unet.training.checkpoint import MONITOR, RunError, best_epoch
from unet.training.trainer import PRESENCE, EpochEnd, TrainingSet, is_finished, train

pytestmark = pytest.mark.slow

LONG = TrainConfig(epochs=12, batch_size=4, warmup_epochs=1)


@pytest.fixture(scope="module")
def data(phantoms):
    dataset = load_datasets([phantoms], TINY.input_size)
    return (
        TrainingSet(dataset.images[:12], dataset.masks[:12]),
        TrainingSet(dataset.images[12:], dataset.masks[12:]),
    )


def rows(run_dir: Path) -> list[dict[str, str]]:
    with open(run_dir / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def history_of(*values: float) -> list[dict[str, float]]:
    return [{MONITOR: value} for value in values]


def test_the_best_epoch_is_the_first_with_the_highest_value():
    assert best_epoch(history_of(0.1, 0.5, 0.3, 0.5)) == 2


def test_a_run_is_finished_by_its_epochs_or_by_its_patience():
    config = TrainConfig(epochs=5, patience=2)
    assert not is_finished([], config)
    assert not is_finished(history_of(0.5, 0.4), config)
    assert is_finished(history_of(0.5, 0.4, 0.4), config)
    assert is_finished(history_of(0.1, 0.2, 0.3, 0.4, 0.5), config)


def test_a_stopped_run_ends_as_a_run_that_was_not_stopped(data, tmp_path, monkeypatch):
    whole = train(TINY, QUICK, *data, tmp_path / "whole")

    def stop_after_first(self, epoch, logs=None):
        on_epoch_end(self, epoch, logs)
        if epoch == 0:
            raise KeyboardInterrupt

    on_epoch_end = EpochEnd.on_epoch_end
    with monkeypatch.context() as patched:
        patched.setattr(EpochEnd, "on_epoch_end", stop_after_first)
        with pytest.raises(KeyboardInterrupt):
            train(TINY, QUICK, *data, tmp_path / "parts")
    parts = train(TINY, QUICK, *data, tmp_path / "parts", resume=True)

    def numbers(history):
        return [[v for k, v in row.items() if k != "seconds"] for row in history]

    np.testing.assert_allclose(numbers(parts.history), numbers(whole.history), rtol=1e-4, atol=1e-5)
    for a, b in zip(whole.network.get_weights(), parts.network.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 12 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_loses_one_epoch_and_nothing_else(data, small_disk, monkeypatch):
    def fill_after_first(self, epoch, logs=None):
        on_epoch_end(self, epoch, logs)
        (small_disk / "filler").write_bytes(bytes(shutil.disk_usage(small_disk).free - 500_000))

    on_epoch_end = EpochEnd.on_epoch_end
    run = small_disk / "run"
    with monkeypatch.context() as patched:
        patched.setattr(EpochEnd, "on_epoch_end", fill_after_first)
        with pytest.raises(RunError, match=r"the disk has 0 MB left, .* go on with --resume"):
            train(TINY, QUICK, *data, run)
    assert [row["epoch"] for row in rows(run)] == ["1"]
    (small_disk / "filler").unlink()
    assert len(train(TINY, QUICK, *data, run, resume=True).history) == QUICK.epochs


def test_a_run_is_not_overwritten_and_not_resumed_with_other_settings(data, tmp_path):
    train(TINY, replace(QUICK, epochs=1), *data, tmp_path)
    with pytest.raises(RunError, match=r"holds a run of 1 epoch\(s\)\. Add --resume"):
        train(TINY, replace(QUICK, epochs=1), *data, tmp_path)
    with pytest.raises(RunError, match=r"train\.batch_size: 4 then, 5 now"):
        train(TINY, replace(QUICK, epochs=1, batch_size=5), *data, tmp_path, resume=True)
    assert len(rows(tmp_path)) == 1


def test_imagenet_weights_for_a_network_that_has_none_are_refused(data, tmp_path):
    with pytest.raises(UserError, match="leave out --pretrained"):
        train(TINY, replace(QUICK, pretrained=True), *data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_mixed_precision_trains_float32_weights_and_leaves_the_policy(data, tmp_path):
    config = replace(QUICK, epochs=1, precision="mixed_bfloat16")
    network = train(TINY, config, *data, tmp_path).network
    assert {weight.dtype for weight in network.get_weights()} == {np.dtype("float32")}
    assert keras.mixed_precision.dtype_policy().name == "float32"
    assert network.get_layer("encoder_1_conv_1").compute_dtype == "float32"


def test_tensorboard_logs_are_written_on_request(data, tmp_path):
    train(TINY, replace(QUICK, epochs=1), *data, tmp_path, tensorboard=True)
    assert list((tmp_path / "tensorboard").rglob("events.out.tfevents.*"))


PROGRAM = """
import sys
from pathlib import Path
from tests.conftest import TINY
from tests.training.test_trainer import LONG
from unet.data.loading import load_datasets
from unet.training.trainer import TrainingSet, train

dataset = load_datasets([sys.argv[1]], TINY.input_size)
train(TINY, LONG, TrainingSet(dataset.images[:12], dataset.masks[:12]),
      TrainingSet(dataset.images[12:], dataset.masks[12:]), Path(sys.argv[2]), resume=True)
"""


def start(phantoms: Path, run_dir: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(phantoms), str(run_dir)],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": "."},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_kill_9_at_random_moments_loses_only_the_running_epoch(phantoms, tmp_path):
    run_dir = tmp_path / "run"
    epochs_seen = []
    wait = random.Random(0)
    for _ in range(3):
        process = start(phantoms, run_dir)
        before = len(rows(run_dir)) if (run_dir / "history.csv").exists() else 0
        deadline = time.monotonic() + 120
        while not (run_dir / "history.csv").exists() or len(rows(run_dir)) <= before:
            assert time.monotonic() < deadline, "no epoch was finished"
            assert process.poll() is None, "the run ended before it was killed"
            time.sleep(0.02)
        time.sleep(wait.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
        epochs_seen.append(len(rows(run_dir)))
    assert epochs_seen == sorted(set(epochs_seen))  # each run went on, none began again
    assert start(phantoms, run_dir).wait(timeout=120) == 0

    history = rows(run_dir)
    assert [int(row["epoch"]) for row in history] == list(range(1, LONG.epochs + 1))
    best = int(np.argmax([float(row[MONITOR]) for row in history])) + 1
    assert [p.name for p in run_dir.glob("kept-*")] == [f"kept-{best:04d}.weights.h5"]
    with h5py.File(run_dir / "last" / "model.weights.h5") as file:
        steps = [v[()] for v in file["optimizer/vars"].values() if v.shape == ()]
    assert LONG.epochs * 3 in steps  # 12 cases in batches of 4: no step lost or repeated


@pytest.mark.parametrize("left", ["new", "complete"])
def test_a_kill_while_the_checkpoint_is_replaced_leaves_a_whole_one(data, tmp_path, left):
    before = train(TINY, replace(QUICK, epochs=1), *data, tmp_path).history
    if left == "complete":  # killed after the old state was removed
        (tmp_path / "last").rename(tmp_path / "complete")
    else:  # killed while the new one was written
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "model.weights.h5").write_bytes(b"half")
    history = train(TINY, replace(QUICK, epochs=1), *data, tmp_path, resume=True).history
    assert history == before  # its seconds too: nothing was trained again


def test_the_seed_decides_the_training(data, tmp_path):
    one = replace(QUICK, epochs=1)
    first, same = (train(TINY, one, *data, tmp_path / name).network for name in ("a", "b"))
    other = train(TINY, replace(one, seed=1), *data, tmp_path / "c").network
    for a, b, c in zip(*(network.trainable_variables for network in (first, same, other))):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
        assert "kernel" not in a.path or not np.allclose(a, c, rtol=1e-2)


def test_presence_is_learnt_with_the_network_and_asked_as_it_was_learnt(data, tmp_path):
    """What the trained head says of an image is what the shipped bundle says of it."""
    from unet.core.mask import PostProcessing
    from unet.inference.keras_export import runner_of
    from unet.inference.prediction import ModelId
    from unet.inference.segmenter import Segmenter
    from unet.training import trainer

    config = replace(QUICK, presence_head=True)
    trained = train(TINY, config, *data, tmp_path / "run")
    assert {"presence_auc", "val_presence_auc", "val_dice", "iou"} <= set(trained.history[-1])
    segmenter = Segmenter(
        runner_of(trained.network, trained.presence.layers), TINY.input_size, ModelId("x"),
        PostProcessing(), presence=trained.presence,
    )  # fmt: skip
    with_head = trainer._to_train(TINY, config)
    with_head.load_weights(tmp_path / "run" / f"kept-{best_epoch(trained.history):04d}.weights.h5")
    images = data[1].images
    expected = with_head.predict(images, verbose=0)[PRESENCE][:, 0]
    found = [segmenter.predict_input_views(image).presence for image in images]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(set(np.round(found, 6))) > 1
    again = train(TINY, config, *data, tmp_path / "run", resume=True)
    np.testing.assert_array_equal(again.presence.weights, trained.presence.weights)


def test_a_run_begun_before_there_was_a_setting_is_resumed(data, tmp_path):
    one = replace(QUICK, epochs=1)
    train(TINY, one, *data, tmp_path)
    path = tmp_path / "last" / "state.json"
    state = json.loads(path.read_text())
    for name in ("patches", "normal_oversampling", "presence_head"):
        del state["settings"]["train"][name]
    state["settings"]["train"]["annotations"] = False  # a setting that is gone, and was not used
    path.write_text(json.dumps(state))
    assert len(train(TINY, one, *data, tmp_path, resume=True).history) == 1
    with pytest.raises(RunError, match=r"train\.presence_head: False then, True now"):
        train(TINY, replace(one, presence_head=True), *data, tmp_path, resume=True)
    state["settings"]["train"]["annotations"] = True
    path.write_text(json.dumps(state))
    with pytest.raises(RunError, match=r"train\.annotations: True then, and there is no such"):
        train(TINY, one, *data, tmp_path, resume=True)


@pytest.mark.parametrize(("steps", "expected"), [(5, 0.5), (40, 0.75), (1000, 0.99), (9000, 0.99)])
def test_a_short_training_outlasts_the_memory_of_its_moving_averages(steps, expected):
    """Keras' own 0.99 remembers the first weights for 100 steps: validation is then nonsense."""
    layer = keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((4, 4, 1)), layer])
    trainer._fit_momentum(model, steps)
    assert layer.momentum == pytest.approx(expected)
