"""Starts the page: what it answers carries headers that keep it to itself."""

from __future__ import annotations

import asyncio
import base64
import ctypes
import hashlib
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import gradio as gr
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse

from unet.page import gradio_patches, metrics, rate_limits, uploads
from unet.page.model_registry import ModelRegistry

SOURCES = {
    "default-src": "'self'",
    # Gradio makes a function of every template and script of gr.HTML, which the viewer is: that is
    # `unsafe-eval`. Its inline scripts are allowed by their hashes, which `policy` adds.
    "script-src": "'self' 'unsafe-eval'",
    "style-src": "'self' 'unsafe-inline'",  # its components write style attributes
    "img-src": "'self' data: blob:",  # maps and pictures come as data
    "media-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "connect-src": "'self' data: blob:",
    "worker-src": "'self' blob:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'self' https://huggingface.co",  # which shows a Space in a frame
}
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
INLINE_SCRIPT = re.compile(rb"<script(?![^>]*\ssrc\s*=)[^>]*>(.*?)</script>", re.DOTALL | re.I)
CLOSED = ("/gradio_api/deep_link",)
"""Gradio's routes that are closed: they write a visitor's state to a file."""


KEEP_ALIVE_S = 75
"""Seconds that an idle connection stays open: longer than proxies keep theirs (nginx 60 s,
most clients 5), so that none sends on one that is being closed. Uvicorn's own 5 s lose requests."""


def launch(
    page: gr.Blocks, networks: ModelRegistry, prevent_thread_lock: bool = False, **settings: Any
) -> str:
    """`gr.Blocks.launch` with this project's headers, `/healthz` and `/metrics`; the address.

    Args:
        page: The page.
        networks: Those it runs, of which `/healthz` tells.
        prevent_thread_lock: Whether to return while the page runs.
        settings: As `gr.Blocks.launch` takes them.
    """
    gradio_patches.install(page)
    page.api_open = False  # else `/run/NAME` would pass by the queue and its bounds

    @asynccontextmanager
    async def sweeping(_: Any) -> AsyncIterator[None]:
        task = asyncio.create_task(_sweep(page))
        yield
        task.cancel()

    _, address, _ = page.launch(
        app_kwargs={
            "middleware": [
                Middleware(metrics.CountRequests),
                Middleware(Guard),
                Middleware(rate_limits.BoundBodies),
            ],
            "routes": metrics.routes(page, networks),
            "lifespan": sweeping,
        },
        ssr_mode=False,  # pages made by Node, and files given by workers, would lack the headers
        num_workers=0,
        state_session_capacity=rate_limits.MAX_SESSIONS,
        prevent_thread_lock=True,
        **settings,
    )
    page.server.config.timeout_keep_alive = KEEP_ALIVE_S  # read as each connection comes
    if not prevent_thread_lock:
        page.block_thread()
    return address


async def _sweep(page: gr.Blocks) -> None:
    """Every minute, remove the files that are too old, and let Gradio forget what is over."""
    sweeper = uploads.Sweeper()
    while True:
        await asyncio.sleep(uploads.MINUTE)
        # Something may be seen a minute late, and be removed another one late.
        age = uploads.HOUR - 2 * uploads.MINUTE
        kept = {path for one in list(page.blocks.values()) for path in one.keep_in_cache}
        try:
            gradio_patches.forget_answered(page)
            await run_in_threadpool(give_memory_back)
            await run_in_threadpool(sweeper.sweep, age, page.temp_file_sets, kept)
            await run_in_threadpool(uploads.forget_gone, page.temp_file_sets)
        except Exception as error:  # such as a disk's: the next minute may be better
            metrics.count_error(type(error).__name__)
            print(f"sweeping: {type(error).__name__}", file=sys.stderr)  # no names


def give_memory_back() -> None:
    """Give the system what the C library keeps of memory that is free, where that is glibc.

    Left to itself it spreads the free pieces over ever more pages: under 50 visitors the process
    was a seventh larger without this.
    """
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


class Guard:
    """ASGI middleware: adds the headers to every answer."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if scope["path"].rstrip("/").endswith(CLOSED):
            return await PlainTextResponse("Not Found", 404)(scope, receive, _Answer(send))
        answer = _Answer(send)
        try:
            await self.app(scope, receive, answer)
        except Exception as error:
            if not answer.started and uploads.is_of_the_disk(error):
                metrics.count_error("Disk")
                print(f"disk: {type(error).__name__}", file=sys.stderr)  # no names
                return await PlainTextResponse(uploads.CANNOT_KEEP, 507)(scope, receive, answer)
            if not answer.started:  # what is outside would answer without the headers
                await PlainTextResponse("Internal Server Error", 500)(scope, receive, answer)
            raise


class _Answer:
    """Sends an answer on; one that is a page is held back until its scripts are known."""

    def __init__(self, send):
        self._send = send
        self._start, self._body = None, b""
        self.started = False

    async def __call__(self, message):
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            if headers.get("content-type", "").startswith("text/html"):
                self._start = message
                return
            await self._send(_with_headers(message, b""))
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._send(_with_headers(self._start, self._body))
                await self._send({"type": "http.response.body", "body": self._body})


def policy(page: bytes) -> str:
    """The content security policy of a page in HTML: no other host, and its own inline scripts."""
    hashes = (
        f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
        for script in INLINE_SCRIPT.findall(page)
    )
    own = SOURCES | {"script-src": " ".join([SOURCES["script-src"], *hashes])}
    return "; ".join(f"{name} {sources}" for name, sources in own.items())


def _with_headers(message: dict, page: bytes) -> dict:
    headers = MutableHeaders(scope=message)
    headers["Content-Security-Policy"] = policy(page)
    for name, value in HEADERS.items():
        headers[name] = value
    return message
