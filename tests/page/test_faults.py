"""Whatever is wrong where the page starts, it says so in a sentence and ends, or goes on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

import app
from tests.browser.site import free_port
from unet.errors import UserError
from unet.page.startup_checks import check_address, exit_with_message

pytestmark = pytest.mark.slow

WEIGHTS = app.ROOT / "weights"
START = "import runpy; runpy.run_path('app.py', run_name='__main__')"
NOWHERE_TO_WRITE = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/proc']\n" + START
NOBODY = """
import pwd
def unknown(_):
    raise KeyError
pwd.getpwuid = unknown
"""


def environment(**settings: str) -> dict[str, str]:
    here = {k: v for k, v in os.environ.items() if not k.startswith(("UNET_", "GRADIO_", "HF_"))}
    return here | {"PYTHONPATH": str(app.ROOT), "GRADIO_ANALYTICS_ENABLED": "False"} | settings


def ended(program: str = START, **settings: str) -> str:
    """What the page says that ends at once; no stack."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=app.ROOT, env=environment(**settings), capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("app.py: ")
    return line


@contextmanager
def running(program: str = START, **settings: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """The address of a page that is up with its network; its process. It prints no stack."""
    port = free_port()
    settings = {"UNET_WEIGHTS": str(WEIGHTS / "unet"), "GRADIO_SERVER_PORT": str(port)} | settings
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=app.ROOT, env=environment(**settings),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, process.stderr.read()
            try:
                if httpx2.get(f"{address}/healthz").status_code == 200:
                    break
            except httpx2.TransportError:
                pass
            time.sleep(0.1)
        else:
            raise TimeoutError("the page's network is not ready")
        yield address, process
    finally:
        process.terminate()
        assert "Traceback" not in process.communicate(timeout=30)[1]


@pytest.fixture
def taken() -> Iterator[str]:
    """A port that somebody listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield str(other.getsockname()[1])


def test_a_port_that_is_taken(taken):
    said = ended(GRADIO_SERVER_PORT=taken)
    assert f"cannot be served at 127.0.0.1, port {taken} (Address already in use)" in said


@pytest.mark.parametrize("port", ["seven", "0", "70000", "-1", ""])
def test_what_is_no_port(port, monkeypatch):
    monkeypatch.setenv("GRADIO_SERVER_PORT", port)
    with pytest.raises(UserError, match="must be a number from 1 to 65535"):
        check_address()


@pytest.mark.parametrize("name", ["203.0.113.7", "no such host.invalid"])
def test_an_address_that_is_not_this_machines(name, monkeypatch):
    monkeypatch.setenv("GRADIO_SERVER_NAME", name)
    monkeypatch.delenv("GRADIO_SERVER_PORT", raising=False)
    with pytest.raises(UserError, match=f"cannot be served at {name} "):
        check_address()


@pytest.mark.parametrize("name", ["", "0.0.0.0", "localhost", "127.0.0.1"])
def test_an_address_that_is(name, monkeypatch):
    monkeypatch.setenv("GRADIO_SERVER_NAME", name)
    monkeypatch.setenv("GRADIO_SERVER_PORT", str(free_port()))
    check_address()


def test_no_folder_for_temporary_files():
    assert "no folder for temporary files that can be written to" in ended(NOWHERE_TO_WRITE)


def linked(folder: Path, **others: Path | bytes) -> Path:
    """A bundle like `weights/unet`, of which some files are others."""
    folder.mkdir()
    for path in (WEIGHTS / "unet").iterdir():
        (folder / path.name).symlink_to(path)
    for name, other in others.items():
        path = folder / name.replace("_", ".")
        path.unlink()
        if isinstance(other, bytes):
            path.write_bytes(other)
        else:
            path.symlink_to(other)
    return folder


@pytest.mark.parametrize("fault", ["cut", "of another network"])
def test_weights_that_are_not_what_they_should_be(tmp_path, fault):
    graph = WEIGHTS / "unet" / "model.onnx"
    other = WEIGHTS / "efficientnet-unet" / "model.onnx"
    folder = linked(
        tmp_path / "net", model_onnx=graph.read_bytes()[:999] if fault == "cut" else other
    )
    said = ended(UNET_WEIGHTS=str(folder), GRADIO_SERVER_PORT=str(free_port()))
    assert "model.onnx is not the file that unet.json describes (sha256 differs)" in said


@pytest.mark.parametrize(
    ("files", "words"),
    [(None, "is not a bundle: it has no unet.json"), (b"{", "is not a bundle's unet.json")],
)
def test_weights_that_are_missing_or_say_nothing(tmp_path, monkeypatch, files, words):
    folder = tmp_path / "net"
    if files is not None:
        linked(folder, unet_json=files)
    monkeypatch.setenv("UNET_WEIGHTS", str(folder))
    with pytest.raises(SystemExit, match=words), exit_with_message():
        app.networks_here()


def test_no_weights_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(app, "ROOT", tmp_path)
    monkeypatch.delenv("UNET_WEIGHTS", raising=False)
    with pytest.raises(SystemExit, match="There is no network in weights/"), exit_with_message():
        app.networks_here()


def test_whatever_else_ends_the_start_is_a_sentence_too():
    words = r"^app.py: the page cannot start \(OSError: a b\)$"
    with pytest.raises(SystemExit, match=words), exit_with_message():
        raise OSError("a\n  b")


def test_without_a_home_or_a_user_and_kept_from_the_hub_it_goes_on(tmp_path):
    settings = {"HOME": "", "HF_HUB_OFFLINE": "1", "UNET_REPO": "user/net"}
    program = "import os; del os.environ['HOME']\n" + NOBODY + START
    with running(program, **settings) as (address, _):
        assert httpx2.get(address).status_code == 200


def test_where_the_hub_hangs_and_the_home_cannot_be_written_to_it_goes_on(taken):
    settings = {
        "HOME": "/proc",
        "HF_ENDPOINT": f"http://127.0.0.1:{taken}",
        "UNET_REPO": "user/net",
    }
    with running(**settings) as (address, process):
        assert httpx2.get(address).status_code == 200
        time.sleep(1)
        assert process.poll() is None
