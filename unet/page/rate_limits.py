"""Rate limits: waiting events in all and by address; more are refused in words."""

from __future__ import annotations

from starlette.middleware.body_limit import RequestBodyLimitMiddleware

MAX_WAITING = 200
"""Events that wait at once, of all visitors: less than half a minute of work for two cores."""
MAX_OF_ONE_ADDRESS = 50
"""Events of one address that wait or run at once. A clinic's people may share an address."""
MAX_SESSIONS = 200
"""Visitors and calls of whom Gradio keeps a copy of the page's settings, 0.1 MiB each; of its own
accord 10,000. Nothing here is kept in it: who is forgotten does not notice."""
MAX_BODY = 64 << 20
"""Bytes of a request that brings no files: a mask by hand of the largest picture is less."""

BUSY = "The page has as much to do as it takes on. Try again in a few seconds."
TOO_MANY = "From your address {} requests wait already. Wait for their answers, then ask again."
RETRY_S = "5"


class BoundBodies:
    """ASGI middleware: answers 413 to a request past `MAX_BODY`; each uploaded file has a bound of
    its own."""

    def __init__(self, app):
        self._app, self._bounded = app, RequestBodyLimitMiddleware(app, MAX_BODY)

    async def __call__(self, scope, receive, send):
        uploads = scope["type"] == "http" and scope["path"].rstrip("/").endswith("/upload")
        await (self._app if uploads else self._bounded)(scope, receive, send)


def count_of_address(queue, host: str) -> int:
    """Number of waiting or running events of an address."""
    waiting = (
        event for one in queue.event_queue_per_concurrency_id.values() for event in one.queue
    )
    running = (event for job in queue.active_jobs if job for event in job)
    return sum(
        event.request.client.host == host for events in (waiting, running) for event in events
    )
