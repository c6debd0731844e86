"""Compile, fit, checkpoint, resume.

A run keeps its state in a run folder (see `checkpoint`): a process that is killed loses the running
epoch and nothing else. Best-so-far and early stopping are read off the history, so they have no
state of their own to lose.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import h5py
import keras
import numpy as np

from unet.config import ModelConfig, TrainConfig, to_dict
from unet.core.image import with_empty_prompts
from unet.data.augmentation import AUGMENTATION
from unet.errors import UserError
from unet.inference.lesion_classifier import LesionClassifier
from unet.inference.onnx_model import PROBABILITY
from unet.networks import architecture, build_network
from unet.networks.fast_batchnorm import FusedBatchNormalization
from unet.networks.imagenet import load_imagenet_encoder
from unet.progress import duration
from unet.training import interactive, jax_processes
from unet.training.checkpoint import Checkpoint, best_epoch
from unet.training.losses import compile_arguments

EVALUATION_BATCH = 8
PRESENCE = "presence"
"""Name of the layer, and of the output, that learns whether there is a lesion."""
PRESENCE_DROPOUT = 0.2
MEMORIES = 10
"""Memories (1 / (1 - momentum) steps) of batch normalisation's moving averages in one training."""
ENCODER = ("encoder", "stem")
"""Prefixes of the names of encoder layers; all others are the decoder's."""


@dataclass(frozen=True)
class TrainResult:
    """Result of a training.

    Attributes:
        network: In float32, of built-in layers, with the kept epoch's weights.
        history: A row an epoch.
        presence: Tells whether there is a lesion, where that was trained with the network.
    """

    network: keras.Model
    history: list[dict[str, float]]
    presence: LesionClassifier | None = None


@dataclass(frozen=True)
class TrainingSet:
    """Images, masks and repeats that a network is trained on.

    Attributes:
        images: float32 `(N, S, S, 1)` in [0, 1].
        masks: bool `(N, S, S, 1)`.
        repeats: int `(N,)`, how often each is shown an epoch; once if None.
    """

    images: np.ndarray
    masks: np.ndarray
    repeats: np.ndarray | None = None

    def __len__(self) -> int:
        """Number of images shown an epoch; on JAX the last batch is filled up beyond it."""
        return len(self.images) if self.repeats is None else int(self.repeats.sum())


