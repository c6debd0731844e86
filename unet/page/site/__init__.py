"""The page without a server: a folder for any web host, or one file that opens from a disk.

The same viewer files as the Gradio page's; the same network, `model.onnx`, run in the browser by
ONNX Runtime (WebAssembly). Built with Node; what is built needs none.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import io
import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from unet.config import to_dict
from unet.errors import UserError
from unet.inference.bundle import BundleInfo, atomic_directory, bundle_name, verify
from unet.inference.onnx_model import GRAPH
from unet.inference.ood_detector import SLACK
from unet.io.examples import Example, read_examples
from unet.page import about
from unet.page.analysis import PHANTOMS
from unet.page.exports.report import UNFAMILIAR
from unet.page.viewer import HERE as VIEWER
from unet.page.viewer import SCRIPTS
from unet.publishing.card import NOTICE
from unet.publishing.report import comparison_in

HERE = Path(__file__).parent
MARK = "site.json"
"""File that tells a folder of this kind; only such a one is replaced."""
RUNTIME = Path("node_modules/onnxruntime-web/dist")
WASM = "ort-wasm-simd-threaded.wasm"
COLOUR, ICON_SIZES = "#14181c", (192, 512)


@dataclass
class Site:
    """A site being built: its files by path; those under `assets/` are named by their content."""

    files: dict[str, bytes] = field(default_factory=dict)

    def asset(self, name: str, content: bytes) -> str:
        """Add a file that never changes; gives its path."""
        stem, _, ending = name.rpartition(".")
        path = f"assets/{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{ending}"
        self.files[path] = content
        return path


def build_site(
    bundles: list[Path],
    out: Path,
    *,
    interactive_model: Path | None = None,
    single_file: bool = False,
    examples: Path | None = None,
) -> None:
    """Build the page.

    Args:
        bundles: The networks it offers, the first to begin with.
        out: A folder, replaced if it is such a site or empty; with `single_file` the one HTML file,
            with the first network alone.
        interactive_model: Bundle of the interactive network, if any; not in a single file, whose
            size it would double.
        single_file: Whether it is one file.
        examples: A folder whose images are offered beside the phantoms, those that may be shared.

    Raises:
        BundleError: A bundle is not whole.
        UserError: Node is missing or fails, a bundle has no graph or takes prompts, none of
            `examples` may be shared, or `out` holds something else.
    """
    _check_out(out, single_file)
    infos = {
        bundle: verify(bundle)
        for bundle in [*bundles, *([interactive_model] if interactive_model else [])]
    }
    for bundle in bundles:
        if infos[bundle].model.interactive:
            raise UserError(
                f"{bundle} answers to what a person points at, beside another network: give "
                "--weights one that takes no prompts"
            )
    offered = _examples(examples)
    _install()
    with tempfile.TemporaryDirectory() as folder:
        scripts = _bundled(Path(folder), single_file)
    if single_file:
        first = bundles[0]
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(_one_file(first, infos[first], scripts, offered), encoding="utf-8")
        return
    site = _folder(infos, interactive_model, scripts, offered)
    with atomic_directory(out) as new:
        for path, content in site.files.items():
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            (new / path).write_bytes(content)


def _check_out(out: Path, single_file: bool) -> None:
    if single_file:
        if out.suffix != ".html":
            raise UserError(f"--out {out}: with --single-file a file NAME.html is written")
        return
    if out.exists() and not (out / MARK).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(
            f"{out} is neither empty nor a site of this project, and would be replaced. Give --out "
            "a new folder."
        )


def _install() -> None:
    """The JavaScript packages at their pinned versions, beside the sources."""
    lock, installed = HERE / "package-lock.json", HERE / "node_modules" / ".package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    npm = shutil.which("npm")
    if npm is None:
        raise UserError("npm is needed to build the site: install Node 20 or later, then try again")
    _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], "npm ci")
    installed.touch()


def _run(command: list[str], name: str) -> None:
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{name} failed: {done.stderr.strip()[-600:]}")


def _bundled(folder: Path, single_file: bool) -> dict[str, bytes]:
    """The page's script and the worker's, each in one file."""
    viewer = "\n".join((VIEWER / name).read_text() for name in SCRIPTS)
    (folder / "viewer.js").write_text(
        f"export function mountViewer(element, props, trigger, watch) {{\n{viewer}\n}}\n"
    )
    esbuild = str(HERE / "node_modules" / ".bin" / "esbuild")
    charts = about.SCRIPT.read_text()
    (folder / "charts.js").write_text(f"{charts}\nexport {{ drawCharts }};\n")
    common = ["--bundle", "--minify", "--target=es2022", "--log-level=error"]
    common += [f"--alias:{name}={folder / name}.js" for name in ("viewer", "charts")]
    worker = ["worker.js", "--format=esm"]
    if single_file:  # a classic worker, which has no address; the runtime wants some, and asks none
        address = '--define:import.meta.url="http://nowhere.invalid/"'
        worker = ["worker_single.js", "--format=iife", address]
    for name, words in (("app.js", ["app.js", "--format=esm"]), ("worker.js", worker)):
        _run([esbuild, *words, *common, f"--outfile={folder / name}"], "esbuild")
    return {name: (folder / name).read_bytes() for name in ("app.js", "worker.js")}


def _folder(
    infos: dict[Path, BundleInfo],
    interactive_model: Path | None,
    scripts: dict[str, bytes],
    offered: list[Example],
) -> Site:
    site = Site()
    runtime = {
        "single": False,
        "worker": {"url": site.asset("worker.js", scripts["worker.js"])},
        "script": {"url": site.asset("ort.mjs", _runtime("ort.wasm.bundle.min.mjs"))},
        "wasm": {"url": site.asset("ort.wasm", _runtime(WASM))},
    }
    networks = [
        _network(bundle, info)
        | {
            "graph": {
                "url": site.asset(f"{bundle_name(bundle)}.onnx", (bundle / GRAPH).read_bytes())
            }
        }
        for bundle, info in infos.items()
    ]
    examples = [
        {
            "caption": example.caption,
            "spacing": example.picture.spacing_mm,
            "source": example.source,
            "generated": example.generated,
        }
        | {
            name: site.asset(f"example-{number}-{name}.png", content)
            for name, content in _pictures(example).items()
        }
        for number, example in enumerate(offered, start=1)
    ]
    style = site.asset("site.css", _style().encode())
    app = site.asset("app.js", scripts["app.js"])
    icons = [
        {"src": site.asset(f"icon-{size}.png", _icon(size)), "sizes": f"{size}x{size}",
         "type": "image/png", "purpose": "any maskable"}
        for size in ICON_SIZES
    ]  # fmt: skip
    name = "Breast ultrasound segmentation"
    manifest = {"name": name, "short_name": "Ultrasound", "start_url": ".", "display": "standalone",
                "background_color": COLOUR, "theme_color": COLOUR, "icons": icons}  # fmt: skip
    site.files["manifest.webmanifest"] = json.dumps(manifest).encode()
    head = (
        f'<link rel="stylesheet" href="{style}">\n<link rel="manifest" href="manifest.webmanifest">'
        f'\n<link rel="icon" href="{icons[0]["src"]}">'
    )
    guides = [networks.pop()] if interactive_model else []  # the last
    offered_networks = [bundle for bundle in infos if bundle != interactive_model]
    page = _page(offered_networks, networks, runtime, examples, head,
                 f'<script type="module" src="{app}"></script>', guides,
                 interactive_model)  # fmt: skip
    site.files["index.html"] = page.encode()
    # What the first network needs is kept at once, the others' graphs when they are chosen.
    later = {network["graph"]["url"] for network in networks[1:] + guides}
    kept = ["./", *sorted(set(site.files) - later)]
    version = hashlib.sha256("".join(kept).encode() + page.encode()).hexdigest()[:12]
    worker = (HERE / "sw.js").read_text().replace("/* files */ []", json.dumps(kept))
    site.files["sw.js"] = worker.replace("/* version */", f"site-{version}").encode()
    site.files[MARK] = json.dumps({"networks": [n["name"] for n in networks]}).encode()
    return site


def _one_file(
    bundle: Path, info: BundleInfo, scripts: dict[str, bytes], offered: list[Example]
) -> str:
    packed = {"graph": (bundle / GRAPH).read_bytes(), "wasm": _runtime(WASM)}
    runtime = {"single": True, "wasm": {"inside": "wasm"}}
    networks = [_network(bundle, info) | {"graph": {"inside": "graph"}}]
    examples = [
        {
            "caption": example.caption,
            "spacing": example.picture.spacing_mm,
            "source": example.source,
            "generated": example.generated,
        }
        | {
            name: f"data:image/png;base64,{base64.b64encode(content).decode()}"
            for name, content in _pictures(example).items()
        }
        for example in offered
    ]
    inside = "\n".join(
        f'<script id="{name}" type="application/octet-stream">'
        f"{base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()}</script>"
        for name, content in packed.items()
    )
    script = (
        f"{inside}\n"
        f'<script id="worker" type="text/plain">{_in_html(scripts["worker.js"])}</script>\n'
        f'<script type="module">{_in_html(scripts["app.js"])}</script>'
    )
    return _page([bundle], networks, runtime, examples, f"<style>{_style()}</style>", script)


def _in_html(script: bytes) -> str:
    """A script's text with nothing in it that would end its element."""
    return script.decode().replace("</script", r"<\/script").replace("<!--", r"<\!--")


