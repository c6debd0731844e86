"""The epochs of a training whose batches are dealt out to the devices of several processes, on JAX.

A device computes with its share of a batch's images, and what is summed over the batch (statistics
of the normalisation, loss, gradients, metrics) is summed over all devices: all hold the same
weights, as one would. Every process makes the batches whole: a share need not be of equal size.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import jax
import keras
import numpy as np

from unet.training.epochs import run_epochs


class DealtOut(keras.distribution.DataParallel):
    """Deals each layer's output out by image; Keras' own takes only batches that divide evenly."""

    def get_tensor_layout(self, path: str) -> keras.distribution.TensorLayout:
        return keras.distribution.TensorLayout([self.batch_dim_name], self.device_mesh)


def steps_a_call() -> int:
    """Many on a GPU, which takes less time for a small batch than a call for its variables.

    One on a processor: XLA computes what is in a loop there on one core.
    """
    return 1 if jax.default_backend() == "cpu" else 16


def fit(
    model: keras.Model,
    batches: Iterable[tuple],
    held_out: Iterable[tuple] | None,
    *,
    steps: int,
    first_epoch: int,
    epochs: int,
    callback: keras.callbacks.Callback,
) -> None:
    """Train a compiled model in all processes, as its own `fit` would in one.

    The model's variables stay this process's own, so that one process alone can save them.

    Args:
        model: With the same weights in all processes.
        batches: As `unet.data.pipeline_jax.training_batches` gives them; the same in all processes.
        held_out: Batches of validation cases, the same in all processes; None for none.
        steps: Batches an epoch.
        first_epoch, epochs, callback: As in `run_epochs`.
    """
    dealt_out = DealtOut(auto_shard_dataset=False)
    mesh = dealt_out.device_mesh.backend_mesh
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())

    def whole(values):
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(everywhere, np.asarray(x), x.shape),
            values,
        )

    at_once = steps_a_call()

    def steps_of(step):
        def several(state, batches, count):
            def one(k, state):
                return step(state, jax.tree.map(lambda x: x[k], batches))[1]

            return one(0, state) if at_once == 1 else jax.lax.fori_loop(0, count, one, state)

        return jax.jit(several, out_shardings=everywhere)

    def run(several, variables, batches) -> dict[str, float]:
        """The metrics after these batches; the variables are changed."""
        model.reset_metrics()
        state = whole(tuple([v.value for v in of] for of in variables))
        with dealt_out.scope():
            for some, count in _stacked(batches, at_once):
                state = several(state, whole(some), count)
        for of, values in zip(variables, state, strict=True):
            for variable, value in zip(of, values, strict=True):
                variable.assign(np.asarray(value))
        return {name: float(value) for name, value in model.get_metrics_result().items()}

    batches = iter(batches)
    _make_metrics(model)
    weights = (model.trainable_variables, model.non_trainable_variables)
    trained = (*weights, model.optimizer.variables, model.metrics_variables)
    tested = (*weights, model.metrics_variables)
    train, test = steps_of(model.train_step), steps_of(model.test_step)
    run_epochs(
        model,
        lambda _: run(train, trained, itertools.islice(batches, steps)),
        None if held_out is None else lambda: run(test, tested, held_out),
        first_epoch=first_epoch,
        epochs=epochs,
        callback=callback,
        tell=jax.process_index() == 0,
    )


def _stacked(batches: Iterable[tuple], at_once: int) -> Iterator[tuple[tuple, int]]:
    """Batches of one size stacked, always as many, and how many of them count: others fill up."""
    for _, alike in itertools.groupby(batches, lambda batch: len(batch[0])):
        while some := list(itertools.islice(alike, at_once)):
            filled = some + some[-1:] * (at_once - len(some))
            yield jax.tree.map(lambda *x: np.stack(x), *filled), len(some)


def freeze_redundant(model: keras.Model) -> None:
    """Keep the biases as they are that a normalisation right after them takes away again.

    Their gradient is 0 but for rounding, of which Adam makes steps as large as of any other: noise
    that another order of summing makes anew, and validation sees, as moving means lag behind.
    """
    sources = {id(layer.output): layer for layer in model.layers}
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            source = sources[id(layer.input)]
            if getattr(source, "use_bias", False) and source.activation is keras.activations.linear:
                source.bias.trainable = False


def _make_metrics(model: keras.Model) -> None:
    """Have Keras make the variables of loss and metrics, which it does at the first batch."""
    nothing = keras.tree.map_structure(lambda x: np.zeros((1, *x.shape[1:])), model.output)
    model.compute_loss(y=nothing, y_pred=nothing)
    model.compute_metrics(None, nothing, nothing, None)
