"""Measurements of speed and memory on this machine.

    python -m tests.measure feed       images a second: the input pipeline against constant tensors
    python -m tests.measure onednn     a training step and a prediction, with oneDNN and without
    python -m tests.measure page       peak memory of the page, and how long it takes to start

Ratios are taken in one run, alternating; medians with the least and the greatest value.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]


def spread(values: list[float], unit: str) -> str:
    """Median with least and greatest value."""
    return f"{np.median(values):.3g} {unit} ({min(values):.3g}–{max(values):.3g})"


def feed(precision: str, rounds: int) -> None:
    """Images a second in `fit`, fed by the pipeline and by one constant batch."""
    import keras
    import tensorflow as tf

    from unet.config import ModelConfig
    from unet.fast_batchnorm import FusedBatchNormalization
    from unet.losses import compile_arguments
    from unet.model import build_unet
    from unet.pipeline import training_batches

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
from unet.fast_batchnorm import FusedBatchNormalization
from unet.losses import compile_arguments
from unet.model import build_unet
from unet.inference import Segmenter
from unet.postprocessing import PostProcessing
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
segmenter = Segmenter(build_unet(ModelConfig()), "x", PostProcessing())
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


def page() -> None:
    """Seconds until the page answers, and its peak memory after it segmented some images."""
    from urllib.request import urlopen

    from gradio_client import Client, handle_file
    from PIL import Image

    from unet.phantom import make_phantom

    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "app.py"], cwd=ROOT, env=os.environ | {"GRADIO_SERVER_PORT": "7997"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while True:
            try:
                urlopen("http://127.0.0.1:7997").read()
                break
            except OSError:
                time.sleep(0.1)
        print(f"started in {time.perf_counter() - started:.1f} s")
        client = Client("http://127.0.0.1:7997", verbose=False)
        image = ROOT / "runs" / "measured.png"
        image.parent.mkdir(exist_ok=True)
        Image.fromarray(make_phantom(1, "benign", 719, 1048).image).save(image)
        times = []
        for _ in range(20):
            begun = time.perf_counter()
            client.predict(handle_file(image), None, api_name="/segment")
            times.append(1000 * (time.perf_counter() - begun))
        image.unlink()
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        print(f"/segment on 1048 × 719: {spread(times, 'ms')}")
        print(f"peak memory: {int(peak.split()[1]) / 1024:.0f} MiB")
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["feed", "onednn", "page"])
    parser.add_argument("--precision", default="mixed_bfloat16")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if chosen.what == "page":
        page()
    else:
        {"feed": feed, "onednn": onednn}[chosen.what](chosen.precision, chosen.rounds)
