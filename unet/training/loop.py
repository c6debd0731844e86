"""Compile, fit, checkpoint, resume.

A run keeps its state in a run folder (see `checkpoint`): a process that is killed loses the running
epoch and nothing else. Best-so-far and early stopping are read off the history, so they have no
state of their own to lose.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import keras
import numpy as np

from unet.config import ModelConfig, TrainConfig, to_dict
from unet.data.batches import evaluation_batches, training_batches
from unet.errors import UserError
from unet.networks import architecture, build_network
from unet.networks.fast_batchnorm import FusedBatchNormalization
from unet.networks.imagenet import load_imagenet_encoder
from unet.training.checkpoint import Checkpoint, best_epoch
from unet.training.losses import compile_arguments

EVALUATION_BATCH = 8


def train(
    model_config: ModelConfig,
    config: TrainConfig,
    train_data: tuple[np.ndarray, np.ndarray],
    validation_data: tuple[np.ndarray, np.ndarray] | None,
    run_dir: Path,
    *,
    data_fingerprint: str = "",
    resume: bool = False,
    tensorboard: bool = False,
) -> tuple[keras.Model, list[dict[str, float]]]:
    """Train a network, or finish training it.

    Args:
        model_config: The network.
        config: The recipe.
        train_data: Images float32 `(N, S, S, 1)` in [0, 1] and masks bool `(N, S, S, 1)`.
        validation_data: The same for validation; None if the last epoch is kept, whatever it is.
        run_dir: Holds checkpoints and history.csv; made if missing.
        data_fingerprint: Names the data; a run is not resumed on other data.
        resume: Continue the run in `run_dir`, or start if there is none.
        tensorboard: Also write TensorBoard logs to `run_dir/tensorboard`.

    Returns:
        The network in float32 with the kept epoch's weights, and the history, a row an epoch.

    Raises:
        UserError: ImageNet weights are asked for where there are none.
        RunError: `run_dir` holds a run and `resume` is not set, or a run with other settings.
    """
    module = architecture(model_config)
    try:
        module.check(model_config)
    except ValueError as error:
        raise UserError(error) from None
    if config.pretrained and not module.PRETRAINED:
        raise UserError(
            f"{model_config.name} has no published weights to start from: leave out --pretrained, "
            "or take --model efficientnet-unet"
        )
    data = {"fingerprint": data_fingerprint}
    settings = {"model": to_dict(model_config), "train": to_dict(config), "data": data}
    checkpoint = Checkpoint(run_dir, settings)
    history = checkpoint.load_history(resume=resume)
    keras.utils.set_random_seed(config.seed)
    keras.mixed_precision.set_global_policy(config.precision)
    try:
        model = build_network(model_config, batch_normalization=FusedBatchNormalization)
        steps = math.ceil(len(train_data[0]) / config.batch_size)
        if config.pretrained and not history:
            load_imagenet_encoder(model)
        model.compile(optimizer=_optimizer(config, steps), **compile_arguments(config.loss))
        model.optimizer.build(model.trainable_variables)
        if history:
            checkpoint.load_into(model, history)
        if not is_finished(history, config):
            _fit(model, config, train_data, validation_data, checkpoint, history, tensorboard)
    finally:
        keras.mixed_precision.set_global_policy("float32")

    trained = build_network(model_config, batch_normalization=FusedBatchNormalization)
    trained.load_weights(checkpoint.kept_path(history))
    network = build_network(model_config)  # the same weights in built-in layers
    network.set_weights(trained.get_weights())
    return network, history


def is_finished(history: list[dict[str, float]], config: TrainConfig) -> bool:
    """Whether all epochs are done, or `patience` of them have passed without a better one."""
    if not history or len(history) >= config.epochs:
        return bool(history)
    return config.keep == "best" and len(history) - best_epoch(history) >= config.patience


def _optimizer(config: TrainConfig, steps: int) -> keras.optimizers.Optimizer:
    warmup = min(config.warmup_epochs, config.epochs - 1) * steps
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate / 20 if warmup else config.learning_rate,
        decay_steps=config.epochs * steps - warmup,
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    return keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay)


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
            strong=config.strong,
            annotations=config.annotations,
        ),
        steps_per_epoch=math.ceil(len(train_data[0]) / config.batch_size),
        validation_data=validation_data and evaluation_batches(*validation_data, EVALUATION_BATCH),
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
