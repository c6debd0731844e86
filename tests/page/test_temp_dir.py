"""What people upload does not outlive the page."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

import app
from tests.browser.site import free_port
from unet.page.temp_dir import LOCK, NAME, private_folder

pytestmark = pytest.mark.slow

PATIENT = b"\x89PNG of a patient"


@pytest.fixture
def start(tmp_path, tiny_bundle):
    """Starts the page with its temporary files in `tmp_path`; gives process and address."""
    started = []

    def run() -> tuple[subprocess.Popen, str]:
        port = free_port()
        environment = os.environ | {
            "TMPDIR": str(tmp_path), "GRADIO_SERVER_PORT": str(port),
            "UNET_WEIGHTS": str(tiny_bundle),
        }  # fmt: skip
        environment.pop("GRADIO_TEMP_DIR", None)
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=app.ROOT, env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        started.append(process)
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                httpx2.get(address)
                return process, address
            except httpx2.TransportError:
                assert process.poll() is None
                time.sleep(0.1)
        raise AssertionError("the page did not start")

    yield run
    for process in started:
        process.kill()
        process.wait()


def uploads(folder: Path) -> list[Path]:
    assert not list(folder.glob("**/*scan*")), "what a person calls a file is on disk"
    files = (path for path in folder.glob(f"{NAME}*/**/*") if path.is_file())
    return [path for path in files if path.read_bytes() == PATIENT]


def test_uploads_lie_in_a_private_folder_and_go_with_the_page(start, tmp_path):
    def give(address: str) -> None:
        files = [("files", ("scan.png", PATIENT))]
        assert httpx2.post(f"{address}/gradio_api/upload", files=files).status_code == 200

    process, address = start()
    give(address)
    (kept,) = uploads(tmp_path)
    folder = next(parent for parent in kept.parents if parent.parent == tmp_path)
    assert folder.stat().st_mode & 0o777 == 0o700
    process.kill()  # by SIGKILL: nothing of ours runs any more
    process.wait()
    assert uploads(tmp_path) == [kept]

    process, address = start()
    assert uploads(tmp_path) == []
    give(address)
    other, _ = start()  # a second page takes nothing from the first
    assert len(uploads(tmp_path)) == 1
    other.kill()
    other.wait()
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)
    assert uploads(tmp_path) == []


def test_a_folder_without_a_lock_is_a_leftover_and_a_held_one_is_not(tmp_path):
    left = tmp_path / f"{NAME}left"
    left.mkdir()
    (left / "scan.png").write_bytes(b"x")
    os.utime(left, (0, 0))
    mine = private_folder(tmp_path)
    assert not left.exists()
    private_folder(tmp_path)
    assert (mine / LOCK).exists()


@pytest.mark.parametrize("day", [-1, 1])
def test_a_folder_from_a_day_that_is_not_yet_is_a_leftover_too(tmp_path, day):
    left = tmp_path / f"{NAME}left"  # its page was killed, then the clock was set back
    left.mkdir()
    os.utime(left, (time.time() + day * 86400,) * 2)
    fresh = tmp_path / f"{NAME}fresh"
    fresh.mkdir()
    private_folder(tmp_path)
    assert (left.exists(), fresh.exists()) == (False, True)
