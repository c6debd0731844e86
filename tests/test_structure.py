"""The rules that keep data flowing one way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "unet").rglob("*.py"))
TENSORFLOW_IN = {"pipeline", "fast_batchnorm"}
ROOMS = {  # each may import those that it names, and `ANYWHERE`
    "core": set(),
    "io": {"core"},
    "networks": set(),
    "inference": {"core", "io", "networks"},
    "bulk": {"core", "io", "inference"},
    "data": {"core", "io", "inference"},
    "publishing": {"core", "io", "inference", "networks"},
    "evaluation": {"core", "data", "io", "inference"},
    "page": {"core", "io", "inference", "publishing"},
    "training": {"core", "data", "evaluation", "io", "inference", "networks"},
    "experiments": {"core", "data", "evaluation", "io", "inference", "networks", "training"},
}  # fmt: skip
ANYWHERE = {"cluster", "config", "errors", "files", "progress", "provenance", "results"}
COMMAND_LINE = {"cli", "cli_options"}


def modules_loaded_by(statement: str) -> set[str]:
    program = f"{statement}\nimport sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "",
        ".io.images",
        ".core.rendering",
        ".core.metrics",
        ".core.regions",
        ".inference.segmenter",
        ".data.busi",
        ".publishing.card",
    ],
)
def test_importing_this_loads_no_tensorflow(module):
    assert not {"tensorflow", "keras"} & modules_loaded_by(f"import unet{module}")


def test_the_page_loads_no_training_code():
    loaded = modules_loaded_by("import app")
    assert "unet.page.viewer" in loaded
    assert not {f"unet.{room}" for room in ("training", "data", "evaluation")} & loaded
    assert not {"unet.cli", "matplotlib", "imagehash", "sklearn", "tensorflow"} & loaded


def test_the_page_is_built_without_keras_or_tensorflow():
    loaded = modules_loaded_by("import app; app.build_page(app.networks_here())")
    assert not {"keras", "tensorflow", "h5py", "sklearn"} & loaded


def test_what_people_take_home_is_imported_when_they_take_it():
    loaded = modules_loaded_by("import unet.page.exports.dicom, unet.page.exports.coco")
    assert not {"highdicom", "pydicom", "scipy"} & loaded


def test_a_segmenter_needs_neither_keras_nor_tensorflow():
    weights = ROOT / "weights" / "unet"
    loaded = modules_loaded_by(f"from unet import Segmenter; Segmenter.load({str(weights)!r})")
    assert "onnxruntime" in loaded
    assert not {"keras", "tensorflow", "h5py"} & loaded


def test_segmenting_a_folder_needs_neither_keras_nor_tensorflow():
    loaded = modules_loaded_by("import unet.cli, unet.bulk.run, unet.bulk.worker, unet.bulk.ray")
    assert not {"keras", "tensorflow", "h5py", "ray", "pyarrow"} & loaded


def imports_of(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_a_room_imports_only_rooms_below_it():
    wrong = []
    for path in MODULES:
        room = path.relative_to(ROOT / "unet").parts[0].removesuffix(".py")
        if room in {"__init__"} | COMMAND_LINE:  # `unet.Segmenter` is imported when asked for
            continue
        allowed = ROOMS.get(room, set()) | ANYWHERE | {room}
        entered = {n.split(".")[1] for n in imports_of(path) if n.startswith("unet.")}
        wrong += [f"{name_of(path)} → {other}" for other in sorted(entered - allowed)]
    assert not wrong


def test_the_rooms_themselves_have_no_circle():
    done: list[str] = []
    while len(done) < len(ROOMS):
        ready = [room for room, below in ROOMS.items() if room not in done and below <= set(done)]
        assert ready, f"a circle among {set(ROOMS) - set(done)}"
        done += ready


def test_nothing_imports_the_page_or_the_command_line():
    for path in MODULES:
        if path.stem not in COMMAND_LINE:
            assert not {"app", "train", "unet.cli"} & imports_of(path), path


def test_tensorflow_is_named_only_where_it_must_be():
    users = {p.stem for p in MODULES if "tensorflow" in {n.split(".")[0] for n in imports_of(p)}}
    assert users == TENSORFLOW_IN


def test_there_are_no_import_circles():
    names = {name_of(path): path for path in MODULES if path != ROOT / "unet" / "__init__.py"}
    edges = {name: imports_of(path) & set(names) for name, path in names.items()}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " → ".join([*above, name])
        if name not in done:
            for other in sorted(edges[name]):
                visit(other, (*above, name))
            done.add(name)

    for name in sorted(edges):
        visit(name, ())
