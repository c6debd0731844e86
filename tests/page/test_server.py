"""The headers that keep the page to itself."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import app
from benchmarks.processes import resident_mib
from unet.page import rate_limits, server
from unet.page.model_registry import ModelRegistry
from unet.page.server import Guard, policy


@pytest.fixture(scope="module")
def launched(tiny_bundle):
    networks = ModelRegistry([tiny_bundle])
    page = app.build_page(networks)
    settings = {"prevent_thread_lock": True, "quiet": True, **app.LAUNCH}
    yield page, server.launch(page, networks, **settings)
    page.close()


@pytest.fixture(scope="module")
def address(launched):
    return launched[1]


def test_of_those_who_came_the_last_are_remembered(launched):
    page, _ = launched
    for number in range(rate_limits.MAX_SESSIONS + 20):
        page.app.state_holder[f"visitor {number}"]
    assert len(page.app.state_holder.session_data) <= rate_limits.MAX_SESSIONS


def test_sweeping_goes_on_after_a_minute_that_fails(launched, monkeypatch, capsys):
    page, _ = launched
    minutes = []

    def sweep(*_: object) -> None:
        minutes.append(len(minutes))
        if len(minutes) == 1:
            raise OSError(24, "Too many open files", "/tmp/Doe.png")

    async def run() -> None:
        task = asyncio.create_task(server._sweep(page))
        while len(minutes) < 3:
            assert not task.done()
            await asyncio.sleep(0.01)
        task.cancel()

    monkeypatch.setattr(server.uploads, "MINUTE", 0.01)
    monkeypatch.setattr(server.uploads.Sweeper, "sweep", sweep)
    with ThreadPoolExecutor() as pool:  # the browser tests keep a loop in this thread
        pool.submit(lambda: asyncio.run(asyncio.wait_for(run(), 30))).result()
    assert capsys.readouterr().err == "sweeping: OSError\n"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_that_is_free_is_given_back():
    pieces = [np.ones(1 << 12, np.uint8) for _ in range(40_000)]  # 156 MiB
    pieces = pieces[:1] + pieces[-1:]  # which keeps all between them in the heap
    before = resident_mib(os.getpid())
    server.give_memory_back()
    assert len(pieces) == 2
    assert resident_mib(os.getpid()) < before - 40


def test_a_connection_without_a_request_outlives_those_of_clients(address):
    with httpx2.Client(base_url=address, limits=httpx2.Limits(keepalive_expiry=None)) as client:
        first = client.get("healthz").extensions["network_stream"]
        time.sleep(6)  # Uvicorn's own are closed after 5
        assert client.get("healthz").extensions["network_stream"] is first


def sources(answer, name: str) -> list[str]:
    directives = answer.headers["content-security-policy"].split("; ")
    found = dict(directive.split(" ", 1) for directive in directives)
    return found[name].split()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("", 200),
        ("config", 200),
        ("gradio_api/info", 200),
        ("healthz", 200),
        ("nowhere", 404),
        ("gradio_api/file=/etc/passwd", 403),
        ("gradio_api/deep_link?session_hash=x", 404),
    ],
)
def test_every_answer_has_the_headers(address, path, status):
    answer = httpx2.get(f"{address}{path}")
    if path == "healthz":  # the network may be on its way
        status = answer.status_code
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert sources(answer, "default-src") == ["'self'"]


def test_no_other_host_may_be_asked_and_only_the_hub_may_frame_the_page(address):
    answer = httpx2.get(address)
    hosts = [word for word in answer.headers["content-security-policy"].split() if "//" in word]
    assert hosts == ["https://huggingface.co"]
    assert sources(answer, "frame-ancestors") == ["'self'", "https://huggingface.co"]
    assert "x-frame-options" not in answer.headers


def test_scripts_in_the_page_are_allowed_by_their_hash_alone(address):
    answer = httpx2.get(address)
    allowed = sources(answer, "script-src")
    assert allowed[:2] == ["'self'", "'unsafe-eval'"]
    assert "'unsafe-inline'" not in allowed
    scripts = [part.split("</script>")[0] for part in answer.text.split("<script>")[1:]]
    assert scripts
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in allowed


def test_a_script_with_an_address_has_no_hash():
    page = b'<script src="/a.js">x()</script><script data-src="b">y()</script>'
    digest = base64.b64encode(hashlib.sha256(b"y()").digest()).decode()
    assert f"script-src 'self' 'unsafe-eval' 'sha256-{digest}';" in policy(page)


def fails(_):
    raise RuntimeError("a secret")


def parts(_):
    return StreamingResponse(iter([b"<script>a", b"lert(1)</script>"]), media_type="text/html")


def test_pages_in_parts_and_answers_that_fail_have_them_too():
    routes = [
        Route("/fails", fails),
        Route("/parts", parts),
        Route("/head", lambda _: HTMLResponse("<p>"), methods=["GET"]),
        Route("/plain", lambda _: PlainTextResponse("x")),
    ]
    guarded = Starlette(routes=routes, middleware=[Middleware(Guard)])
    client = TestClient(guarded, raise_server_exceptions=False)
    answer = client.get("/fails")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    assert sources(answer, "default-src") == ["'self'"]
    answer = client.get("/parts")
    assert answer.text == "<script>alert(1)</script>"
    digest = base64.b64encode(hashlib.sha256(b"alert(1)").digest()).decode()
    assert f"'sha256-{digest}'" in sources(answer, "script-src")
    assert client.head("/head").headers["referrer-policy"] == "no-referrer"
    assert client.get("/plain").text == "x"