def _page(
    bundles: list[Path],
    networks: list[dict[str, Any]],
    runtime: dict[str, Any],
    examples: list[dict[str, str]],
    head: str,
    scripts: str,
    guides: Sequence[dict[str, Any]] = (),
    interactive_model: Path | None = None,
) -> str:
    config = {"networks": networks, "guide": guides[0] if guides else None, "runtime": runtime,
              "examples": examples, "notice": NOTICE, "unfamiliar": UNFAMILIAR}  # fmt: skip
    comparison = comparison_in(bundles[0].parent)
    templates = "\n".join(
        f'<template data-network="{html.escape(bundle_name(bundle))}">'
        f"{about.content(bundle, interactive_model, comparison)}</template>"
        for bundle in bundles
    )
    parts = {
        "<!-- head -->": head,
        "<!-- notice -->": NOTICE,
        "<!-- viewer -->": (VIEWER / "viewer.html").read_text(),
        "<!-- templates -->": templates,
        "<!-- config -->": json.dumps(config).replace("<", "\\u003c"),
        "<!-- scripts -->": scripts,
    }
    page = (HERE / "index.html").read_text()
    for mark, content in parts.items():
        page = page.replace(mark, content, 1)
    return page


def _network(bundle: Path, info: BundleInfo) -> dict[str, Any]:
    """Settings of a network that the static page needs beside its graph."""
    levels = np.round(np.arange(256, dtype=np.float32) / np.float32(255), 4)
    return {
        "name": bundle_name(bundle),
        "label": about.label(bundle_name(bundle), bundle),
        "sha256": info.sha256["model.weights.h5"],
        "size": info.model.input_size,
        "inference": to_dict(info.inference),
        "levels": [float(level) for level in levels],
        "postprocessing": to_dict(info.postprocessing),
        "presence": info.presence and info.presence.to_dict(),
        "familiarity": info.familiarity and info.familiarity.to_dict(),
        "slack": SLACK,
        "confidence": info.confidence and to_dict(info.confidence),
    }


