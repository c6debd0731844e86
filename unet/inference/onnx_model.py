"""A network as an ONNX graph: what the page runs, by ONNX Runtime, without Keras or TensorFlow.

A graph that came from elsewhere is data: standard operators that compute outputs from an image.
What could do more (other operators, files beside it) is refused before it is run.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unet.errors import UserError

if TYPE_CHECKING:
    import onnx
    import onnxruntime

GRAPH = "model.onnx"
"""The file's name in a bundle."""
PROBABILITY = "probability"
"""Name of the output that is the lesion probability."""
CHANNELS_WITH_PROMPTS = 3
"""Input channels of an interactive network: the image, then two prompt maps."""
STANDARD = ("", "ai.onnx")
"""Domains of ONNX' own operators."""
LOOPS = {"Loop", "Scan", "SequenceMap"}
"""Operators that may never end."""
RUN_S = 20.0
"""Seconds that a graph may take for a batch: a hundred times what any network here takes."""
ROUNDING = 1e-3
"""Largest distance of a probability beyond [0, 1] that leaves its 8 bits right."""
MAX_BYTES = 2 << 30
"""Memory that all graphs together may take while they run, beside their weights."""
THREADS = "UNET_THREADS"
"""In the environment: how many threads a network takes where its process is one of several."""

NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"
"""In the environment: else ONNX Runtime writes an identifier of the device to the home folder, and
sends what it is used for to its maker."""


class OnnxModelError(UserError):
    """A graph that is not run; the message says why."""


class OnnxModel:
    """An ONNX graph, ready to run. One batch runs at a time, on all cores; see `Segmenter`."""

    def __init__(self, source: bytes | Path):
        """Check a graph, given as a file or its content, and make it ready.

        Raises:
            OnnxModelError: No ONNX graph, one of other than standard operators or with files beside
                it, or one that is not from float32 `(B, S, S, 1)`, or `(B, S, S, 3)` with maps of
                prompts, to `PROBABILITY`.
        """
        os.environ.setdefault(NO_TELEMETRY, "1")  # read while the runtime is imported
        # From a file the runtime reads itself: a copy of all weights less in memory.
        check(source.read_bytes() if isinstance(source, Path) else source)
        self._session = _session_of(source)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        if (
            len(shape) != 4
            or shape[1] != shape[2]
            or not isinstance(shape[1], int)
            or shape[3] not in (1, CHANNELS_WITH_PROMPTS)
        ):
            raise OnnxModelError(
                f"{GRAPH}: expected one input (B, S, S, 1) or (B, S, S, 3), got {shape}"
            )
        self.names = [output.name for output in outputs]
        if PROBABILITY not in self.names:
            raise OnnxModelError(f"{GRAPH}: expected an output {PROBABILITY}, got {self.names}")
        self.size: int = shape[1]
        self.interactive: bool = shape[3] == CHANNELS_WITH_PROMPTS
        self._input = inputs[0].name

    def __call__(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs by name for a float32 batch of what it takes, in [0, 1].

        `PROBABILITY` is float32 `(B, S, S, 1)`; under a layer's name are its features, averaged
        over the image, float32 `(B, D)`.

        Raises:
            OnnxModelError: It fails on the way, takes longer than `RUN_S`, or gives something else.
        """
        import onnxruntime

        options = onnxruntime.RunOptions()
        timer = threading.Timer(RUN_S, setattr, (options, "terminate", True))
        timer.daemon = True
        timer.start()
        try:
            outputs = self._session.run(self.names, {self._input: batch}, options)
        except Exception as error:  # the runtime's own kinds have no common base
            raise OnnxModelError(f"{GRAPH} cannot be run: {_words(error)}") from None
        finally:
            timer.cancel()
        found = dict(zip(self.names, outputs))
        self._check_outputs(found, len(batch))
        return found

    def _check_outputs(self, found: dict[str, np.ndarray], count: int) -> None:
        """Raise OnnxModelError where the outputs for so many images are not what they are to be."""
        for name, values in found.items():
            shape = (count, self.size, self.size, 1) if name == PROBABILITY else (count, None)
            given = getattr(values, "shape", None)  # of a sequence or a map there is none
            same = given is not None and len(given) == len(shape)
            if not same or any(side not in (None, has) for side, has in zip(shape, given)):
                raise OnnxModelError(f"{GRAPH}: expected {name} to be {shape}, got {given}")
            if values.dtype != np.float32 or not np.isfinite(values).all():
                raise OnnxModelError(f"{GRAPH}: {name} is not made of finite float32 numbers")
        probability = found[PROBABILITY]
        if probability.min() < -ROUNDING or probability.max() > 1 + ROUNDING:
            raise OnnxModelError(f"{GRAPH}: {PROBABILITY} lies outside [0, 1]")


@cache
def _bound_memory() -> None:
    """Let all graphs of this process together take `MAX_BYTES` for what they compute."""
    import onnxruntime

    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    bound = onnxruntime.OrtArenaCfg({"max_mem": MAX_BYTES})
    onnxruntime.create_and_register_allocator(memory, bound)


def _session_of(source: bytes | Path) -> onnxruntime.InferenceSession:
    import onnxruntime

    _bound_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    options.log_severity_level = 4  # what fails is told in words, to whoever asked
    options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        # Folding constants would compute while a graph is made ready, with no bound on its time.
        return onnxruntime.InferenceSession(
            source, options, providers=["CPUExecutionProvider"],
            disabled_optimizers=["ConstantFolding"],
        )  # fmt: skip
    except Exception as error:  # the runtime's own kinds have no common base
        raise OnnxModelError(f"{GRAPH} cannot be run: {_words(error)}") from None


def _words(error: Exception) -> str:
    """The runtime's message without the paths of its sources."""
    return re.sub(r"/\S+", "…", str(error).replace("\n", " "))[:200]


def check(content: bytes) -> None:
    """Raise OnnxModelError unless these are standard operators and nothing else."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        raise OnnxModelError(f"{GRAPH} is not an ONNX file. Fetch the bundle again.") from None
    foreign = {node.domain for node in _nodes(model.graph)} - set(STANDARD)
    if foreign or model.functions:
        names = ", ".join(sorted(map(str, foreign)))  # bytes, where a file's are not text
        raise OnnxModelError(
            f"{GRAPH} has operators that are not ONNX' own ({names}) and is not run. Export the "
            "network again with train.py export."
        )
    if endless := {node.op_type for node in _nodes(model.graph)} & LOOPS:
        raise OnnxModelError(
            f"{GRAPH} repeats itself ({', '.join(sorted(endless))}) and is not run."
        )
    if _has_sparse(model.graph):  # a few bytes of file, any number in memory
        raise OnnxModelError(f"{GRAPH} has sparse weights, which are not read.")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model.graph)):
        raise OnnxModelError(f"{GRAPH} keeps weights in other files, which are not read.")


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


def _has_sparse(graph: onnx.GraphProto) -> bool:
    within = (attribute for node in _nodes(graph) for attribute in node.attribute)
    return bool(graph.sparse_initializer) or any(
        attribute.HasField("sparse_tensor")
        or attribute.sparse_tensors
        or any(inner.sparse_initializer for inner in (attribute.g, *attribute.graphs))
        for attribute in within
    )


def usable_cores() -> int:
    """Number of cores for this process: from `THREADS`, or all that it is allowed."""
    if given := os.environ.get(THREADS):
        return int(given)
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1
