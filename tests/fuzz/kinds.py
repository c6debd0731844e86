"""What is damaged, kind by kind, and what the project does with it: an answer, or `UserError`."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.fuzz import seeds
from tests.fuzz.damage import Damage, change_dicom, change_graph, change_json, change_png
from unet.errors import UserError
from unet.io.examples import read_truth
from unet.io.images import MAX_PIXELS, ImageError, Picture, read_picture

IMAGES = ("png", "jpeg", "tiff", "webp", "bmp")
DICOMS = tuple(
    f"dicom-{kind}"
    for kind in (
        "explicit", "implicit", "big-endian", "rle", "jpeg", "jpeg-2000", "jpeg-ls",
        "jpeg-lossless", "multi-frame", "palette", "ybr",
    )
)  # fmt: skip
BUNDLES = ("unet.json", "onnx", "h5", "api")
"""Kinds that need a bundle."""
KINDS = (*IMAGES, *DICOMS, "mask", "zip", "session", *BUNDLES)


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        files: Valid ones.
        use: Does with the bytes of one what the project does; raises UserError to refuse them,
            and anything else, AssertionError too, is a fault.
        change: Changes one value within the format.
    """

    files: list[bytes]
    use: Callable[[bytes], None]
    change: Callable[[bytes, Damage], bytes] | None = None


def kind_of(name: str, folder: Path, bundle: Path | None = None) -> Kind:
    """The kind of that name, of `KINDS`, with a folder to work in and a bundle for `BUNDLES`."""
    if name in IMAGES:
        change = change_png if name == "png" else None
        files = seeds.images(name.upper())
        return Kind(files, lambda content: _open(folder / "scan", content), change)
    if name in DICOMS:
        files = seeds.dicoms(name.removeprefix("dicom-"))
        return Kind(files, lambda content: _open_dicom(folder / "scan", content), change_dicom)
    if name == "mask":
        mask = seeds.saved(seeds.mask().astype(np.uint8) * 255, "PNG")
        other = seeds.saved(seeds.mask(), "TIFF")
        return Kind([mask, other], lambda content: _open_mask(folder / "mask.png", content))
    if name == "zip":
        return Kind([_archive(folder, "scan (1).png")], lambda content: _open_zip(folder, content))
    if name == "session":
        return Kind(seeds.session(), Sessions(), change_json)
    if name == "api":
        from tests.fuzz.api import Page

        page = Page(bundle, folder)
        return Kind(page.bodies, page.ask, change_json)
    file, change = {
        "unet.json": ("unet.json", change_json),
        "onnx": ("model.onnx", change_graph),
        "h5": ("model.weights.h5", None),
    }[name]
    copy = Path(shutil.copytree(bundle, folder / "net"))
    whole = (copy / file).read_bytes()
    if name == "unet.json":  # without the graph's hash the graph is made anew, by TensorFlow
        from unet.inference.bundle import read_info
        from unet.inference.keras_export import export_onnx, load_network

        export_onnx(load_network(copy, read_info(copy)), [])
    return Kind([whole], lambda content: _load(copy, file, content), change)


def _check(picture: Picture) -> None:
    pixels = picture.pixels
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 2 or pixels.shape[2:] == (3,)
    assert 0 < pixels.shape[0] * pixels.shape[1] <= MAX_PIXELS
    spacing = picture.spacing_mm
    assert spacing is None or (len(spacing) == 2 and all(0 < side < 100 for side in spacing))


def _open(path: Path, content: bytes) -> Picture:
    path.write_bytes(content)
    picture = read_picture(path)
    _check(picture)
    return picture


