"""A training step and its input pipeline, with oneDNN and without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np

from benchmarks.common import ROOT, spread


def feed(precision: str, rounds: int) -> None:
    """Images a second in `fit`, fed by the pipeline and by one constant batch."""
    import keras
    import tensorflow as tf

    from unet.config import ModelConfig
    from unet.data.pipeline import training_batches
    from unet.networks.fast_batchnorm import FusedBatchNormalization
    from unet.networks.unet import build as build_unet
    from unet.training.losses import compile_arguments

    random = np.random.default_rng(0)
    images = random.random((560, 256, 256, 1), np.float32)
    masks = images > 0.9
    keras.mixed_precision.set_global_policy(precision)
    model = build_unet(ModelConfig(), batch_normalization=FusedBatchNormalization)
    model.compile("adam", **compile_arguments())
    constant = tf.data.Dataset.from_tensors((images[:8], masks[:8].astype(np.float32))).repeat()
    fed = training_batches(images, masks, batch_size=8, seed=0)
    rates: dict[str, list[float]] = {"constant": [], "pipeline": []}
    for turn in range(rounds + 1):
        for name, batches in (("constant", constant), ("pipeline", fed)):
            started = time.perf_counter()
            model.fit(batches, steps_per_epoch=15, epochs=1, shuffle=False, verbose=0)
            if turn:  # the first traces the graph
                rates[name].append(15 * 8 / (time.perf_counter() - started))
    for name, values in rates.items():
        print(f"{name}: {spread(values, 'images/s')}")
    ratios = [p / c for p, c in zip(rates["pipeline"], rates["constant"])]
    print(f"pipeline / constant: {spread(ratios, '')}")


STEP = """
import json, sys, time
import numpy as np
import keras, tensorflow as tf
from unet.config import ModelConfig
from unet.networks.fast_batchnorm import FusedBatchNormalization
from unet.training.losses import compile_arguments
from unet.networks.unet import build as build_unet
from unet.inference.segmenter import Segmenter
from unet.core.mask import PostProcessing
from unet.inference.prediction import Network
keras.mixed_precision.set_global_policy(sys.argv[1])
model = build_unet(ModelConfig(), batch_normalization=FusedBatchNormalization)
model.compile("adam", **compile_arguments())
x = np.random.rand(8, 256, 256, 1).astype("float32")
y = (x > 0.9).astype("float32")
model.train_on_batch(x, y)
started = time.perf_counter()
for _ in range(3):
    model.train_on_batch(x, y)
step = (time.perf_counter() - started) / 24
keras.mixed_precision.set_global_policy("float32")
from unet.inference.keras_export import runner_of
segmenter = Segmenter(runner_of(build_unet(ModelConfig()), ()), 256, Network("x"), PostProcessing())
image = np.zeros((500, 600), "uint8")
times = []
for _ in range(10):
    started = time.perf_counter()
    segmenter.predict(image)
    times.append(time.perf_counter() - started)
print(json.dumps([1000 * step, 1000 * float(np.median(times))]))
"""


def onednn(precision: str, rounds: int) -> None:
    """Milliseconds an image with TF_ENABLE_ONEDNN_OPTS=1 and 0, in processes that take turns."""
    found: dict[str, list[list[float]]] = {"1": [], "0": []}
    for _ in range(rounds):
        for setting, results in found.items():
            done = subprocess.run(
                [sys.executable, "-c", STEP, precision],
                cwd=ROOT,
                env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": setting, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=True,
            )
            results.append(json.loads(done.stdout.splitlines()[-1]))
    for setting, results in found.items():
        steps, predictions = zip(*results)
        print(f"TF_ENABLE_ONEDNN_OPTS={setting}: training step {spread(list(steps), 'ms/image')}, "
              f"prediction {spread(list(predictions), 'ms/image')}")  # fmt: skip
