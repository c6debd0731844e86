"""A network as an ONNX graph: what the page runs, by ONNX Runtime, without Keras or TensorFlow.

A graph that came from elsewhere is data: standard operators that compute outputs from an image.
What could do more (other operators, files beside it) is refused before it is run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unet.errors import UserError

if TYPE_CHECKING:
    import onnx

GRAPH = "model.onnx"
"""The file's name in a bundle."""
PROBABILITY = "probability"
"""Name of the output that is the lesion probability."""
STANDARD = ("", "ai.onnx")
"""Domains of ONNX' own operators."""


class GraphError(UserError):
    """A graph that is not run; the message says why."""


class Graph:
    """An ONNX graph, ready to run. One batch runs at a time, on all cores; see `Segmenter`."""

    def __init__(self, source: bytes | Path):
        """Check a graph, given as a file or its content, and make it ready.

        Raises:
            GraphError: No ONNX graph, one of other than standard operators or with files beside
                it, or one that is not from float32 `(B, S, S, 1)` to `PROBABILITY`.
        """
        import onnxruntime

        # From a file the runtime reads itself: a copy of all weights less in memory.
        check(source.read_bytes() if isinstance(source, Path) else source)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        options.log_severity_level = 3  # errors alone
        try:
            self._session = onnxruntime.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's own kinds have no common base
            raise GraphError(f"{GRAPH} cannot be run: {str(error)[:200]}") from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        if len(shape) != 4 or shape[1] != shape[2] or not isinstance(shape[1], int):
            raise GraphError(f"{GRAPH}: expected one input (B, S, S, 1), got {shape}")
        self.names = [output.name for output in outputs]
        if PROBABILITY not in self.names:
            raise GraphError(f"{GRAPH}: expected an output {PROBABILITY}, got {self.names}")
        self.size: int = shape[1]
        self._input = inputs[0].name

    def __call__(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs by name for float32 `(B, S, S, 1)` in [0, 1].

        `PROBABILITY` is float32 `(B, S, S, 1)`; under a layer's name are its features, averaged
        over the image, float32 `(B, D)`.
        """
        return dict(zip(self.names, self._session.run(self.names, {self._input: batch})))


def check(content: bytes) -> None:
    """Raise GraphError unless these are standard operators and nothing else."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        raise GraphError(f"{GRAPH} is not an ONNX file. Fetch the bundle again.") from None
    foreign = {node.domain for node in _nodes(model.graph)} - set(STANDARD)
    if foreign or model.functions:
        raise GraphError(
            f"{GRAPH} has operators that are not ONNX' own ({', '.join(sorted(foreign))}) and is "
            "not run. Export the network again with train.py export."
        )
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model.graph)):
        raise GraphError(f"{GRAPH} keeps weights in other files, which are not read.")


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """All nodes, those of graphs within nodes too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """All tensors, those within nodes too."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def usable_cores() -> int:
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1
