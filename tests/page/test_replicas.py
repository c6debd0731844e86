"""Several page processes behind a proxy that keeps each visitor with the one they came to."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

import app
from benchmarks.load import FIELD, pages, use
from benchmarks.proxy import COOKIE, Proxy

pytestmark = pytest.mark.slow

UNET = str(app.ROOT / "weights" / "unet")


@contextmanager
def served(application) -> Iterator[str]:
    """The address of an ASGI application, by a thread."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        quiet = {"log_level": "error", "ws": "none", "proxy_headers": False}
        server = uvicorn.Server(uvicorn.Config(application, **quiet))
        thread = threading.Thread(target=server.run, args=[[listening]])
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


class Upstream:
    """A page's stand-in, which says which one it is, and streams."""

    def __init__(self, name: str):
        self.name, self.left = name, threading.Event()
        self.go_on = threading.Event()
        routes = [
            Route("/who", self.who, methods=["GET", "POST"]),
            Route("/stream", self.stream),
        ]
        self.application = Starlette(routes=routes)

    async def who(self, request: Request) -> JSONResponse:
        said = {name: request.headers.get(name) for name in ("host", "x-forwarded-for")}
        content = (await request.body()).decode()
        return JSONResponse(said | {"name": self.name, "content": content, "url": str(request.url)})

    async def stream(self, _: Request) -> StreamingResponse:
        async def pieces():
            try:
                yield "data: first\n\n"
                while not self.go_on.is_set():
                    await asyncio.sleep(0.01)
                yield "data: last\n\n"
                while True:
                    await asyncio.sleep(0.01)
            finally:
                self.left.set()

        return StreamingResponse(pieces(), media_type="text/event-stream")


@pytest.fixture
def upstreams() -> Iterator[tuple[str, list[Upstream]]]:
    """A proxy's address and the two pages behind it."""
    both = [Upstream("a"), Upstream("b")]
    with (
        served(both[0].application) as first,
        served(both[1].application) as second,
        served(Proxy([first, second])) as address,
    ):
        yield address, both


def test_each_new_visitor_gets_the_next_page_and_stays_with_it(upstreams):
    address, _ = upstreams
    met = []
    for _ in range(4):
        with httpx2.Client(base_url=address) as visitor:
            met.append({visitor.get("/who").json()["name"] for _ in range(3)})
    assert met == [{"a"}, {"b"}, {"a"}, {"b"}]
    for unknown in ("9", "-1", "x", ""):
        answer = httpx2.get(f"{address}/who", headers={"Cookie": f"{COOKIE}={unknown}"})
        assert answer.cookies[COOKIE] in "01"


def test_a_request_arrives_as_it_was_sent(upstreams):
    address, _ = upstreams
    answer = httpx2.post(
        f"{address}/who?a=%20b&c", content=b"x" * 300_000, headers={"X-Forwarded-For": "1.2.3.4"}
    ).json()
    assert answer["content"] == "x" * 300_000
    assert answer["url"] == f"{address}/who?a=%20b&c"
    assert answer["x-forwarded-for"] == "1.2.3.4, 127.0.0.1"


def test_a_stream_passes_piece_by_piece_and_ends_where_the_visitor_leaves(upstreams):
    address, (page, _) = upstreams
    with httpx2.stream("GET", f"{address}/stream", timeout=20) as answer:
        pieces = answer.iter_text()
        assert next(pieces) == "data: first\n\n"  # nothing else has been sent yet
        page.go_on.set()
        assert next(pieces) == "data: last\n\n"
        assert not page.left.is_set()
    assert page.left.wait(20)


def test_a_page_that_is_gone_is_told_in_words():
    with served(Proxy(["http://127.0.0.1:1"])) as address:
        answer = httpx2.get(address)
    assert (answer.status_code, answer.text) == (502, "replica 0 does not answer: ConnectError")


@pytest.fixture(scope="module")
def replicas() -> Iterator[tuple[str, list[int]]]:
    with pages(2, UNET_WEIGHTS=UNET) as running:
        yield running


def test_behind_two_replicas_nobody_loses_an_answer_or_gets_anothers(replicas):
    with ThreadPoolExecutor() as pool:  # the browser tests keep a loop in this thread
        seen = pool.submit(use, *replicas, people=6, seconds=5, batch=5).result()
    assert (seen.refused, seen.dropped, seen.swapped, seen.strayed) == ([], [], 0, 0)
    assert seen.replicas == {"0": 3, "1": 3}
    assert len(seen.answers) >= 6  # each at least one
    assert seen.batch is not None


def test_without_the_cookie_an_upload_is_not_where_it_is_asked_for(replicas):
    address, _ = replicas
    files = [("files", ("scan.png", b"\x89PNG"))]
    sent = httpx2.post(f"{address}/gradio_api/upload", files=files)
    other = str(1 - int(sent.cookies[COOKIE]))
    data = {"data": [{"path": sent.json()[0]} | FIELD, None]}
    with httpx2.Client(base_url=address, cookies={COOKIE: other}, timeout=60) as visitor:
        base = "/gradio_api/call/segment"
        event = visitor.post(base, json=data).json()["event_id"]
        answer = visitor.get(f"{base}/{event}").text
    assert "event: error" in answer
    assert "was uploaded to this page" in answer
