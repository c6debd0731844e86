"""The Keras network of a bundle: write, load, run, export. Needed to train; the page is without."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from unet.config import InferenceConfig, ModelConfig
from unet.core.mask import PostProcessing
from unet.files import atomic_write
from unet.inference.bundle import (
    KERAS_FILES,
    WEIGHTS,
    BundleError,
    BundleInfo,
    hashes,
    write_info,
)
from unet.inference.confidence import Confidence
from unet.inference.lesion_classifier import LesionClassifier
from unet.inference.onnx_model import GRAPH, PROBABILITY, OnnxModel
from unet.inference.ood_detector import OODDetector
from unet.networks import build_network
from unet.provenance import library_versions

TOLERANCE = 1e-4
"""Largest difference between the graph's probabilities and Keras'."""


def load_network(folder: str | Path, info: BundleInfo) -> keras.Model:
    """Build the network that `info` describes and load the folder's weights into it.

    Raises:
        BundleError: The weights have other shapes.
    """
    path = Path(folder) / WEIGHTS
    try:
        network = build_network(info.model)
        if _shapes(path) != sorted(tuple(weight.shape) for weight in network.weights):
            raise ValueError("its arrays have other shapes")  # Keras would only warn
        network.load_weights(path)
    except (ValueError, KeyError, OSError, RuntimeError, TypeError) as error:  # h5py's, damaged
        raise BundleError(
            f"{path} does not fit the network in unet.json: {str(error)[:200]}"
        ) from error
    return network


def _shapes(path: Path) -> list[tuple[int, ...]]:
    """The shapes of all arrays in an HDF5 file, sorted."""
    shapes: list[tuple[int, ...]] = []

    def visit(_: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            if item.shape is None or item.is_virtual or item.external:
                raise ValueError("its arrays are not in it")
            shapes.append(item.shape)

    with h5py.File(path) as file:
        file.visititems(visit)
    return sorted(shapes)


def with_features(network: keras.Model, layers: Sequence[str]) -> keras.Model:
    """The network with its outputs by name.

    `PROBABILITY` is its own, `(B, S, S, 1)`; under each layer's name are that layer's features,
    averaged over the image, `(B, D)`.
    """
    pool = keras.layers.GlobalAveragePooling2D()
    features = {name: pool(network.get_layer(name).output) for name in layers}
    return keras.Model(network.input, {PROBABILITY: network.output, **features})


def runner_of(
    network: keras.Model, layers: Sequence[str]
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Run a Keras network as `OnnxModel` runs its export, for training and for checking it."""
    return with_features(network, layers).predict_on_batch


def export_onnx(network: keras.Model, layers: Sequence[str]) -> bytes:
    """The network with the features of these layers as an ONNX file, checked against Keras.

    Raises:
        RuntimeError: The graph computes something else; nothing is to be done but to mend it.
    """
    model = with_features(network, layers)
    signature = [keras.InputSpec(dtype="float32", shape=network.input_shape, name="image")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        # tf2onnx 1.17 warns of NumPy names that it only asks for, and logs every step.
        logging.getLogger("tf2onnx").setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            model.export(path, format="onnx", input_signature=signature, verbose=False)
        content = path.read_bytes()
    graph = OnnxModel(content)
    batch = np.random.default_rng(0).random((2, *network.input_shape[1:]), np.float32)
    expected = model.predict_on_batch(batch)
    found = graph(batch)
    for name, values in expected.items():
        apart = float(np.abs(found[name] - values).max())
        if not apart <= TOLERANCE * max(1.0, float(np.abs(values).max())):
            raise RuntimeError(f"ONNX export: {name} is {apart:.2g} from Keras'")
    return content


def write_bundle(
    folder: Path,
    network: keras.Model,
    *,
    model: ModelConfig,
    inference: InferenceConfig,
    postprocessing: PostProcessing,
    training: dict[str, Any],
    split: dict[str, list[str]],
    familiarity: OODDetector | None,
    presence: LesionClassifier | None,
    confidence: Confidence | None,
    commit: str | None,
) -> BundleInfo:
    """Write a network's files and `unet.json` to `folder`, which must be empty."""
    with tempfile.TemporaryDirectory() as temporary:
        archive = Path(temporary) / "network.keras"
        network.save(archive)
        with zipfile.ZipFile(archive) as files:
            files.extractall(folder)
    return write_graph(
        folder,
        network,
        BundleInfo(
            model=model,
            inference=inference,
            postprocessing=postprocessing,
            training=training,
            split=split,
            familiarity=familiarity,
            presence=presence,
            confidence=confidence,
            commit=commit,
            versions=library_versions(),
        ),
    )


def write_graph(folder: Path, network: keras.Model, info: BundleInfo) -> BundleInfo:
    """Write `model.onnx` beside the Keras layout of the same network, and `unet.json`."""
    atomic_write(folder / GRAPH, export_onnx(network, info.layers))
    info = replace(info, sha256=hashes(folder, (*KERAS_FILES, GRAPH)))
    write_info(folder, info)
    return info
