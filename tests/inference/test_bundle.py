import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.conftest import TINY
from tests.inference.test_onnx_model import graph_of
from unet import Segmenter
from unet.config import to_dict
from unet.inference import bundle
from unet.inference.bundle import BundleError, atomic_directory, list_bundles, read_info, verify
from unet.inference.lesion_classifier import LesionClassifier

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 90), np.uint8)


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "tiny"))


def test_a_bundle_says_how_it_was_made(tiny_bundle):
    info = verify(tiny_bundle)
    assert info.model == TINY
    assert info.training["epochs_run"] == 3
    assert info.training["command"].startswith(
        f"python train.py fit --data {info.datasets[0]} --model unet --out weights/tiny "
        "--input-size 32 --epochs 3"
    )
    assert sum(len(ids) for ids in info.split.values()) == 18
    assert info.versions["keras"]


def test_loading_gives_the_same_predictions_every_time(tiny_bundle, tiny_segmenter):
    again = Segmenter.load(tiny_bundle)
    np.testing.assert_array_equal(again.predict(IMAGE), tiny_segmenter.predict(IMAGE))


def test_keras_alone_loads_the_bundle_and_gives_the_same(tiny_bundle, tiny_segmenter, tmp_path):
    size = TINY.input_size
    square = np.random.default_rng(1).integers(0, 256, (size, size), np.uint8)
    np.save(tmp_path / "square.npy", square)
    program = f"""
import sys
import numpy as np
import keras
network = keras.saving.load_model({str(tiny_bundle)!r})
square = np.load({str(tmp_path / "square.npy")!r})
batch = np.round(square[None, :, :, None].astype("float32") / np.float32(255), 4)
np.save({str(tmp_path / "out.npy")!r}, network(batch, training=False))
assert "unet" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    keras_alone = np.load(tmp_path / "out.npy")[0, :, :, 0]
    np.testing.assert_allclose(tiny_segmenter.network_output(square), keras_alone, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "check"), [("model.weights.h5", verify), ("model.onnx", Segmenter.load)]
)
def test_a_changed_file_is_refused(copy, name, check):
    content = bytearray((copy / name).read_bytes())
    content[-1] ^= 1
    (copy / name).write_bytes(bytes(content))
    with pytest.raises(BundleError, match=f"{name} is not the file"):
        check(copy)


def test_a_lost_graph_is_said_and_made_again_by_export(copy, tiny_segmenter):
    from unet.experiments.evaluate import export

    (copy / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"incomplete: it lacks model\.onnx"):
        Segmenter.load(copy)
    export(copy)
    np.testing.assert_array_equal(
        Segmenter.load(copy).predict(IMAGE), tiny_segmenter.predict(IMAGE)
    )


def test_a_missing_file_is_named(copy):
    (copy / "model.weights.h5").unlink()
    with pytest.raises(BundleError, match=r"incomplete: it lacks model\.weights\.h5"):
        verify(copy)


def test_a_folder_that_is_no_bundle_names_the_bundles_beside_it(copy):
    with pytest.raises(BundleError, match=r"no unet\.json\. Bundles beside it: tiny"):
        Segmenter.load(copy.parent / "nothing")


def edit(folder: Path, **changes) -> None:
    path = folder / "unet.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 99}, "schema 99; this version reads 2"),
        ({"model": {"input_size": "big"}}, "input_size must be like 256"),
        ({"postprocessing": {"threshold": 7.0}}, "threshold must lie between 0 and 1"),
        ({"split": 3}, "is not a bundle's unet.json"),
    ],
)
def test_a_unet_json_that_cannot_be_meant_is_refused(copy, changes, message):
    edit(copy, **changes)
    with pytest.raises(BundleError, match=message):
        read_info(copy)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"schema": 2, "model": {"bottleneck_dropout": 1' + "0" * 400 + "}}", "is not a bundle's"),
        ('{"schema": "' + "x" * 10_000 + '"}', "this version reads 2"),
        ('{"schema": NaN}', "NaN is no number of JSON"),
        ("[]", "is not a bundle's"),
        (b"\xff\xfe", "is not a bundle's"),
        ('"' + "x" * 51_000_000 + '"', "larger than any"),
    ],
    ids=["nested", "huge number", "long", "not a number", "list", "no text", "large"],
)
def test_a_unet_json_that_is_damaged_is_a_sentence_of_bounded_length(tmp_path, content, message):
    content = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "unet.json").write_bytes(content)
    with pytest.raises(BundleError, match=message) as error:
        read_info(tmp_path)
    assert len(str(error.value)) < 300 + 2 * len(str(tmp_path))


@pytest.mark.parametrize("value", [None, 7, "abc", {}])
def test_a_table_of_hashes_that_does_not_name_the_weights_is_refused(copy, value):
    hashes = read_info(copy).sha256
    del hashes["model.weights.h5"]
    edit(copy, sha256=hashes if value is None else hashes | {"model.weights.h5": value})
    with pytest.raises(BundleError, match=r"says no hash of model\.weights\.h5"):
        Segmenter.load(copy)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_presence_of_no_numbers_is_refused(copy, number):
    presence = LesionClassifier(("bottleneck_relu_2",), np.full(16, number, np.float32), 0.0)
    edit(copy, presence=presence.to_dict())
    with pytest.raises(BundleError, match="presence is not made of finite numbers"):
        read_info(copy)


def test_weights_of_another_shape_are_refused(copy):
    from unet.inference.keras_export import load_network

    edit(copy, model={"name": "tiny", "input_size": 32, "filters": [4, 16], "dropout": [0.1, 0.1]})
    with pytest.raises(BundleError, match="does not fit the network"):
        load_network(copy, read_info(copy))


def test_weights_that_are_damaged_are_a_sentence(copy):
    from unet.inference.keras_export import load_network

    content = (copy / "model.weights.h5").read_bytes().replace(b"SNOD", b"SNOT")  # tables of names
    (copy / "model.weights.h5").write_bytes(content)
    with pytest.raises(BundleError, match="does not fit the network"):
        load_network(copy, read_info(copy))


def test_a_graph_of_another_size_is_refused(copy):
    edit(copy, model={"name": "tiny", "input_size": 64, "filters": [4, 8], "dropout": [0.1, 0.1]})
    with pytest.raises(BundleError, match="takes images of 32 pixels"):
        Segmenter.load(copy)


@pytest.mark.parametrize(
    "presence",
    [
        LesionClassifier(("no such layer",), np.zeros(16, np.float32), 0.0),
        LesionClassifier(("bottleneck_relu_2",), np.zeros(15, np.float32), 0.0),
    ],
    ids=["layer", "length"],
)
def test_a_presence_that_does_not_fit_the_network_is_refused(copy, presence):
    edit(copy, presence=presence.to_dict())
    with pytest.raises(BundleError, match="does not fit the network"):
        Segmenter.load(copy)


@pytest.mark.parametrize("batch", [1, "B"], ids=["fixed batch", "outside"])
def test_a_graph_that_cannot_be_run_is_found_when_it_is_loaded(copy, batch):
    identity = helper.make_node("Add", ["image", "one"], ["probability"])
    one = helper.make_tensor("one", onnx.TensorProto.FLOAT, [], [2.0])
    content = graph_of(identity, shape=(batch, 32, 32, 1), tensors=[one])
    (copy / "model.onnx").write_bytes(content)
    info = read_info(copy)
    model = to_dict(info.model) | {"kernel": 5}
    hashes = info.sha256 | {"model.onnx": hashlib.sha256(content).hexdigest()}
    edit(copy, sha256=hashes, model=model, presence=None, familiarity=None)
    with pytest.raises(BundleError, match=r"cannot be run|lies outside \[0, 1\]"):
        Segmenter.load(copy)


@pytest.mark.parametrize(
    "changes",
    [{"input_size": 10**9}, {"filters": [10**8, 8]}, {"bottleneck_filters": -1}, {"kernel": 99999},
     {"bottleneck_dropout": 1e300}, {"filters": [4] * 99, "dropout": [0.1] * 99},
     {"filters": [4000, 4000], "kernel": 15}],
    ids=str,
)  # fmt: skip
def test_numbers_that_no_machine_holds_a_network_of_are_refused(copy, changes):
    edit(copy, model=to_dict(read_info(copy).model) | changes)
    with pytest.raises(BundleError, match="ModelConfig: "):
        read_info(copy)


def test_the_downloadable_config_is_never_deserialised(copy):
    (copy / "config.json").write_text("{not json")
    hashes = read_info(copy).sha256
    hashes["config.json"] = hashlib.sha256(b"{not json").hexdigest()
    edit(copy, sha256=hashes)
    assert Segmenter.load(copy).name == "tiny"


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "net"
    for content in ("old", "new"):
        with atomic_directory(folder) as new:
            (new / "unet.json").write_text(content)
    assert (folder / "unet.json").read_text() == "new"
    with pytest.raises(KeyError), atomic_directory(folder) as new:  # noqa: PT012 (the block fails)
        (new / "unet.json").write_text("half")
        raise KeyError
    assert (folder / "unet.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


KILLED = """
import os, pathlib, sys
from unet.inference import bundle
rename, calls = os.replace, []
def replace(a, b):
    calls.append(a)
    if len(calls) == 2:
        os.kill(os.getpid(), 9)
    rename(a, b)
