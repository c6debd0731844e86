"""The page without a server, but for what takes a browser."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from tests.browser.site import needs_npm
from unet.errors import UserError
from unet.page import site

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
        site.build_site([tiny_guide, tiny_bundle], tmp_path / "site", guide=tiny_guide)
    with pytest.raises(UserError, match="no example in it has a mask and may be shared"):
        site.build_site([tiny_bundle], tmp_path / "site", examples=tmp_path / "gone")