def train(
    model_config: ModelConfig,
    config: TrainConfig,
    examples: TrainingSet,
    validation: TrainingSet | None,
    run_dir: Path,
    *,
    data_fingerprint: str = "",
    start: Path | None = None,
    resume: bool = False,
    tensorboard: bool = False,
    among: jax_processes.Processes | None = None,
) -> TrainResult | None:
    """Train a network, or finish training it; None in a process that writes nothing.

    Args:
        model_config: The network.
        config: The recipe.
        examples: To train on.
        validation: To choose the epoch on; None if the last epoch is kept, whatever it is.
        run_dir: Holds checkpoints and history.csv; made if missing.
        data_fingerprint: Names the data; a run is not resumed on other data.
        start: Weights of a finished network of this kind, of built-in layers, to start from; a run
            is not resumed from others.
        resume: Continue the run in `run_dir`, or start if there is none.
        tensorboard: Also write TensorBoard logs to `run_dir/tensorboard`.
        among: Processes that train it on JAX together; this one, on TensorFlow, if None.

    Raises:
        UserError: The network cannot be built so, published weights are asked for where there are
            none, a part of a network is to be trained that starts from nothing, or one of the
            processes ended.
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
    if among and (model_config.interactive or tensorboard):
        raise UserError(
            "--backend jax trains networks without prompts and writes no TensorBoard logs: leave "
            f"it out for {'--tensorboard' if tensorboard else model_config.name}"
        )
    if tensorboard and model_config.interactive:
        raise UserError("networks with prompts write no TensorBoard logs: leave out --tensorboard")
    if config.trainable != "all" and start is None:
        raise UserError(
            f"--trainable {config.trainable} leaves the other layers at their random weights: give "
            "--init-from a trained network"
        )
    data = {"fingerprint": data_fingerprint}
    if start is not None:
        data["start"] = hashlib.sha256(start.read_bytes()).hexdigest()
    settings = {"model": to_dict(model_config), "train": to_dict(config), "data": data}
    checkpoint = Checkpoint(run_dir, settings)
    history = checkpoint.load_history(resume=resume)
    if not is_finished(history, config):
        epochs = partial(
            _run_epochs, model_config, config, examples, validation, checkpoint, history, start,
            tensorboard,
        )  # fmt: skip
        if among is None:
            epochs()
        else:
            jax_processes.run(among, epochs, same=json.dumps([settings, history]))
            if not among.writes:  # its machine need not have the checkpoints
                return None
            history = checkpoint.load_history(resume=True)

    trained = _to_train(model_config, config)
    trained.load_weights(checkpoint.kept_path(history))
    network = build_network(model_config)  # the same weights in built-in layers
    _copy_weights(trained, network)
    if not config.presence_head:
        return TrainResult(network, history)
    weights, bias = trained.get_layer(PRESENCE).get_weights()  # (D, 1), (1,)
    presence = LesionClassifier(
        tuple(module.presence_layers(model_config)), weights[:, 0], float(bias[0])
    )
    return TrainResult(network, history, presence)


def _run_epochs(
    model_config: ModelConfig,
    config: TrainConfig,
    examples: TrainingSet,
    validation: TrainingSet | None,
    checkpoint: Checkpoint,
    history: list[dict[str, float]],
    start: Path | None,
    tensorboard: bool,
    writes: bool = True,
) -> None:
    """Build the network and run the epochs that `history` lacks; arguments as in `train`.

    Args:
        writes: Whether this process writes the checkpoints.
    """
    keras.utils.set_random_seed(config.seed)
    keras.mixed_precision.set_global_policy(config.precision)
    try:
        model = _to_train(model_config, config)
        steps = math.ceil(len(examples) / config.batch_size)
        if config.pretrained and not history:
            load_imagenet_encoder(model)
        if start is not None and not history:
            _copy_weights(_network_in(start, model_config), model)
        _fit_momentum(model, steps * config.epochs)
        if _on_jax():
            from unet.training import jax_data_parallel

            jax_data_parallel.freeze_redundant(model)
        model.compile(
            optimizer=_optimizer(config, steps),
            **compile_arguments(config.loss, config.presence_head),
        )
        model.optimizer.build(model.trainable_variables)
        if history:
            checkpoint.load_into(model, history)
        _fit(model, config, examples, validation, checkpoint, history, tensorboard, writes)
    finally:
        keras.mixed_precision.set_global_policy("float32")


def _fit_momentum(model: keras.Model, steps: int) -> None:
    """Let batch normalisation's moving averages forget what they began with in a short training.

    Keras' momentum of 0.99 averages over about 100 steps: after fewer, the averages are those of
    the first weights, and the network is of no use outside the training.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, max(0.5, 1 - MEMORIES / steps))


def _network_in(weights: Path, model_config: ModelConfig) -> keras.Model:
    """The finished network that one starts from: of its kind, with or without prompts."""
    with h5py.File(weights) as file:
        shapes: list[tuple[int, ...]] = []
        file.visititems(lambda _, item: shapes.append(getattr(item, "shape", ())))
    source = build_network(model_config)
    if model_config.interactive and source.get_layer("stem_conv").kernel.shape not in shapes:
        source = build_network(replace(model_config, interactive=False))
    source.load_weights(weights)
    return source


