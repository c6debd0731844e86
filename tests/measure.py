"""Measurements of speed and memory on this machine.

    python -m tests.measure feed       images a second: the input pipeline against constant tensors
    python -m tests.measure onednn     a training step and a prediction, with oneDNN and without
    python -m tests.measure page       how long the page takes to start, and its peak memory
    python -m tests.measure peers      milliseconds an image beside other engines, same weights
    python -m tests.measure site       the page without a server: drop to outline, memory
    python -m tests.measure unfamiliar --weights weights/NAME --data DIR
                                       the share of the data set's images, and of other pictures,
                                       warned of as unlike a breast ultrasound (scikit-image,
                                       scikit-learn, matplotlib, pydicom and others ship pictures:
                                       whatever is installed is tried)

Ratios are taken in one run, alternating; medians with the least and the greatest value.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

ROOT = Path(__file__).parents[1]


def spread(values: list[float], unit: str) -> str:
    """Median with least and greatest value."""
    return f"{np.median(values):.3g} {unit} ({min(values):.3g}–{max(values):.3g})"


def feed(precision: str, rounds: int) -> None:
    """Images a second in `fit`, fed by the pipeline and by one constant batch."""
    import keras
    import tensorflow as tf

    from unet.config import ModelConfig
    from unet.data.batches import training_batches
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
from unet.inference.postprocessing import PostProcessing
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
from unet.inference.keras_network import runner_of
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


def page(rounds: int) -> None:
    """Seconds from the command until the page answers and gives a first mask, and its memory."""
    from PIL import Image

    from unet.images.phantom import make_phantom

    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "measured.png"
        Image.fromarray(make_phantom(1, "benign", 719, 1048).image).save(image)
        found = [_one_start(image.read_bytes(), 7960 + turn) for turn in range(rounds)]
    answers, masks, later, memory = zip(*found)
    print(
        f"answers after {spread(list(answers), 's')}, first mask after {spread(list(masks), 's')}"
    )
    print(f"/segment on 1048 × 719: {spread([t for times in later for t in times], 'ms')}")
    print(f"peak memory: {spread(list(memory), 'MiB')}")


def _one_start(image: bytes, port: int) -> tuple[float, float, list[float], float]:
    """Seconds to an answer and to a mask, milliseconds of later masks, MiB."""
    import httpx2

    address = f"http://127.0.0.1:{port}"

    def segment(client: httpx2.Client) -> None:
        (path,) = client.post(f"{address}/gradio_api/upload",
                              files=[("files", ("scan.png", image))]).json()  # fmt: skip
        data = [{"path": path, "meta": {"_type": "gradio.FileData"}}, None]
        event = client.post(f"{address}/gradio_api/call/segment", json={"data": data}).json()
        answer = client.get(f"{address}/gradio_api/call/segment/{event['event_id']}")
        assert "event: complete" in answer.text, answer.text[:200]

    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "app.py"], cwd=ROOT, env=os.environ | {"GRADIO_SERVER_PORT": str(port)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with httpx2.Client(timeout=60) as client:
            while True:
                try:
                    client.get(address)
                    break
                except httpx2.TransportError:
                    time.sleep(0.03)
            answers = time.perf_counter() - started
            segment(client)
            first = time.perf_counter() - started
            later = []
            for _ in range(10):
                begun = time.perf_counter()
                segment(client)
                later.append(1000 * (time.perf_counter() - begun))
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return answers, first, later, int(peak.split()[1]) / 1024
    finally:
        process.kill()
        process.wait()


def peers(weights: Path, rounds: int) -> None:
    """Milliseconds an image on the same weights: `Segmenter`, and engines bare, taking turns.

    Engines that are not installed are left out. The floor is what the network's multiply-adds take
    at this machine's speed in multiplying matrices.
    """
    import tensorflow as tf

    from unet import Segmenter
    from unet.inference.bundle import read_info
    from unet.inference.keras_network import load_network, with_features
    from unet.inference.preprocessing import to_input

    info = read_info(weights)
    size, flip = info.model.input_size, info.model.flip_averaging
    image = np.random.default_rng(0).integers(0, 256, (size, size), np.uint8)
    x = to_input(image, size)[None]
    batch = np.concatenate([x, x[:, :, ::-1]]) if flip else x
    network = with_features(load_network(weights, info), info.layers)
    graph = tf.function(
        lambda x: network(x, training=False),
        input_signature=[tf.TensorSpec(batch.shape, tf.float32)],
    )
    segmenter = Segmenter.load(weights)
    runs = {
        "Segmenter": lambda: segmenter.views_of_input(x[0]),
        "TensorFlow graph": lambda: graph(batch),
    }
    engines = {
        "ONNX Runtime": lambda: _onnx_runtime(weights, batch),
        "OpenVINO": lambda: _openvino(weights, batch),
        "LiteRT": lambda: _litert(graph, batch),
        "PyTorch, channels last": lambda: _pytorch(weights, batch),
    }
    for name, make in engines.items():
        try:
            runs[name] = make()
        except (ImportError, RuntimeError) as error:  # torchvision beside another torch
            print(f"{name} is left out: {error}")
    times: dict[str, list[float]] = {name: [] for name in runs}
    random = np.random.default_rng(0)
    for turn in range(rounds + 3):
        for name in random.permutation(list(runs)):  # who comes after whom tells, else
            begun = time.perf_counter()
            runs[name]()
            if turn >= 3:
                times[name].append(1000 * (time.perf_counter() - begun))
    fastest = min((name for name in runs if name != "Segmenter"), key=lambda n: np.median(times[n]))
    for name, values in times.items():
        ratios = [a / b for a, b in zip(values, times[fastest])]
        print(f"{name}: {spread(values, 'ms')}, {spread(ratios, f'× {fastest}')}")
    adds = len(batch) * multiply_adds(network)
    rate = _matrix_speed()
    print(f"floor: {adds / 1e9:.2f} thousand million multiply-adds at {rate / 1e9:.0f} a second: "
          f"{1000 * adds / rate:.1f} ms")  # fmt: skip


def _onnx_runtime(weights: Path, batch: np.ndarray) -> Callable[[], object]:
    import onnxruntime

    from unet.inference.graph import GRAPH, usable_cores

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    session = onnxruntime.InferenceSession(weights / GRAPH, options)
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: batch})


def _openvino(weights: Path, batch: np.ndarray) -> Callable[[], object]:
    import openvino

    from unet.inference.graph import GRAPH

    core = openvino.Core()
    model = core.read_model(weights / GRAPH)
    model.reshape(batch.shape)
    compiled = core.compile_model(
        model, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    )
    return lambda: compiled(batch)


def _litert(graph: Callable, batch: np.ndarray) -> Callable[[], object]:
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    from unet.inference.graph import usable_cores

    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph.get_concrete_function()])
    interpreter = Interpreter(model_content=converter.convert(), num_threads=usable_cores())
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]["index"]
    outputs = [output["index"] for output in interpreter.get_output_details()]

    def run() -> object:
        interpreter.set_tensor(given, batch)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in outputs]

    return run


def _pytorch(weights: Path, batch: np.ndarray) -> Callable[[], object]:
    import onnx2torch
    import torch

    from unet.inference.graph import GRAPH, usable_cores

    torch.set_num_threads(usable_cores())
    module = onnx2torch.convert(weights / GRAPH).eval().to(memory_format=torch.channels_last)
    x = torch.from_numpy(batch)
    with torch.inference_mode():
        module = torch.jit.freeze(torch.jit.trace(module, x))

    def run() -> object:
        with torch.inference_mode():
            return module(x)

    return run


def multiply_adds(network: keras.Model) -> int:
    """Multiply-adds of the convolutions for one image."""
    import keras

    total = 0
    for layer in network.layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D,
                              keras.layers.Conv2DTranspose)):  # fmt: skip
            # Each weight of a kernel is used once for each place of the smaller of the two sides.
            shape = layer.output.shape
            if isinstance(layer, keras.layers.Conv2DTranspose):
                shape = layer.input.shape
            total += shape[1] * shape[2] * int(np.prod(layer.kernel.shape))
    return total


def _matrix_speed(side: int = 1536, rounds: int = 9) -> float:
    """Multiply-adds a second of a float32 matrix product, the best of some rounds."""
    a = np.random.default_rng(0).random((side, side), np.float32)
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - begun)
    return side**3 / min(seconds)


def site(rounds: int) -> None:
    """Milliseconds from a dropped file to its outline on the page without a server, and memory.

    Once as `python -m http.server` serves it, on one thread; once with the headers by which a
    static Space lets the page use several. Chromium's memory is that of the page's process.
    """
    import shutil
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    from PIL import Image
    from playwright.sync_api import sync_playwright

    from unet.images.phantom import make_phantom
    from unet.inference.bundle import bundles_in
    from unet.page.site import build_site
    from unet.publishing.readme import best_first

    isolating = {"Cross-Origin-Embedder-Policy": "require-corp",
                 "Cross-Origin-Opener-Policy": "same-origin"}  # fmt: skip
    viewer = "document.querySelector('#viewer .viewer').dataset.loaded"
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        image = Path(temporary) / "measured.png"
        Image.fromarray(make_phantom(1, "benign", 719, 1048).image).save(image)
        folder = Path(temporary) / "site"
        build_site(best_first(bundles_in(ROOT / "weights")), folder)
        for name, headers in (("one thread", {}), ("isolated", isolating)):

            class Handler(SimpleHTTPRequestHandler):
                def __init__(self, *arguments):
                    super().__init__(*arguments, directory=str(folder))

                def end_headers(self, headers=headers):
                    for header in headers.items():
                        self.send_header(*header)
                    super().end_headers()

                def log_message(self, *_):
                    pass

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            Thread(target=server.serve_forever, daemon=True).start()
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            page = browser.new_page(viewport={"width": 390, "height": 844})
            begun = time.perf_counter()
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            page.wait_for_function(
                "document.querySelector('#status').textContent.includes('ready')"
            )
            ready = time.perf_counter() - begun
            times = []
            for _ in range(rounds + 1):
                before = page.evaluate(f"{viewer} || ''")
                begun = time.perf_counter()
                page.locator("#upload").set_input_files(image)
                page.wait_for_function(f"{viewer} && {viewer} !== '{before}'")
                times.append(1000 * (time.perf_counter() - begun))
            print(f"{name} (isolated: {page.evaluate('crossOriginIsolated')}): "
                  f"ready after {ready:.2g} s; first outline {times[0]:.0f} ms, "
                  f"later {spread(times[1:], 'ms')}; {_renderer_mib():.0f} MiB")  # fmt: skip
            browser.close()
            server.shutdown()


def _renderer_mib() -> float:
    """Proportional memory of the largest of Chromium's processes that show pages."""
    found = [0.0]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"--type=renderer" in (process / "cmdline").read_bytes():
                rollup = (process / "smaps_rollup").read_text()
                found.append(float(re.search(r"^Pss: *(\d+)", rollup, re.M).group(1)) / 1024)
        except OSError:
            continue
    return max(found)


