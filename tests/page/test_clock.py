"""The clock is set back by a day while the page runs: it answers, and keeps nothing longer."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import httpx2
import pytest
from gradio_client import Client, handle_file
from PIL import Image

import app
from unet.page import server, uploads
from unet.page.model_registry import ModelRegistry

pytestmark = pytest.mark.slow

DAY_S = 86_400


@pytest.fixture
def set_clock(monkeypatch):
    """Sets what the program reads as the time of day; files get the real one."""

    def by(seconds: float) -> None:
        now, day = time.time, datetime.datetime

        class Moved(day):
            @classmethod
            def now(cls, tz=None):
                return day.now(tz) + datetime.timedelta(seconds=seconds)

        monkeypatch.setattr(time, "time", lambda: now() + seconds)
        monkeypatch.setattr(datetime, "datetime", Moved)

    return by


@pytest.mark.parametrize("days", [-1, 1])
def test_uploads_and_answers_go_in_time_and_people_are_served(
    tmp_path, monkeypatch, set_clock, days
):
    folder = tmp_path / "uploads"
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    monkeypatch.setattr(uploads, "MINUTE", 1.0)
    monkeypatch.setattr(uploads, "HOUR", 8.0)
    networks = ModelRegistry([app.ROOT / "weights" / "unet"])
    page = app.build_page(networks)
    address = server.launch(page, networks, prevent_thread_lock=True, quiet=True, **app.LAUNCH)
    try:
        everybodys = {path for one in page.blocks.values() for path in one.keep_in_cache}
        assert everybodys  # the examples
        Image.new("L", (50, 40), 90).save(tmp_path / "scan.png")
        client = Client(address, verbose=False, download_files=tmp_path / "downloads")

        def segment() -> None:
            mask, _ = client.predict(handle_file(tmp_path / "scan.png"), None, api_name="/segment")
            assert Path(mask).exists()

        def left() -> set[str]:
            there = {str(path) for path in folder.rglob("*") if path.is_file()}
            return there - everybodys

        segment()
        assert left()
        set_clock(days * DAY_S)
        segment()
        assert httpx2.get(f"{address}healthz").status_code == 200
        until = time.monotonic() + 120
        while left():
            assert time.monotonic() < until, left()
            time.sleep(0.2)
        segment()
        assert all(Path(path).exists() for path in everybodys)
    finally:
        page.close()
