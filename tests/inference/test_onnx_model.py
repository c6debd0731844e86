import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from unet.inference.onnx_model import OnnxModel, OnnxModelError


def graph_of(*nodes, shape=("B", 8, 8, 1), output="probability", tensors=()) -> bytes:
    """An ONNX file with these nodes, from "image" to `output`."""
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
        list(tensors),
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("elsewhere", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


SIGMOID = helper.make_node("Sigmoid", ["image"], ["probability"])


def test_a_graph_of_standard_operators_is_run_for_any_batch():
    graph = OnnxModel(graph_of(SIGMOID))
    assert graph.size == 8
    batch = np.linspace(-2, 2, 3 * 64, dtype=np.float32).reshape(3, 8, 8, 1)
    np.testing.assert_allclose(graph(batch)["probability"], 1 / (1 + np.exp(-batch)), atol=1e-6)
    assert graph(batch[:1])["probability"].shape == (1, 8, 8, 1)


def test_an_operator_from_elsewhere_is_refused():
    foreign = helper.make_node("Run", ["image"], ["probability"], domain="elsewhere")
    with pytest.raises(OnnxModelError, match=r"not ONNX' own \(elsewhere\)"):
        OnnxModel(graph_of(foreign))
    no_text = graph_of(foreign).replace(b"elsewhere", b"elsewher\xff")
    with pytest.raises(OnnxModelError, match=r"not ONNX' own \(b'elsewher"):
        OnnxModel(no_text)


def test_an_operator_from_elsewhere_within_a_branch_is_refused():
    def branch(node):
        out = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ("B", 8, 8, 1))
        return helper.make_graph([node], "branch", [], [out])

    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    foreign = helper.make_node("Run", ["image"], ["probability"], domain="com.microsoft")
    choice = helper.make_node(
        "If", ["yes"], ["probability"], then_branch=branch(SIGMOID), else_branch=branch(foreign)
    )
    with pytest.raises(OnnxModelError, match=r"com\.microsoft"):
        OnnxModel(graph_of(choice, tensors=[yes]))


def test_weights_in_other_files_are_not_read(tmp_path):
    (tmp_path / "secret").write_bytes(b"\0" * 4)
    tensor = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=str(tmp_path / "secret"))
    add = helper.make_node("Add", ["image", "w"], ["probability"])
    with pytest.raises(OnnxModelError, match="keeps weights in other files"):
        OnnxModel(graph_of(add, tensors=[tensor]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not onnx", "is not an ONNX file"),
        (b"", "cannot be run|expected one input"),
        (graph_of(SIGMOID)[:-40], "is not an ONNX file|cannot be run"),
        (graph_of(SIGMOID, shape=("B", 8, 9, 1)), "expected one input"),
        (graph_of(helper.make_node("Sigmoid", ["image"], ["x"]), output="x"), "expected an output"),
        (graph_of(helper.make_node("NoSuch", ["image"], ["probability"])), "cannot be run"),
    ],
    ids=["text", "empty", "cut", "oblong", "other output", "unknown operator"],
)
def test_what_is_no_network_is_refused(content, message):
    with pytest.raises(OnnxModelError, match=message):
        OnnxModel(content)


NODE = helper.make_node
LARGE = helper.make_tensor("sizes", TensorProto.INT64, [4], [1, 1000, 1000, 1000])


@pytest.mark.parametrize(
    ("nodes", "shape", "message"),
    [
        ([SIGMOID], (1, 8, 8, 1), "cannot be run"),  # asked for two images
        ([NODE("ReduceMax", ["image"], ["probability"])], ("B", 8, 8, 1), "to be (2, 8, 8, 1)"),
        ([NODE("IsNaN", ["image"], ["probability"])], ("B", 8, 8, 1), "cannot be run|float32"),
        ([NODE("Log", ["image"], ["probability"])], ("B", 8, 8, 1), "not made of finite"),
        ([NODE("Exp", ["image"], ["one"]), NODE("Exp", ["one"], ["probability"])],
         ("B", 8, 8, 1), r"lies outside [0, 1]"),
        ([NODE("ConstantOfShape", ["sizes"], ["zeros"]), NODE("ReduceMax", ["zeros"], ["none"]),
          NODE("Add", ["image", "none"], ["probability"])], ("B", 8, 8, 1), "cannot be run"),
    ],
    ids=["fixed batch", "other shape", "other type", "infinite", "no probability", "huge"],
)  # fmt: skip
def test_a_graph_that_fails_or_gives_something_else_is_a_sentence(nodes, shape, message):
    with pytest.raises(OnnxModelError) as error:
        OnnxModel(graph_of(*nodes, shape=shape, tensors=[LARGE]))(
            np.zeros((2, 8, 8, 1), np.float32)
        )
    assert any(part in str(error.value) for part in message.split("|"))
    assert "/" not in str(error.value).replace("ReduceMax", "")


