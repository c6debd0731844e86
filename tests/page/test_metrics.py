"""What a host may look at."""

from __future__ import annotations

import re
import shutil

import httpx2
import pytest
from gradio_client import Client, handle_file
from PIL import Image

import app
from unet.page import metrics, server
from unet.page.metrics import Counts
from unet.page.model_registry import ModelRegistry


@pytest.fixture
def start(monkeypatch):
    """Starts the page for some networks; gives its address."""
    pages = []

    def run(networks: ModelRegistry) -> str:
        page = app.build_page(networks)
        pages.append(page)
        return server.launch(page, networks, prevent_thread_lock=True, quiet=True, **app.LAUNCH)

    yield run
    for page in pages:
        page.close()


def test_the_page_is_healthy_once_its_network_is_there_and_not_where_it_fails(
    start, tiny_bundle, tmp_path, monkeypatch
):
    monkeypatch.delenv("UNET_METRICS", raising=False)
    networks = ModelRegistry([tiny_bundle])
    monkeypatch.setattr(networks, "load_in_background", lambda name: None)
    address = start(networks)
    answer = httpx2.get(f"{address}healthz")
    assert (answer.status_code, answer.json()) == (503, {"state": "loading", "network": "tiny"})
    networks.get("tiny")
    answer = httpx2.get(f"{address}healthz")
    assert (answer.status_code, answer.json()) == (200, {"state": "ready", "network": "tiny"})
    assert httpx2.get(f"{address}metrics").status_code == 404  # nobody asked for them

    broken = shutil.copytree(tiny_bundle, tmp_path / "broken")
    (broken / "model.onnx").write_bytes(b"half")
    networks = ModelRegistry([broken])
    address = start(networks)
    networks.load_in_background("broken").join(60)
    answer = httpx2.get(f"{address}healthz")
    assert (answer.status_code, answer.json()) == (503, {"state": "failed", "network": "broken"})


def test_the_metrics_say_how_much_is_done_and_name_nothing(
    start, tiny_bundle, tmp_path, monkeypatch
):
    monkeypatch.setenv("UNET_METRICS", "1")
    monkeypatch.setattr(metrics, "counts", Counts())
    address = start(ModelRegistry([tiny_bundle]))
    client = Client(address, verbose=False, download_files=tmp_path / "downloads")
    for name, content in (("Jane.png", None), ("Jane 2.png", b"half")):
        Image.new("L", (40, 30), 90).save(tmp_path / name)
        if content:
            (tmp_path / name).write_bytes(content)
    client.predict(handle_file(tmp_path / "Jane.png"), None, api_name="/segment")
    with pytest.raises(Exception, match=r"Jane 2\.png"):
        client.predict(handle_file(tmp_path / "Jane 2.png"), None, api_name="/segment")
    httpx2.get(f"{address}gradio_api/file=/Jane.png")
    httpx2.get(f"{address}Jane.png")
    httpx2.post(f"{address}gradio_api/deep_link")
    answer = httpx2.get(f"{address}metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    text = answer.text
    assert "Jane" not in text
    assert 'unet_errors_total{kind="ImageError"} 1.0' in text
    assert "unet_queue_length 0.0" in text
    for step in ("read", "network", "answer"):
        count = 2 if step == "read" else 1
        assert f'unet_step_seconds_count{{step="{step}"}} {count}.0' in text
    post = 'unet_requests_total{method="POST",route="/gradio_api/upload",status="200"} 2.0'
    assert post in text
    assert 'route="/gradio_api/file={path_or_url:path}",status="403"} 1.0' in text
    assert 'unet_requests_total{method="GET",route="none",status="404"} 1.0' in text
    assert 'unet_requests_total{method="POST",route="none",status="404"} 1.0' in text
    sample = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+')
    for line in text.splitlines():
        assert line.startswith(("# HELP unet_", "# TYPE unet_")) or sample.fullmatch(line), line


def test_seconds_are_counted_in_buckets_that_hold_those_below():
    counts = Counts()
    for seconds in (0.01, 0.02, 0.02, 99.0):
        counts.seconds("read", seconds)
    lines = counts.text(3).splitlines()
    assert 'unet_step_seconds_bucket{le="0.01",step="read"} 1.0' in lines
    assert 'unet_step_seconds_bucket{le="0.025",step="read"} 3.0' in lines
    assert 'unet_step_seconds_bucket{le="10.0",step="read"} 3.0' in lines
    assert 'unet_step_seconds_bucket{le="+Inf",step="read"} 4.0' in lines
    assert 'unet_step_seconds_sum{step="read"} 99.05' in lines
    assert 'unet_step_seconds_count{step="read"} 4.0' in lines
    assert "unet_queue_length 3.0" in lines


def test_methods_that_nobody_knows_are_counted_together():
    counts = Counts()
    for number in range(3):
        counts.request(f"FOO{number}", "none", 405)
    assert 'unet_requests_total{method="other",route="none",status="405"} 3.0' in counts.text(0)


def test_labels_are_escaped():
    counts = Counts()
    counts.request("GET", 'a"b\\c\nd', 200)
    assert 'route="a\\"b\\\\c\\nd"' in counts.text(0)
