"""Health and metrics endpoints for the host, without names of files.

The numbers are counted in any case, and given in Prometheus' text format where `UNET_METRICS=1`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

if TYPE_CHECKING:
    import gradio as gr

    from unet.page.model_registry import ModelRegistry

BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram's buckets in seconds."""
METHODS = frozenset(("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"))

Step = Literal["read", "network", "answer"]
"""Opening a file; running the network; mask, findings and pictures for whoever asked."""


class Counts:
    """Requests, errors and seconds since the start. Safe to share between threads."""

    def __init__(self):
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "unet_requests", "Requests by route and status.", ("method", "route", "status"),
            registry=registry,
        )  # fmt: skip
        self._errors = Counter("unet_errors", "Errors by kind.", ("kind",), registry=registry)
        self._waiting = Gauge("unet_queue_length", "Events that wait.", registry=registry)
        self._seconds = Histogram(
            "unet_step_seconds", "Seconds by step.", ("step",), buckets=BOUNDS_S, registry=registry
        )

    def request(self, method: str, route: str, status: int) -> None:
        """Count an answered request by the template of its route, never by its address."""
        self._requests.labels(method if method in METHODS else "other", route, status).inc()

    def error(self, kind: str) -> None:
        """Count an error by the name of its class."""
        self._errors.labels(kind).inc()

    def seconds(self, step: str, seconds: float) -> None:
        """Add the seconds of a step."""
        self._seconds.labels(step).observe(seconds)

    def text(self, queue_length: int) -> str:
        """All metrics in Prometheus' text format."""
        self._waiting.set(queue_length)
        return generate_latest(self._registry).decode()


disable_created_metrics()  # nobody asks when a counter was made

counts = Counts()
"""Metrics of this process."""


def count_error(kind: str) -> None:
    """Count an error by the name of its class."""
    counts.error(kind)


@contextmanager
def step(name: Step) -> Iterator[None]:
    """Count how long what is inside takes."""
    started = time.perf_counter()
    try:
        yield
    finally:
        counts.seconds(name, time.perf_counter() - started)


class CountRequests:
    """ASGI middleware: counts what is answered."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        status = 500  # where nothing was sent

        async def sent(message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, sent)
        finally:
            counts.request(scope["method"], _template(scope), status)


def _template(scope) -> str:
    """A request's route as it is written in the program; an address may hold a file's name."""
    return getattr(scope.get("route"), "path", None) or "none"


def routes(page: gr.Blocks, networks: ModelRegistry) -> list[Route]:
    """`/healthz`, and `/metrics` where the environment asks for it."""

    async def health(request: Request) -> JSONResponse:
        name = networks.default
        state = networks.state(name)
        body = {"state": state, "network": name}
        return JSONResponse(body, 200 if state == "ready" else 503)

    async def metrics(request: Request) -> PlainTextResponse:
        return PlainTextResponse(counts.text(len(page._queue)), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    found = [Route("/healthz", health)]
    if os.environ.get("UNET_METRICS") == "1":
        found.append(Route("/metrics", metrics))
    return found