def test_a_graph_that_repeats_itself_is_refused():
    body = helper.make_graph([], "body", [], [])
    loop = NODE("Loop", ["", ""], ["probability"], body=body)
    with pytest.raises(OnnxModelError, match=r"repeats itself \(Loop\)"):
        OnnxModel(graph_of(loop))


def test_sparse_weights_are_not_read():
    one = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    at = helper.make_tensor("at", TensorProto.INT64, [1], [0])
    model = onnx.load_model_from_string(graph_of(SIGMOID))
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(one, at, [10**12]))
    with pytest.raises(OnnxModelError, match="sparse weights"):
        OnnxModel(model.SerializeToString())


def test_a_graph_that_takes_too_long_is_stopped(monkeypatch):
    monkeypatch.setattr("unet.inference.onnx_model.RUN_S", 0.0)
    names = [f"x{i}" for i in range(3000)]
    nodes = [NODE("Cos", [a], [b]) for a, b in zip(["image", *names], names)]
    nodes.append(NODE("Sigmoid", names[-1:], ["probability"]))
    graph = OnnxModel(graph_of(*nodes, shape=("B", 512, 512, 1)))
    with pytest.raises(OnnxModelError, match="cannot be run"):
        graph(np.zeros((1, 512, 512, 1), np.float32))


def test_the_graph_in_a_bundle_gives_what_keras_gives(tiny_bundle):
    from unet.inference.bundle import read_info
    from unet.inference.keras_export import load_network, runner_of
    from unet.inference.onnx_model import GRAPH

    info = read_info(tiny_bundle)
    graph = OnnxModel((tiny_bundle / GRAPH).read_bytes())
    batch = np.random.default_rng(3).random((5, graph.size, graph.size, 1), np.float32)
    expected = runner_of(load_network(tiny_bundle, info), info.layers)(batch)
    found = graph(batch)
    assert set(found) == set(expected) > {"probability"}
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5)


def test_the_runtime_tells_its_maker_nothing(tmp_path):
    bundle = Path(__file__).parents[2] / "weights" / "unet"
    program = f"from unet import Segmenter; Segmenter.load({str(bundle)!r})"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("ORT_", "XDG_"))}
    subprocess.run(
        [sys.executable, "-c", program],
        cwd=bundle.parents[1], env=environment | {"HOME": str(tmp_path)}, check=True,
    )  # fmt: skip
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert left == []  # an identifier of the device, where it may tell


def test_a_graph_is_not_computed_while_it_is_made_ready():
    """What is made of constants alone would be, where no limit holds yet."""
    side = helper.make_tensor("side", TensorProto.INT64, [2], [1500, 1500])
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1e-6])
    chain = [helper.make_node("ConstantOfShape", ["side"], ["m0"], value=one)]
    chain += [helper.make_node("MatMul", [f"m{i}", f"m{i}"], [f"m{i + 1}"]) for i in range(8)]
    total = helper.make_node("ReduceSum", ["m8"], ["sum"], keepdims=0)
    added = helper.make_node("Add", ["image", "sum"], ["shifted"])
    last = helper.make_node("Sigmoid", ["shifted"], ["probability"])
    content = graph_of(*chain, total, added, last, tensors=[side])
    begun = time.perf_counter()
    graph = OnnxModel(content)
    ready = time.perf_counter()
    graph(np.zeros((1, 8, 8, 1), np.float32))
    assert ready - begun < (time.perf_counter() - ready) / 2
