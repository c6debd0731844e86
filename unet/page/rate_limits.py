"""Rate limits: waiting events in all and by address; more are refused in words."""

from __future__ import annotations

import os

import gradio as gr
from fastapi import HTTPException, Request, status
from gradio.routes import file_upload_statuses
from gradio.state_holder import SessionState
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


def bound_queue(page: gr.Blocks) -> None:
    """Let a page answer 503 where too much waits, and 429 where too much is of one address."""
    if os.environ.get("SPACE_ID"):  # nobody but the host's proxy, which names them, reaches a Space
        os.environ.setdefault("FORWARDED_ALLOW_IPS", "*")
    queue = page._queue
    push = queue.push
    queue.calls = set()  # for `forget_answered`

    async def bounded(body, request: Request, username: str | None):
        if len(queue) >= MAX_WAITING:
            return False, BUSY, "queue_full"  # which Gradio answers by 503
        if _of_address(queue, request.client.host) >= MAX_OF_ONE_ADDRESS:
            raise HTTPException(
                status.HTTP_429_TOO_MANY_REQUESTS,
                TOO_MANY.format(MAX_OF_ONE_ADDRESS),
                {"Retry-After": RETRY_S},
            )
        by_program = body.session_hash is None  # which Gradio then sets
        pushed, event, state = await push(body=body, request=request, username=username)
        if pushed and by_program:
            queue.calls.add(event)
        return pushed, event, state

    queue.push = bounded


def forget_answered(page: gr.Blocks) -> None:
    """Let Gradio forget the calls by programs that are answered, and uploads that are over.

    Of its own accord it keeps a mailbox for each of the last 2,000 callers, a call being one, and
    a list of events for all. Browsers keep theirs: one may hold a stream open, or be about to,
    for which nothing waits, and without a mailbox that ends in an error.
    To be called from the page's event loop, where nothing is between asking and being listed.
    """
    queue = page._queue
    mailboxes, waiting = queue.pending_messages_per_session, queue.pending_event_ids_session
    for call in [call for call in queue.calls if not waiting.get(call)]:
        queue.calls.discard(call)
        mailboxes.pop(call, None)
    for caller in waiting.keys() - mailboxes.keys():
        del waiting[caller]
    uploading, signals = file_upload_statuses._statuses, file_upload_statuses._signals
    for upload in [one for one, begun in signals.items() if begun.is_set()]:
        if upload not in uploading:  # it is over, and so is telling how far it was
            del signals[upload]


def keep_no_answers() -> None:
    """Let Gradio keep nothing of what it answers, for this process.

    Of its own accord it keeps each visitor's last picture and downloads, also when they have left,
    to show them again under a link to their session, which this page does not offer.
    """
    SessionState._update_value_in_config = lambda *_: None


class BoundBodies:
    """ASGI middleware: answers 413 to a request past `MAX_BODY`; each uploaded file has a bound of
    its own."""

    def __init__(self, app):
        self._app, self._bounded = app, RequestBodyLimitMiddleware(app, MAX_BODY)

    async def __call__(self, scope, receive, send):
        uploads = scope["type"] == "http" and scope["path"].rstrip("/").endswith("/upload")
        await (self._app if uploads else self._bounded)(scope, receive, send)


def _of_address(queue, host: str) -> int:
    """Number of waiting or running events of an address."""
    waiting = (
        event for one in queue.event_queue_per_concurrency_id.values() for event in one.queue
    )
    running = (event for job in queue.active_jobs if job for event in job)
    return sum(
        event.request.client.host == host for events in (waiting, running) for event in events
    )
