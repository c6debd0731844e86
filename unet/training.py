"""Compile, fit, checkpoint, resume.

A run keeps its state in a run folder. One checkpoint is written after each epoch, whole or not at
all, so a process that is killed loses the running epoch and nothing else. Best-so-far and early
stopping are read off the history, so they have no state of their own to lose.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
import subprocess
import time
from pathlib import Path

import keras
import numpy as np

from unet.config import ModelConfig, TrainConfig, to_dict
from unet.errors import UserError
from unet.fast_batchnorm import FusedBatchNormalization
from unet.losses import compile_arguments
from unet.model import build_unet
from unet.pipeline import evaluation_batches, training_batches

MONITOR = "val_dice"
"""The epoch with the highest value is kept: mean Dice over all validation images."""

EVALUATION_BATCH = 8


class RunError(UserError):
    """A run folder that does not fit what was asked; the message says what to do."""


def train(
    model_config: ModelConfig,
    config: TrainConfig,
    train_data: tuple[np.ndarray, np.ndarray],
    validation_data: tuple[np.ndarray, np.ndarray],
    run_dir: Path,
    *,
    resume: bool = False,
    tensorboard: bool = False,
) -> tuple[keras.Model, list[dict[str, float]]]:
    """Train a network, or finish training it.

    Args:
        model_config: The network.
        config: The recipe.
        train_data: Images float32 `(N, S, S, 1)` in [0, 1] and masks bool `(N, S, S, 1)`.
        validation_data: The same for validation.
        run_dir: Holds checkpoints and history.csv; made if missing.
        resume: Continue the run in `run_dir`, or start if there is none.
        tensorboard: Also write TensorBoard logs to `run_dir/tensorboard`.

    Returns:
        The network in float32 with the best epoch's weights, and the history, a row an epoch.

    Raises:
        RunError: `run_dir` holds a run and `resume` is not set, or a run with other settings.
    """
    settings = {"model": to_dict(model_config), "train": to_dict(config)}
    checkpoint = Checkpoint(run_dir, settings)
    history = checkpoint.load_history(resume=resume)
    keras.utils.set_random_seed(config.seed)
    keras.mixed_precision.set_global_policy(config.precision)
    try:
        model = build_unet(model_config, batch_normalization=FusedBatchNormalization)
        steps = math.ceil(len(train_data[0]) / config.batch_size)
        model.compile(optimizer=_optimizer(config, steps), **compile_arguments())
        model.optimizer.build(model.trainable_variables)
        if history:
            checkpoint.load_into(model, history)
        if not is_finished(history, config):
            _fit(model, config, train_data, validation_data, checkpoint, history, tensorboard)
    finally:
        keras.mixed_precision.set_global_policy("float32")

    trained = build_unet(model_config, batch_normalization=FusedBatchNormalization)
    trained.load_weights(checkpoint.best_path(history))
    best = build_unet(model_config)  # the same weights in built-in layers
    best.set_weights(trained.get_weights())
    return best, history


def best_epoch(history: list[dict[str, float]]) -> int:
    """The first epoch, counted from 1, with the highest monitored value."""
    return int(np.argmax([row[MONITOR] for row in history])) + 1


def is_finished(history: list[dict[str, float]], config: TrainConfig) -> bool:
    """Whether all epochs are done, or `patience` of them have passed without a better one."""
    if not history:
        return False
    waited = len(history) - best_epoch(history)
    return len(history) >= config.epochs or waited >= config.patience


def _optimizer(config: TrainConfig, steps: int) -> keras.optimizers.Optimizer:
    warmup = min(config.warmup_epochs, config.epochs - 1) * steps
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate / 20 if warmup else config.learning_rate,
        decay_steps=config.epochs * steps - warmup,
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    return keras.optimizers.Adam(schedule)


def _fit(model, config, train_data, validation_data, checkpoint, history, tensorboard) -> None:
    """Run the epochs that `history` lacks, appending to it."""
    callbacks: list[keras.callbacks.Callback] = [EpochEnd(checkpoint, history, config)]
    if tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(checkpoint.run_dir / "tensorboard"))
    model.fit(
        training_batches(
            *train_data,
            batch_size=config.batch_size,
            seed=config.seed,
            first_epoch=len(history),
            augment=config.augment,
        ),
        steps_per_epoch=math.ceil(len(train_data[0]) / config.batch_size),
        validation_data=evaluation_batches(*validation_data, EVALUATION_BATCH),
        initial_epoch=len(history),
        epochs=config.epochs,
        callbacks=callbacks,
        shuffle=False,  # the batches are shuffled already
        verbose="auto",
    )


class EpochEnd(keras.callbacks.Callback):
    """Adds the epoch to the history, writes the checkpoint, stops when patience is spent."""

    def __init__(self, checkpoint: Checkpoint, history: list[dict], config: TrainConfig):
        super().__init__()
        self.checkpoint, self.history, self.config = checkpoint, history, config

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}}
        row["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row["seconds"] = round(time.perf_counter() - self.started, 1)
        self.history.append(row)
        self.checkpoint.save(self.model, self.history)
        if is_finished(self.history, self.config):
            self.model.stop_training = True


class Checkpoint:
    """The state of a run on disk.

    `last/` holds the newest epoch's weights with optimizer and `state.json` (settings, history,
    the commit the run started from); it is replaced by renaming, so it is always whole.
    `best-NNNN.weights.h5` is written before the state that counts on it, and older ones go after.
    """

    def __init__(self, run_dir: Path, settings: dict):
        self.run_dir, self.settings = Path(run_dir), settings
        self.commit = git_commit()

    def load_history(self, *, resume: bool) -> list[dict[str, float]]:
        """The history so far, empty for a new run. Raises RunError as `train` says."""
        self._finish_replacing()
        path = self.run_dir / "last" / "state.json"
        if not path.exists():
            return []
        state = json.loads(path.read_text())
        if not resume:
            raise RunError(
                f"{self.run_dir} holds a run of {len(state['history'])} epoch(s). Add --resume to "
                "continue it, choose another --run-dir, or delete that folder."
            )
        if state["settings"] != self.settings:
            differing = [
                f"{part}.{name}: {state['settings'][part].get(name)!r} then, {value!r} now"
                for part, values in self.settings.items()
                for name, value in values.items()
                if state["settings"][part].get(name) != value
            ]
            raise RunError(
                f"{self.run_dir} holds a run with other settings ({'; '.join(differing)}). Resume "
                "it with its own settings, or choose another --run-dir."
            )
        self.commit = state["commit"]
        self._write_csv(state["history"])
        return state["history"]

    @staticmethod
    def started_from(run_dir: Path) -> str | None:
        """The commit a run started from."""
        return json.loads((Path(run_dir) / "last" / "state.json").read_text())["commit"]

    def load_into(self, model: keras.Model, history: list[dict]) -> None:
        """Restore weights, optimizer and random state of the newest epoch."""
        model.load_weights(self.run_dir / "last" / "model.weights.h5")
        steps = int(keras.ops.convert_to_numpy(model.optimizer.iterations))
        if steps == 0 and history:
            raise RunError(f"{self.run_dir}/last holds no optimizer state. Start the run again.")
        # Keras does not save where dropout's random streams were: one draw a step.
        for layer in model.layers:
            if isinstance(layer, keras.layers.Dropout) and layer.rate > 0:
                state = layer.seed_generator.state  # (seed, draws so far)
                state.assign([state[0], steps])

    def save(self, model: keras.Model, history: list[dict]) -> None:
        """Write the state after an epoch, whole or not at all."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        epoch = len(history)
        if best_epoch(history) == epoch:
            self._write_weights(model, self.best_path(history))
        new = self.run_dir / "new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        self._write_weights(model, new / "model.weights.h5")
        state = {"settings": self.settings, "commit": self.commit, "history": history}
        _write_durably(new / "state.json", json.dumps(state, indent=1).encode())
        os.replace(new, self.run_dir / "complete")
        self._finish_replacing()
        self._write_csv(history)
        for path in self.run_dir.glob("best-*.weights.h5"):
            if path != self.best_path(history):
                path.unlink()

    def best_path(self, history: list[dict]) -> Path:
        """Where the best epoch's weights are."""
        return self.run_dir / f"best-{best_epoch(history):04d}.weights.h5"

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
        _write_durably(self.run_dir / "history.csv", history_csv(history).encode())


def history_csv(history: list[dict[str, float]]) -> str:
    """The history as CSV text, a row an epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()


def git_commit() -> str | None:
    """The commit this code is at, with "-dirty" when files differ from it; None outside git."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()


def _write_durably(path: Path, content: bytes) -> None:
    temporary = path.with_name(f"writing-{path.name}")
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
