"""The same weights run by other engines."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.common import spread

if TYPE_CHECKING:
    import keras


def peers(weights: Path, rounds: int) -> None:
    """Milliseconds an image on the same weights: `Segmenter`, and engines bare, taking turns.

    Engines that are not installed are left out. The floor is what the network's multiply-adds take
    at this machine's speed in multiplying matrices.
    """
    import tensorflow as tf

    from unet import Segmenter
    from unet.core.image import shrink_and_pad, to_input
    from unet.inference.bundle import read_info
    from unet.inference.keras_export import load_network, with_features

    info = read_info(weights)
    size, flip = info.model.input_size, info.inference.flip
    image = np.random.default_rng(0).integers(0, 256, (size, size), np.uint8)
    x = to_input(image, size)[None]
    batch = np.concatenate([x, x[:, :, ::-1]]) if flip else x
    for share in info.inference.scales[1:]:
        batch = np.concatenate([batch, shrink_and_pad(x[0], share)[None]])
    network = with_features(load_network(weights, info), info.layers)
    graph = tf.function(
        lambda x: network(x, training=False),
        input_signature=[tf.TensorSpec(batch.shape, tf.float32)],
    )
    segmenter = Segmenter.load(weights)
    runs = {
        "Segmenter": lambda: segmenter.predict_input_views(x[0]),
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

    from unet.inference.onnx_model import GRAPH, usable_cores

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    session = onnxruntime.InferenceSession(weights / GRAPH, options)
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: batch})


def _openvino(weights: Path, batch: np.ndarray) -> Callable[[], object]:
    import openvino

    from unet.inference.onnx_model import GRAPH

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

    from unet.inference.onnx_model import usable_cores

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

    from unet.inference.onnx_model import GRAPH, usable_cores

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
