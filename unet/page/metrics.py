"""Health and metrics endpoints for the host, without names of files.

The numbers are counted in any case, and given in Prometheus' text format where `UNET_METRICS=1`.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

if TYPE_CHECKING:
    import gradio as gr

    from unet.page.model_registry import ModelRegistry

BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets that a step's seconds are counted in."""
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

METHODS = frozenset(("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"))

Step = Literal["read", "network", "answer"]
"""Opening a file; running the network; mask, findings and pictures for whoever asked."""


class Counts:
    """Requests, errors and seconds since the start. Safe to share between threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, str, int], int] = defaultdict(int)
        self._errors: dict[str, int] = defaultdict(int)
        self._seconds: dict[str, list[float]] = {}  # in each bucket, past the last one, their sum

    def request(self, method: str, route: str, status: int) -> None:
        """Count an answered request by the template of its route, never by its address."""
        with self._lock:
            self._requests[method if method in METHODS else "other", route, status] += 1

    def error(self, kind: str) -> None:
        """Count an error by the name of its class."""
        with self._lock:
            self._errors[kind] += 1

    def seconds(self, step: str, seconds: float) -> None:
        """Count how long a step took."""
        bucket = sum(seconds > bound for bound in BOUNDS_S)
        with self._lock:
            row = self._seconds.setdefault(step, [0] * (len(BOUNDS_S) + 1) + [0.0])
            row[bucket] += 1
            row[-1] += seconds

    def text(self, queue_length: int) -> str:
        """Everything in Prometheus' text format."""
        with self._lock:
            requests = [
                (f'method="{method}",route="{_escaped(route)}",status="{status}"', count)
                for (method, route, status), count in sorted(self._requests.items())
            ]
            errors = [(f'kind="{_escaped(kind)}"', n) for kind, n in sorted(self._errors.items())]
            seconds = [line for step in sorted(self._seconds) for line in self._histogram(step)]
        lines = [
            *_family("unet_requests_total", "counter", "Requests by route and status.", requests),
            *_family("unet_errors_total", "counter", "Errors by kind.", errors),
            *_family("unet_queue_length", "gauge", "Events that wait.", [("", queue_length)]),
            "# HELP unet_step_seconds Seconds by step.",
            "# TYPE unet_step_seconds histogram",
            *seconds,
        ]
        return "\n".join(lines) + "\n"

    def _histogram(self, step: str) -> Iterator[str]:
        *buckets, total = self._seconds[step]
        count = 0
        for bound, here in zip((*BOUNDS_S, "+Inf"), buckets):
            count += here
            yield f'unet_step_seconds_bucket{{step="{step}",le="{bound}"}} {count}'
        yield f'unet_step_seconds_sum{{step="{step}"}} {total:.6f}'
        yield f'unet_step_seconds_count{{step="{step}"}} {count}'


def _family(
    name: str, kind: str, meaning: str, samples: Iterable[tuple[str, float]]
) -> Iterator[str]:
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        yield f"{name}{{{labels}}} {value}" if labels else f"{name} {value}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


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
        return PlainTextResponse(counts.text(len(page._queue)), media_type=MEDIA_TYPE)

    found = [Route("/healthz", health)]
    if os.environ.get("UNET_METRICS") == "1":
        found.append(Route("/metrics", metrics))
    return found
