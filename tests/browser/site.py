"""Builds and serves the page without a server for the tests."""

from __future__ import annotations

import functools
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect


def ready(page: Page) -> None:
    """Wait until the site's network is."""
    expect(page.locator("#status")).to_contain_text("ready", timeout=30_000)


@functools.cache
def npm_answers() -> bool:
    """Return True if npm and its registry answer; asked when the first test needs them."""
    npm = shutil.which("npm")
    if npm is None:
        return False
    done = subprocess.run([npm, "view", "fflate", "version"], capture_output=True, check=False)
    return done.returncode == 0


needs_npm = pytest.mark.needs_npm


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder that `python -m http.server` serves."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "-d", str(folder)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(100):
            with socket.socket() as there:
                if there.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.wait()
