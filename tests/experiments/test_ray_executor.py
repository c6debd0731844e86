"""Trainings on a Ray cluster of this machine's own: each in a process, killed ones too."""

import json
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import QUICK, TINY
from unet import cli
from unet.data.loading import load_datasets
from unet.errors import UserError
from unet.experiments.ray_executor import finish
from unet.training.sampling import make_training_set
from unet.training.trainer import train

pytestmark = pytest.mark.slow

LAST = replace(QUICK, checkpoint="last", epochs=4)


def train_twelve(dataset, run_dir: Path) -> None:
    """Train on the first twelve cases, or go on with it."""
    train(TINY, LAST, make_training_set(dataset, list(range(12)), LAST), None, run_dir, resume=True)


def killed_in_the_middle(dataset, told: Path, run_dir: Path) -> None:
    """A training whose process is killed once, when the first epoch is kept."""

    def kill() -> None:
        while not (run_dir / "last" / "state.json").exists():
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGKILL)

    with open(told, "a") as file:
        file.write(f"{os.getpid()}\n")
    if len(told.read_text().split()) == 1:
        threading.Thread(target=kill, daemon=True).start()
    train_twelve(dataset, run_dir)


def assert_same_trainings(one: Path, other: Path) -> None:
    """Folders hold the same runs with the same histories; TensorFlow's sums vary in their bits."""
    runs = sorted(path.parent.relative_to(one) for path in one.rglob("last"))
    assert runs
    assert runs == sorted(path.parent.relative_to(other) for path in other.rglob("last"))
    for run in runs:
        mine, theirs = (
            [{**row, "seconds": 0} for row in json.loads(path.read_text())["history"]]
            for path in (folder / run / "last" / "state.json" for folder in (one, other))
        )
        for row, same in zip(mine, theirs, strict=True):
            assert row == pytest.approx(same, rel=1e-4, abs=1e-5)


@pytest.mark.cluster
def test_a_killed_worker_loses_nothing(phantoms, tmp_path):
    pytest.importorskip("ray")
    dataset = load_datasets([phantoms], TINY.input_size)
    train_twelve(dataset, tmp_path / "whole")
    training = partial(killed_in_the_middle, told=tmp_path / "told", run_dir=tmp_path / "killed")
    finish("local", dataset, {"one": training})
    first, second = (tmp_path / "told").read_text().split()
    assert first != second
    assert_same_trainings(tmp_path / "killed", tmp_path / "whole")


def refused(dataset) -> None:
    raise UserError("not so")


@pytest.mark.cluster
def test_what_a_training_says_is_told(tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(UserError, match=r"^the first: not so$"):
        finish("local", None, {"the first": refused})


def test_without_ray_it_is_said_what_installs_it(phantoms, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    places = ["--out", str(tmp_path / "out"), "--run-dir", str(tmp_path / "run")]
    words = ["fit", "--data", str(phantoms), "--checkpoint", "last", "--input-size", "32", *places]
    assert cli.main([*words, "--folds", "2", "--ray", "local"]) == 1
    assert "pip install -r requirements-cluster.txt" in capsys.readouterr().err
    assert cli.main([*words, "--ray", "local"]) == 1
    assert "give --folds or --leave-out-domain too" in capsys.readouterr().err
