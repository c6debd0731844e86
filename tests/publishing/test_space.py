"""The Space: what is uploaded, and that the page runs from it alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import SpaceCardData

from tests.browser.site import needs_npm
from tests.inference.test_hub import run
from unet.publishing.space import page_files, with_preload

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def deploy(environment, *options: str):
    words = ("--repo", "user/page", "--kind", "gradio")
    return run(environment, "train.py", "deploy", *words, *options)


@needs_npm
def test_a_static_page_is_uploaded_with_the_headers_that_threads_need(hub, environment, tmp_path):
    done = deploy(environment, "--kind", "static")
    assert done.returncode == 0, done.stderr
    space = hub[1].repositories["spaces/user/page"]
    assert space.sdk == "static"
    files = space.commits[-1][1]
    card = front_matter(files["README.md"].content.decode())
    assert (card.sdk, card.app_file) == ("static", "index.html")
    assert set(card.to_dict()["custom_headers"]) == {
        "cross-origin-embedder-policy", "cross-origin-opener-policy",
        "cross-origin-resource-policy",
    }  # fmt: skip
    page = files["index.html"].content.decode()
    assets = {name for name in files if name.startswith("assets/")}
    assert any(name.endswith(".onnx") for name in assets)
    for name in assets:
        assert name in page or name in files["manifest.webmanifest"].content.decode()
    assert "app.py" not in files
    done = deploy(environment, "--kind", "static", "--preload", "user/unet")
    assert "a static page carries its networks" in done.stderr


def test_on_zerogpu_the_page_brings_what_that_wants(hub, environment):
    done = deploy(environment, "--kind", "zerogpu")
    assert done.returncode == 0, done.stderr
    files = hub[1].repositories["spaces/user/page"].commits[-1][1]
    card = front_matter(files["README.md"].content.decode())
    assert (card.sdk, card.python_version) == ("gradio", "3.12.12")
    assert "\nspaces==" in files["requirements.txt"].content.decode()
    assert "spaces.GPU" in files["app.py"].content.decode()


def test_a_space_that_is_there_gets_its_hardware_and_loses_what_an_earlier_page_ran_on(
    hub, environment
):
    done = deploy(environment, "--preload", "user/unet")
    assert done.returncode == 0, done.stderr
    space = hub[1].repositories["spaces/user/page"]
    assert (space.variables, space.hardware) == ({"UNET_REPO": "user/unet"}, None)
    done = deploy(environment, "--kind", "zerogpu")
    assert done.returncode == 0, done.stderr
    assert (space.variables, space.hardware) == ({}, "zero-a10g")


def test_one_commit_holds_what_the_page_needs_and_no_more(hub, environment):
    done = deploy(environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{hub[0]}/spaces/user/page"
    space = hub[1].repositories["spaces/user/page"]
    assert space.sdk == "gradio"
    assert len(space.commits) == 2
    names = set(space.commits[-1][1]) - {".gitattributes"}
    assert {"app.py", "requirements.txt", "README.md", "LICENSE", "unet/config.py"} <= names
    assert {"weights/unet/model.onnx", "unet/page/viewer/main.js"} <= names
    files = ("__init__.py", "config.py", "errors.py", "files.py", "provenance.py", "results.py")
    rooms = {
        name.split("/")[1] for name in names if name.startswith("unet/") and name[-3:] == ".py"
    }
    assert rooms - set(files) == {
        "core", "inference", "io", "networks", "page", "publishing"
    }  # fmt: skip
    others = ("tests/test", "train.py", ".ci", "runs", "unet/page/site")
    assert not any(name.startswith(others) or "node_modules" in name for name in names)


def test_a_space_of_something_else_is_not_emptied(hub, environment):
    assert deploy(environment).returncode == 0
    space = hub[1].repositories["spaces/user/page"]
    head, files = space.commits[-1]
    theirs = {"game.py": files["app.py"], "README.md": files["README.md"]}
    space.commits[-1] = (head, theirs)
    done = deploy(environment)
    assert done.returncode == 1
    assert "user/page holds something else (game.py…)" in done.stderr
    assert space.commits[-1][1] == theirs


def test_the_page_imports_and_starts_from_the_uploaded_files_alone(tmp_path, tiny_bundle):
    for name, path in page_files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(path.read_bytes())
    program = "import app; print(type(app.build_page(app.networks_here())).__name__)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"UNET_WEIGHTS": str(tiny_bundle), "SPACE_ID": "user/page"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "Blocks", done.stderr


def test_a_plan_that_is_asked_for_is_said_in_words(hub, environment):
    hub[1].needs_plan = True
    done = deploy(environment)
    assert done.returncode == 1
    assert "a new account needs PRO for a Gradio Space" in done.stderr
    assert "python app.py" in done.stderr
    assert "--kind static" in done.stderr
    assert "Traceback" not in done.stderr


def front_matter(text: str) -> SpaceCardData:
    import yaml

    return SpaceCardData(**yaml.safe_load(text.split("---\n")[1]))


def test_the_front_matter_is_what_a_space_reads():
    card = front_matter((ROOT / "README.md").read_text())
    pinned = (ROOT / "requirements.txt").read_text()
    assert card.sdk == "gradio"
    assert f"gradio[mcp]=={card.sdk_version}" in pinned
    assert card.python_version == "3.11"
    assert (ROOT / card.app_file).exists()


def test_preloading_is_written_into_the_front_matter():
    text = with_preload((ROOT / "README.md").read_text(), "user/unet")
    (line,) = front_matter(text).to_dict()["preload_from_hub"]
    assert line == "user/unet unet.json,model.onnx"


@pytest.mark.parametrize("name", ["page", "a/b/c"])
def test_a_name_that_cannot_be_is_said_in_words(environment, name):
    done = run(environment, "train.py", "deploy", "--kind", "gradio", "--repo", name)
    assert done.returncode == 1
    assert "is not a repository's name" in done.stderr