def _open_dicom(path: Path, content: bytes) -> None:
    """Read it, its last frame too, and make of it what goes back to an archive."""
    from tests.conftest import predicted
    from unet.page.analysis import Analysis
    from unet.page.clip_cache import frame_ms
    from unet.page.exports.dicom import secondary_capture, segmentation

    picture = _open(path, content)
    shown_ms = frame_ms(picture)
    assert shown_ms is None or (math.isfinite(shown_ms) and shown_ms > 0)
    mask = np.zeros(picture.pixels.shape[:2], bool)
    mask[: mask.shape[0] // 2] = True
    analysed = Analysis("a", "a", picture, predicted(mask.astype(np.uint8)), 0.1)
    if picture.header is not None:
        segmentation(analysed, mask)
        secondary_capture(analysed, mask)
    if picture.frames > 1:
        _check(read_picture(path, picture.frames - 1))


def _open_mask(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    mask = read_truth(path, seeds.SIZE)
    assert mask.dtype == bool
    assert mask.shape == seeds.SIZE


def _archive(folder: Path, *names: str) -> bytes:
    """A batch's ZIP of one small image, by each of these names."""
    from tests.conftest import predicted
    from unet.page.analysis import Analysis
    from unet.page.exports.zip import BatchItem, ZipWriter

    analysed = Analysis("a", "a", Picture(seeds.grey()), predicted(seeds.grey()), 0.1)
    with ZipWriter(folder / "results.zip") as archive:
        for name in names:
            archive.add(BatchItem({"file": Path(name).name}, analysed, analysed.segment(0.5)))
    return (folder / "results.zip").read_bytes()


def _open_zip(folder: Path, content: bytes) -> None:
    """Bytes as the names of files in a batch, and as a picture, which no ZIP is."""
    names = [content[at : at + 1 + at % 90].decode(errors="surrogateescape") for at in range(40)]
    with zipfile.ZipFile(io.BytesIO(_archive(folder, *names))) as made:
        assert made.testzip() is None
        entries = made.namelist()
        assert len({entry.lower() for entry in entries}) == len(entries) == 81
        for entry in entries:
            assert not set(entry) & set('\\:*?"<>|'), entry
            assert ".." not in entry.split("/"), entry
            assert len(entry.encode()) <= 420, entry
    (folder / "scan.zip").write_bytes(content)
    try:
        read_picture(folder / "scan.zip")
    except ImageError:
        return
    raise AssertionError("a ZIP was read as a picture")


def _load(bundle: Path, file: str, content: bytes) -> None:
    """A bundle with one file damaged, and described as it is; then an image segmented by it."""
    from unet.inference.bundle import read_info
    from unet.inference.segmenter import Segmenter
    from unet.page.exports.report import findings_of

    (bundle / file).write_bytes(content)
    try:
        if file != "unet.json":
            _describe(bundle, file, content)
        if file == "model.weights.h5":
            import keras

            from unet.inference.keras_export import load_network

            # A process loads one network; of thousands Keras keeps something each.
            keras.backend.clear_session()
            network = load_network(bundle, read_info(bundle))
            assert network.input_shape[1:] == (32, 32, 1)
            return
        segmenter = Segmenter.load(bundle)
        prediction = segmenter.analyze(seeds.grey())
        found = findings_of(prediction, prediction.segment())
        json.dumps(found, allow_nan=False)
    except UserError as error:  # who loads a bundle by hand is told which
        raise UserError(str(error).replace(str(bundle), "BUNDLE")) from error


def _describe(bundle: Path, file: str, content: bytes) -> None:
    values = json.loads((bundle / "unet.json").read_text())
    values["sha256"][file] = hashlib.sha256(content).hexdigest()
    (bundle / "unet.json").write_text(json.dumps(values))


class Sessions:
    """Opens session files by the viewer's own script, in one Node for all."""

    def __init__(self):
        from unet.page import viewer

        script = Path(__file__).parent / "session.js"
        self._node = subprocess.Popen(
            ["node", str(script), str(viewer.HERE)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __call__(self, content: bytes) -> None:
        self._node.stdin.write(base64.b64encode(content).decode() + "\n")
        self._node.stdin.flush()
        answer = json.loads(self._node.stdout.readline())
        assert "thrown" not in answer, answer["thrown"]
        assert answer["seconds"] < 5
        assert answer["mebibytes"] < 500
        if "threshold" not in answer and not answer["waits"]:
            raise UserError(answer["told"])
        mask, scale = answer["mask"], answer.get("scale")
        assert mask is None or (len(mask) == 240 and set(mask) <= {0, 1})
        assert scale is None or all(0 < side < 100 for side in scale)
