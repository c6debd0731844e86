"""The state of a training run on disk: written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path

import keras
import numpy as np

from unet.config import ModelConfig, TrainConfig, to_dict
from unet.errors import UserError
from unet.files import atomic_write, rows_to_csv
from unet.provenance import git_commit

MONITOR = "val_dice"
"""The epoch with the highest value is the best: mean Dice over all validation images."""


ROOM, SPARE_BYTES = 1.1, 2_000_000
"""Disk space of a state relative to its numbers: a factor, and files' own overhead."""


class RunError(UserError):
    """A run folder that does not fit what was asked; the message says what to do."""


def best_epoch(history: list[dict[str, float]]) -> int:
    """The first epoch, counted from 1, with the highest monitored value."""
    return int(np.argmax([row[MONITOR] for row in history])) + 1


def kept_epoch(history: list[dict[str, float]], keep: str) -> int:
    """The epoch whose weights are kept, counted from 1: the "best" or the "last"."""
    return best_epoch(history) if keep == "best" else len(history)


def refuse_run(run_dir: Path) -> None:
    """Raise RunError where a folder holds a run already."""
    path = run_dir / "last" / "state.json"
    if path.exists():
        raise RunError(
            f"{run_dir} holds a run of {len(json.loads(path.read_text())['history'])} epoch(s). "
            "Add --resume to continue it, choose another --run-dir, or delete that folder."
        )


class Checkpoint:
    """The state of a run on disk.

    `last/` holds the newest epoch's weights with optimizer and `state.json` (settings, history,
    the commit the run started from); it is replaced by renaming, so it is always whole.
    `kept-NNNN.weights.h5` is written before the state that counts on it, and older ones go after.
    """

    def __init__(self, run_dir: Path, settings: dict):
        self.run_dir, self.settings = Path(run_dir), settings
        self.keep = settings["train"]["checkpoint"]
        self.commit = git_commit()

    def load_history(self, *, resume: bool) -> list[dict[str, float]]:
        """The history so far, empty for a new run. Raises RunError as `train` says."""
        self._finish_replacing()
        path = self.run_dir / "last" / "state.json"
        if not path.exists():
            return []
        state = json.loads(path.read_text())
        if not resume:
            refuse_run(self.run_dir)
        then = state["settings"]
        differing = ["other data"] if then["data"] != self.settings["data"] else []
        for part, defaults in (("model", ModelConfig()), ("train", TrainConfig())):
            before = to_dict(defaults) | then[part]  # a run begun before there was a setting
            differing += [
                f"{part}.{name}: {before.get(name)!r} then, {value!r} now"
                for name, value in self.settings[part].items()
                if before.get(name) != value and name != "name"
            ]
            differing += [
                f"{part}.{name}: {value!r} then, and there is no such setting now"
                for name, value in then[part].items()
                if name not in self.settings[part] and value
            ]
        if differing:
            raise RunError(
                f"{self.run_dir} holds a run with other settings ({'; '.join(differing)}). Resume "
                "it with its own settings, or choose another --run-dir."
            )
        self.commit = state["commit"]
        self._write_csv(state["history"])
        return state["history"]

    @staticmethod
    def started_from(run_dir: Path) -> str | None:
        """The commit a run started from; None for no run, or one outside git."""
        path = Path(run_dir) / "last" / "state.json"
        return json.loads(path.read_text())["commit"] if path.exists() else None

    def load_into(self, model: keras.Model, history: list[dict]) -> None:
        """Restore weights, optimizer and random state of the newest epoch."""
        model.load_weights(self.run_dir / "last" / "model.weights.h5")
        steps = int(keras.ops.convert_to_numpy(model.optimizer.iterations))
        if steps == 0 and history:
            raise RunError(
                f"{self.run_dir}/last holds no optimizer state of this kind of training: resume it "
                "with the --backend it was begun with, or start the run again."
            )
        # Keras does not save where dropout's random streams were: one draw a step.
        for layer in model.layers:
            if isinstance(layer, keras.layers.Dropout) and layer.rate > 0:
                state = layer.seed_generator.state  # (seed, draws so far)
                state.assign([state[0], steps])

    def save(self, model: keras.Model, history: list[dict]) -> None:
        """Write the state after an epoch, whole or not at all.

        Raises:
            RunError: The disk has no room for it; the state before is as it was.
        """
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self._check_room(model)
        epoch = len(history)
        if kept_epoch(history, self.keep) == epoch:
            self._write_weights(model, self.kept_path(history))
        new = self.run_dir / "new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        self._write_weights(model, new / "model.weights.h5")
        state = {"settings": self.settings, "commit": self.commit, "history": history}
        atomic_write(new / "state.json", json.dumps(state, indent=1))
        os.replace(new, self.run_dir / "complete")
        self._finish_replacing()
        self._write_csv(history)
        for path in self.run_dir.glob("kept-*.weights.h5"):
            if path != self.kept_path(history):
                path.unlink()

    def _check_room(self, model: keras.Model) -> None:
        """Raise RunError where the disk cannot hold a state; HDF5 itself would crash there."""
        weights, moments = (
            sum(math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in of.variables)
            for of in (model, model.optimizer)
        )
        needed = int(ROOM * (2 * weights + moments)) + SPARE_BYTES
        free = shutil.disk_usage(self.run_dir).free
        if free < needed:
            raise RunError(
                f"{self.run_dir}: the disk has {free / 1e6:.0f} MB left, and the state of this "
                f"epoch takes {needed / 1e6:.0f} MB. The epoch before is kept: make room, then go "
                "on with --resume."
            )

    def kept_path(self, history: list[dict]) -> Path:
        """Path of the kept epoch's weights."""
        return self.run_dir / f"kept-{kept_epoch(history, self.keep):04d}.weights.h5"

    def _finish_replacing(self) -> None:
        """Put a complete new state in the old one's place, also if killed in between."""
        complete, last = self.run_dir / "complete", self.run_dir / "last"
        if complete.exists():
            shutil.rmtree(last, ignore_errors=True)
            os.replace(complete, last)

    def _write_weights(self, model: keras.Model, path: Path) -> None:
        temporary = path.with_name(f"writing-{path.name}")
        model.save_weights(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)

    def _write_csv(self, history: list[dict]) -> None:
        atomic_write(self.run_dir / "history.csv", rows_to_csv(history))