def _copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Give the layers of `target` the weights of those of `source` of the same names.

    Where the first layer of `target` is shown prompts too, it begins by not seeing them.
    """
    layers = {layer.name: layer for layer in target.layers}
    for layer in source.layers:
        if layer.name in layers:
            same = layers[layer.name]
            same.set_weights(
                [
                    np.pad(have, [(0, n - m) for m, n in zip(have.shape, want.shape, strict=True)])
                    for have, want in zip(layer.get_weights(), same.get_weights(), strict=True)
                ]
            )


def _to_train(model_config: ModelConfig, config: TrainConfig) -> keras.Model:
    """The network with faster layers and, where that is learnt, its head for presence.

    Of a network that is tuned in part, the other layers are frozen, their normalisation too. The
    head is a logistic regression on the deepest features' means over the image: the form in which
    `unet.inference.lesion_classifier` asks it.
    """
    network = build_network(model_config, FusedBatchNormalization)
    if _on_jax():
        from unet.networks.jax_depthwise import with_shifted_depthwise

        network = with_shifted_depthwise(network)
    for layer in network.layers:
        if config.trainable != "all" and layer.name.startswith(ENCODER) != (
            config.trainable == "encoder"
        ):
            layer.trainable = False
    if not config.presence_head:
        return network
    pooled = [
        keras.layers.GlobalAveragePooling2D(name=f"{name}_mean")(network.get_layer(name).output)
        for name in architecture(model_config).presence_layers(model_config)
    ]
    x = keras.layers.Concatenate(name="presence_features")(pooled) if pooled[1:] else pooled[0]
    x = keras.layers.Dropout(PRESENCE_DROPOUT, name="presence_dropout")(x)
    present = keras.layers.Dense(1, activation="sigmoid", dtype="float32", name=PRESENCE)(x)
    return keras.Model(network.input, {PROBABILITY: network.output, PRESENCE: present})


def is_finished(history: list[dict[str, float]], config: TrainConfig) -> bool:
    """Return True after all epochs, or `patience` epochs without a better one."""
    if not history or len(history) >= config.epochs:
        return bool(history)
    return config.checkpoint == "best" and len(history) - best_epoch(history) >= config.patience


def _optimizer(config: TrainConfig, steps: int) -> keras.optimizers.Optimizer:
    warmup = min(config.warmup_epochs, config.epochs - 1) * steps
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate / 20 if warmup else config.learning_rate,
        decay_steps=config.epochs * steps - warmup,
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    return keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay)


def _fit(model, config, examples, validation, checkpoint, history, tensorboard, writes) -> None:
    """Run the epochs that `history` lacks, appending to it."""
    callbacks: list[keras.callbacks.Callback] = [EpochEnd(checkpoint, history, config, writes)]
    if tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(checkpoint.run_dir / "tensorboard"))
    how = AUGMENTATION[config.augmentation]
    if _on_jax():
        from unet.data.pipeline_jax import evaluation_batches, training_batches
    else:
        from unet.data.pipeline import evaluation_batches, training_batches
    batches = training_batches(
        examples.images,
        examples.masks,
        batch_size=config.batch_size,
        seed=config.seed,
        first_epoch=len(history),
        augmentation=how,
        repeats=examples.repeats,
        presence=config.presence_head,
    )
    steps = math.ceil(len(examples) / config.batch_size)
    held_out = validation and evaluation_batches(
        with_empty_prompts(validation.images, model.input_shape[-1]),
        validation.masks,
        EVALUATION_BATCH,
        presence=config.presence_head,
    )
    if model.input_shape[-1] > 1:
        interactive.fit(
            model, batches, held_out, steps=steps, first_epoch=len(history), epochs=config.epochs,
            seed=config.seed, callback=callbacks[0],
        )  # fmt: skip
        return
    if _on_jax():
        from unet.training import jax_data_parallel

        jax_data_parallel.fit(
            model, batches, held_out, steps=steps, first_epoch=len(history), epochs=config.epochs,
            callback=callbacks[0],
        )  # fmt: skip
        return
    model.fit(
        batches,
        steps_per_epoch=steps,
        validation_data=held_out,
        initial_epoch=len(history),
        epochs=config.epochs,
        callbacks=callbacks,
        shuffle=False,  # the batches are shuffled already
        verbose=1 if sys.stdout.isatty() else 2,  # a log gets a line an epoch
    )


def _on_jax() -> bool:
    return keras.backend.backend() == "jax"


class EpochEnd(keras.callbacks.Callback):
    """Adds the epoch to the history, writes the checkpoint, stops when patience is spent."""

    def __init__(
        self, checkpoint: Checkpoint, history: list[dict], config: TrainConfig, writes: bool = True
    ):
        super().__init__()
        self.checkpoint, self.history, self.config = checkpoint, history, config
        self.writes = writes

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        # With two outputs Keras puts the output's name before the metric's.
        names = {name: name.replace(f"{PROBABILITY}_", "") for name in logs or {}}
        names |= {name: name for name in names if name.endswith("_loss")}
        row = {"epoch": epoch + 1, **{names[name]: float(value) for name, value in logs.items()}}
        row["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row["seconds"] = round(time.perf_counter() - self.started, 1)
        if not math.isfinite(row["loss"]):
            raise UserError(
                f"the loss is {row['loss']} in epoch {epoch + 1}, so nothing is learnt any more. "
                "Try a lower --learning-rate; the epochs before are kept in the run's folder."
            )
        self.history.append(row)
        if self.writes:
            self.checkpoint.save(self.model, self.history)
        left = (self.config.epochs - len(self.history)) * row["seconds"]
        if left and self.writes:
            print(f"epoch {epoch + 1} of {self.config.epochs}, at most {duration(left)} left")
        if is_finished(self.history, self.config):
            self.model.stop_training = True