os.replace = replace
with bundle.atomic_directory(pathlib.Path(sys.argv[1])) as new:
    (new / "unet.json").write_text("new")
"""


def test_a_kill_between_the_two_renames_leaves_the_old_bundle(copy):
    before = (copy / "unet.json").read_text()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(copy)], cwd=Path(__file__).parents[2], check=False
    )
    assert done.returncode == -9
    assert not copy.exists()
    (aside,) = list_bundles(copy.parent)
    assert (aside / "unet.json").read_text() == before
    verify(aside)
    with pytest.raises(KeyError), atomic_directory(copy):  # the next save puts it back first
        raise KeyError
    assert list_bundles(copy.parent) == [copy]
    assert (copy / "unet.json").read_text() == before


def test_listing_bundles_during_a_save_changes_nothing(copy):
    """A reader that runs between the two renames must not undo the save."""
    rename, listed = os.replace, []

    def replace_and_list(source, target):
        rename(source, target)
        listed.append(list_bundles(copy.parent))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle.os, "replace", replace_and_list)
        with atomic_directory(copy) as new:
            shutil.copytree(copy, new, dirs_exist_ok=True)
            (new / "new").touch()
    assert len(listed) == 2
    assert (copy / "new").exists()
    assert list_bundles(copy.parent) == [copy]
