"""The page without a server, but for what takes a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset

from tests.browser.site import needs_npm
from tests.io.test_dicom import region
from tests.io.test_dicom import write as write_dicom
from unet.core.windows import second_window
from unet.errors import UserError
from unet.io.images import read_picture
from unet.page import site

pytestmark = pytest.mark.slow

RESIZE = """
import { readFileSync, writeFileSync } from "fs";
import { resize } from "MODULE";
const { shape, to, kind } = JSON.parse(process.argv[1]);
const bytes = readFileSync("in.bin");
const pixels = kind === "uint8" ? new Uint8Array(bytes)
  : new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
const result = resize(pixels, shape[1], shape[0], to[1], to[0]);
writeFileSync("out.bin", new Uint8Array(result.buffer));
"""


READ = """
import { readFileSync } from "fs";
import { readDicom } from "MODULE";
const { rgba, spacing } = (() => {
  try {
    return readDicom(new Uint8Array(readFileSync("scan.dcm")), 0, 16e6, "scan");
  } catch (error) {
    return { rgba: error.message };
  }
})();
const found = typeof rgba === "string" ? { told: rgba }
  : { rgb: Array.from(rgba.filter((_, i) => i % 4 < 3)), spacing };
process.stdout.write(JSON.stringify(found));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
@pytest.mark.parametrize("kind", ["uint8", "float32"])
@pytest.mark.parametrize(
    ("shape", "to"),
    [((71, 130), (32, 32)), ((32, 32), (719, 1048)), ((5, 9), (5, 40)), ((40, 3), (11, 3)),
     ((33, 32), (32, 32)), ((1, 1), (4, 6)), ((20, 20), (20, 20))],
)  # fmt: skip
def test_resizing_in_the_browser_is_pillows(tmp_path, kind, shape, to):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, shape).astype(kind)
    if kind == "float32":
        pixels = random.random(shape, np.float32)
    (tmp_path / "in.bin").write_bytes(pixels.tobytes())
    program = RESIZE.replace("MODULE", (site.HERE / "resize.js").as_uri())
    subprocess.run(
        ["node", "--input-type=module", "-e", program, "--",
         json.dumps({"shape": shape, "to": to, "kind": kind})],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    found = np.frombuffer((tmp_path / "out.bin").read_bytes(), kind).reshape(to)
    expected = np.asarray(Image.fromarray(pixels).resize(to[::-1], Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(found, expected)


def test_a_folder_of_something_else_is_not_replaced(tiny_bundle, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="neither empty nor a site of this project"):
        site.build_site([tiny_bundle], tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "mine"
    with pytest.raises(UserError, match=r"a file NAME\.html is written"):
        site.build_site([tiny_bundle], tmp_path / "page", single_file=True)


def test_without_node_a_sentence_says_what_to_install(tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(site, "HERE", tmp_path)
    (tmp_path / "package-lock.json").write_text("{}")
    with pytest.raises(UserError, match="npm is needed to build the site"):
        site.build_site([tiny_bundle], tmp_path / "out")


@needs_npm
def test_a_site_is_replaced_whole_and_names_tell_content(tiny_bundle, tmp_path):
    out = tmp_path / "site"
    site.build_site([tiny_bundle], out)
    first = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    (out / "assets" / "old.js").write_text("")
    site.build_site([tiny_bundle], out)
    assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == first
    kept = (out / "sw.js").read_text()
    assert all(name in kept for name in first if name.startswith("assets/"))
    assert "model.weights.h5" not in "".join(first)


def test_what_a_site_cannot_offer_is_refused_in_words(tiny_bundle, tiny_guide, tmp_path):
    with pytest.raises(UserError, match="answers to what a person points at"):
        site.build_site([tiny_guide, tiny_bundle], tmp_path / "site", interactive_model=tiny_guide)
    with pytest.raises(UserError, match="no example in it has a mask and may be shared"):
        site.build_site([tiny_bundle], tmp_path / "site", examples=tmp_path / "gone")


GREYS = np.arange(6 * 8, dtype=np.uint16).reshape(6, 8) * 85  # to 3995, of 12 bits
COLOURS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


@needs_npm
@pytest.mark.parametrize(
    ("pixels", "tags"),
    [
        (GREYS.astype(np.uint8), {"PhotometricInterpretation": "MONOCHROME1"}),
        (GREYS, {"BitsStored": 12, "HighBit": 11}),
        (GREYS, {"BitsStored": 12, "HighBit": 11, "WindowCenter": 900, "WindowWidth": 700}),
        (GREYS, {"BitsStored": 12, "HighBit": 11, "WindowCenter": 900, "WindowWidth": 0}),
        (GREYS, {"BitsStored": 12, "HighBit": 11, "WindowCenter": [2000, 9], "WindowWidth": [99, 9],
                 "PhotometricInterpretation": "MONOCHROME1"}),
        (GREYS, {"BitsStored": 12, "HighBit": 11, "RescaleSlope": -2, "RescaleIntercept": 50,
                 "WindowCenter": -3000, "WindowWidth": 2000}),
        (GREYS.astype(np.int16) - 2000, {"RescaleSlope": 0.5, "RescaleIntercept": 10}),
        (GREYS // 20, {}),
        ((GREYS // 20).astype(np.int16), {}),
        ((GREYS // 20).astype(np.int16) - 90, {"BitsStored": 12, "HighBit": 11}),
        (GREYS * 16, {}),
        (GREYS | 0xF000, {"BitsStored": 12, "HighBit": 11}),
        ((GREYS & 0xFFF).astype(np.int16), {"BitsStored": 12, "HighBit": 11,
                                            "PixelRepresentation": 1}),
        (GREYS.astype(np.uint8), {"SequenceOfUltrasoundRegions": [region(9, 0.01, 0.01),
                                                                  region(9, 0.02, 0.02)]}),
        (GREYS.astype(np.uint8), {"SequenceOfUltrasoundRegions": [region(9, 0.01, 0.02)]}),
        (GREYS.astype(np.uint8), {"PixelSpacing": [0.3, 0.2], "SequenceOfUltrasoundRegions": []}),
        (COLOURS, {}),
        (COLOURS, {"PlanarConfiguration": 1,
                   "PixelData": np.ascontiguousarray(COLOURS.transpose(2, 0, 1)).tobytes()}),
        (GREYS.astype(np.uint8), {"PixelSpacing": [0.1, 0.2]}),
        (GREYS.astype(np.uint8), {"PixelSpacing": [0.1, 200]}),
    ],
)  # fmt: skip
def test_uncompressed_dicom_is_read_in_the_browser_as_by_python(tmp_path, pixels, tags):
    path = write_dicom(tmp_path / "scan.dcm", pixels, **tags)
    expected = read_picture(path)
    found = read_in_node(tmp_path)
    grey = expected.pixels
    rgb = grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=2)
    apart = np.abs(np.array(found["rgb"]).reshape(rgb.shape) - rgb.astype(int))
    assert apart.max() <= 1  # float64 against float32, at a half
    assert np.ptp(rgb) > 10
    assert found["spacing"] == (expected.spacing_mm and pytest.approx(expected.spacing_mm))


@needs_npm
def test_dicom_that_the_browser_would_show_wrongly_is_refused(tmp_path):
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [256, 0, 8], bytes(range(255, -1, -1))
    write_dicom(tmp_path / "scan.dcm", GREYS.astype(np.uint8), VOILUTSequence=[table])
    assert "looked up in a table" in read_in_node(tmp_path)["told"]
    write_dicom(tmp_path / "scan.dcm", GREYS, VOILUTFunction="SIGMOID")
    assert "its window is of a kind" in read_in_node(tmp_path)["told"]
    write_dicom(tmp_path / "scan.dcm", GREYS.astype(np.uint32))
    assert "pixels of 32 bits" in read_in_node(tmp_path)["told"]
    write_dicom(tmp_path / "scan.dcm", COLOURS.astype(np.uint16))
    assert "colours of more than 8 bits" in read_in_node(tmp_path)["told"]


def read_in_node(folder: Path) -> dict[str, Any]:
    site._install()
    module = (site.HERE / "dicom.js").as_uri()
    program = READ.replace("MODULE", module)
    done = subprocess.run(
        ["node", "--input-type=module", "-e", program],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_only_examples_that_may_be_shared_are_on_a_page_for_everybody(tmp_path):
    rows = ["file,caption,shared", "a.png,mine,yes", "b.png,theirs,no", "c.png,whose,"]
    (tmp_path / "examples.csv").write_text("\n".join(rows) + "\n")
    for name in "abcd":  # the last is not in the list
        Image.new("L", (40, 30), 90).save(tmp_path / f"{name}.png")
        Image.new("L", (40, 30), 255).save(tmp_path / f"{name}_mask.png")
    shown = [example.caption for example in site._examples(tmp_path) if not example.generated]
    assert shown == ["mine"]
    (tmp_path / "examples.csv").write_text("file,caption\na.png,mine\n")
    with pytest.raises(UserError, match="may be shared"):
        site._examples(tmp_path)


LOOK = """
import { readFileSync } from "node:fs";
import { secondWindow } from "MODULE";
const { width, height, maps } = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(maps.map((map) => secondWindow(Uint8Array.from(map), width, height))));
"""


def test_the_second_look_is_at_the_same_window_on_both_pages():
    from scipy import ndimage

    random, maps = np.random.default_rng(0), []
    for smooth in (1, 2, 3, 4, 6):
        for _ in range(8):
            field = ndimage.gaussian_filter(random.normal(size=(48, 71)), smooth)
            maps.append(np.clip(10 + 40 * field / field.std(), 0, 255).astype(np.uint8))
    maps += [np.zeros((48, 71), np.uint8), np.full((48, 71), 255, np.uint8)]
    maps.append((np.indices((48, 71)).sum(axis=0) % 9 == 0).astype(np.uint8) * 200)  # all equal
    said = {"width": 71, "height": 48, "maps": [one.ravel().tolist() for one in maps]}
    done = subprocess.run(
        ["node", "--input-type=module", "-e",
         LOOK.replace("MODULE", (site.HERE / "windows.js").as_uri())],
        input=json.dumps(said), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = [window and tuple(window) for window in json.loads(done.stdout)]
    assert found == [second_window(one) for one in maps]
    assert len({window for window in found if window}) > 5
