"""The epochs of a training whose steps `keras.Model.fit` cannot take."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras


def run_epochs(
    model: keras.Model,
    learn: Callable[[int], dict[str, float]],
    score: Callable[[], Mapping[str, float]] | None,
    *,
    first_epoch: int,
    epochs: int,
    callback: keras.callbacks.Callback,
    tell: bool = True,
) -> None:
    """Run epochs as `keras.Model.fit` does, each by `learn`.

    Args:
        model: Compiled.
        learn: Given the number of an epoch, trains for it; gives its metrics.
        score: Gives the metrics of the validation cases; None where there are none.
        first_epoch, epochs: Counted from 0; the epoch to begin with, and how many there are.
        callback: Told of the epochs' begin and end; may set `model.stop_training`.
        tell: Whether to print a line an epoch.
    """
    model.stop_training = False
    callback.set_model(model)
    for epoch in range(first_epoch, epochs):
        callback.on_epoch_begin(epoch)
        logs = learn(epoch)
        if score is not None:
            logs |= {f"val_{name}": float(value) for name, value in score().items()}
        if tell:
            told = (f"{name}: {value:.4f}" for name, value in logs.items())
            print(f"epoch {epoch + 1}/{epochs}", *told, flush=True)
        callback.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