def _examples(folder: Path | None) -> list[Example]:
    """Examples whose licence allows publication."""
    local = [] if folder is None else read_examples(folder)
    shared = [example for example in local if example.shared and example.truth is not None]
    if folder is not None and not shared:
        raise UserError(
            f"{folder}: no example in it has a mask and may be shared ('yes' in the column "
            "'shared' of examples.csv). Leave out --examples."
        )
    return shared + [replace(example, generated=True) for example in read_examples(PHANTOMS)]


def _pictures(example: Example) -> dict[str, bytes]:
    truth = example.truth.astype(np.uint8) * 255
    return {"image": _png(Image.fromarray(example.picture.pixels)),
            "truth": _png(Image.fromarray(truth))}  # fmt: skip


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _icon(size: int) -> bytes:
    """An amber outline on dark ground, with room around it for round masks."""
    picture = Image.new("RGB", (size, size), COLOUR)
    box = (size * 0.24, size * 0.32, size * 0.76, size * 0.68)
    ImageDraw.Draw(picture).ellipse(box, "#3a2c05", "#ffb000", width=size // 20)
    return _png(picture)


def _style() -> str:
    paths = (HERE / "site.css", VIEWER / "viewer.css", about.STYLE)
    return "".join(path.read_text() for path in paths)


def _runtime(name: str) -> bytes:
    return (HERE / RUNTIME / name).read_bytes()