def other_pictures() -> dict[str, np.ndarray]:
    """Pictures that installed packages ship, noise, gradients and blanks: uint8 by name."""
    import site

    from unet.images.reading import ImageError, read_picture

    found: dict[str, np.ndarray] = {}
    for folder in site.getsitepackages():
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp", ".dcm", ".tif"):
                continue
            try:
                picture = read_picture(path).pixels
            except (ImageError, OSError):
                continue
            if min(picture.shape[:2]) >= 64:
                found["/".join(path.parts[-3:])] = picture
    random = np.random.default_rng(0)
    for number in range(6):
        found[f"noise {number}"] = random.integers(0, 256, (300, 400), np.uint8)
        found[f"gradient {number}"] = (
            np.linspace(0, 255 - 20 * number, 120_000)
            .astype(np.uint8)
            .reshape(300, 400)[:: 1 if number % 2 else -1]
        )
        found[f"blank {number}"] = np.full((300, 400), 51 * number, np.uint8)
    return found


def unfamiliar(weights: Path, data: Path) -> None:
    """How often a picture is warned of, by where it comes from."""
    from unet import Segmenter
    from unet.data.cases import read_grey
    from unet.data.sets import find_cases
    from unet.images.phantom import KINDS, make_phantom
    from unet.inference.bundle import read_info

    segmenter = Segmenter.load(weights)

    def told(name: str, pictures: dict[str, np.ndarray]) -> None:
        warned = [key for key, picture in pictures.items() if not segmenter.views(picture).familiar]
        share = len(warned) / len(pictures)
        print(f"{name}: {len(warned)} of {len(pictures)} warned of ({share:.1%})")
        if share < 0.5:
            print(f"  warned: {', '.join(warned) or 'none'}")
        else:
            print(f"  not warned: {', '.join(sorted(set(pictures) - set(warned))) or 'none'}")

    cases = {case.id: case for case in find_cases(data)[0]}
    for split, ids in read_info(weights).split.items():
        told(split, {case_id: read_grey(cases[case_id]) for case_id in ids})
    told("phantoms", {f"{k} {i}": make_phantom(i, k).image for k in KINDS for i in range(10)})
    told("other pictures", other_pictures())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["feed", "onednn", "page", "peers", "site", "unfamiliar"])
    parser.add_argument("--precision", default="mixed_bfloat16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--weights", type=Path, default=ROOT / "weights" / "efficientnet-unet")
    parser.add_argument("--data", type=Path, help="the BUSI folder, for unfamiliar")
    chosen = parser.parse_args()
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if chosen.what == "page":
        page(chosen.rounds)
    elif chosen.what == "peers":
        peers(chosen.weights, 4 * chosen.rounds)
    elif chosen.what == "site":
        site(2 * chosen.rounds)
    elif chosen.what == "unfamiliar":
        if chosen.data is None:
            parser.error("unfamiliar needs --data, the BUSI folder")
        unfamiliar(chosen.weights, chosen.data)
    else:
        {"feed": feed, "onednn": onednn}[chosen.what](chosen.precision, chosen.rounds)
