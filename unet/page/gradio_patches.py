"""Changes to Gradio 6.31 that none of its settings makes: a function a patch.

Each says why it is there. `NEEDED` names for each the code of Gradio that it stands against; a test
fails once that code is gone, so that the patch can go too.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from types import SimpleNamespace
from typing import Any

import gradio as gr
from fastapi import HTTPException, Request, status
from gradio import processing_utils, queueing, route_utils, routes
from gradio.exceptions import InvalidPathError
from gradio.mcp import GradioMCPServer
from gradio.routes import file_upload_statuses
from gradio.state_holder import SessionState

from unet.page import log_redaction, metrics, rate_limits, uploads

NOT_UPLOADED = "expected a file that was uploaded to this page. Upload it first, then name it."
NOT_MEANT = "expected what this endpoint takes, as the page's API documentation shows it."
LOGGERS = ("uvicorn.error", "asyncio", "mcp.server.lowlevel.server")
NEEDED = {
    "name_uploads_at_random": ("route_utils.py", "file_name = Path(temp_file.filename).name"),
    "redact_tracebacks": ("queueing.py", "traceback.print_exc()"),
    "bound_queue": ("queueing.py", "Queue is full. Max size is"),
    "forget_answered": ("queueing.py", "pending_messages_per_session"),
    "keep_no_answers": ("blocks.py", "state._update_value_in_config(block._id"),
    "allow_fewer_inputs": ("blocks.py", "if len(inputs) < len(dep_inputs):"),
    "refuse_in_words": ("processing_utils.py", "InvalidPathError"),
    "convert_lists_of_files": ("mcp.py", "path in filedata_positions"),
    "split_tool_outputs": ("mcp.py", "return [result]"),
}
"""File of Gradio and a part of its code, by the patch that changes what it does."""


def install(page: gr.Blocks) -> None:
    """Install all patches but those of `build_page`: for this process, and for its page."""
    name_uploads_at_random()
    redact_tracebacks()
    bound_queue(page)
    keep_no_answers()
    convert_lists_of_files()
    split_tool_outputs()


def name_uploads_at_random() -> None:
    """Write what arrives under random names: Gradio's own names could be patients'.

    Files given by an address are fetched from public hosts alone, within bounds of size and time.
    """
    route_utils.GradioMultiPartParser = uploads.UploadParser
    processing_utils.async_ssrf_protected_download = uploads.download


def redact_tracebacks() -> None:
    """Print an error's kind and place, but no message: Gradio prints whole tracebacks.

    Nor does pydicom warn of values that are not as they should be: it would quote them.
    """
    warnings.filterwarnings("ignore", module=r"(pydicom|highdicom)\.")
    for module in (queueing, routes):
        module.traceback = SimpleNamespace(print_exc=log_redaction.print_error)
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(f, log_redaction.WithoutMessages) for f in logger.filters):
            logger.addFilter(log_redaction.WithoutMessages())


def bound_queue(page: gr.Blocks) -> None:
    """Answer 503 when too much waits, and 429 when too much is of one address.

    `queue(max_size=)` bounds the queue, but not an address, and its words are not for visitors.
    """
    if os.environ.get("SPACE_ID"):  # the host's proxy alone, which names people, reaches a Space
        os.environ.setdefault("FORWARDED_ALLOW_IPS", "*")
    queue = page._queue
    push = queue.push
    queue.calls = set()  # for `forget_answered`

    async def bounded(body, request: Request, username: str | None):
        if len(queue) >= rate_limits.MAX_WAITING:
            return False, rate_limits.BUSY, "queue_full"  # which Gradio answers by 503
        if (
            rate_limits.count_of_address(queue, request.client.host)
            >= rate_limits.MAX_OF_ONE_ADDRESS
        ):
            raise HTTPException(
                status.HTTP_429_TOO_MANY_REQUESTS,
                rate_limits.TOO_MANY.format(rate_limits.MAX_OF_ONE_ADDRESS),
                {"Retry-After": rate_limits.RETRY_S},
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
    """Keep nothing of what the page answers.

    Of its own accord Gradio keeps each visitor's last picture and downloads, also when they have
    left, to show them again under a link to their session, which this page does not offer.
    """
    SessionState._update_value_in_config = lambda *_: None


def allow_fewer_inputs(page: gr.Blocks, endpoint: str) -> None:
    """Let callers of an endpoint leave out its last values; Gradio asks programs for all."""
    validate = page.validate_inputs

    def padded(block_fn, inputs: list):
        if block_fn.api_name == endpoint:
            inputs.extend([None] * (len(block_fn.inputs) - len(inputs)))
        return validate(block_fn, inputs)

    page.validate_inputs = padded


def refuse_in_words(page: gr.Blocks) -> None:
    """Let a page say in words what of a request cannot be meant, and that its disk fails.

    Gradio's own words name folders of this machine and objects in its memory.
    """
    preprocess = page.preprocess_data

    async def checked(*args, **options):
        try:
            return await preprocess(*args, **options)
        except gr.Error:
            raise
        except InvalidPathError:
            raise gr.Error(NOT_UPLOADED, print_exception=False) from None
        except Exception as error:  # of many kinds, Gradio's and pydantic's
            if uploads.is_of_the_disk(error):
                raise
            print(f"request: {type(error).__name__}", file=sys.stderr)  # no names
            raise gr.Error(NOT_MEANT, print_exception=False) from None

    process = page.process_api

    async def answered(*args, **options):
        try:
            return await process(*args, **options)
        except Exception as error:
            if not uploads.is_of_the_disk(error):
                raise
            metrics.count_error("Disk")
            print(f"disk: {type(error).__name__}", file=sys.stderr)  # no names
            raise gr.Error(uploads.CANNOT_KEEP, duration=None, print_exception=False) from None

    # Subclasses would write interface files beside this one.
    page.preprocess_data, page.process_api = checked, answered


def convert_lists_of_files() -> None:
    """Let tools of the Model Context Protocol take lists of files.

    Gradio 6.31 notes that the items of a list are files, as `[name, "items"]`, and then looks for
    them at `[name, 0]`: the addresses stay text, and every call fails.
    """
    if getattr(GradioMCPServer.convert_strings_to_filedata, "takes_lists", False):
        return
    convert = GradioMCPServer.convert_strings_to_filedata

    def convert_with_lists(
        self: GradioMCPServer, value: Any, filedata_positions: list[list[str | int]]
    ) -> Any:
        positions = list(filedata_positions)
        for name, *rest in filedata_positions:
            if rest == ["items"] and isinstance(value.get(name), list):
                positions += [[name, index] for index in range(len(value[name]))]
        return convert(self, value, positions)

    convert_with_lists.takes_lists = True
    GradioMCPServer.convert_strings_to_filedata = convert_with_lists


def split_tool_outputs() -> None:
    """Let tools of the Model Context Protocol answer with an image beside their text.

    Gradio 6.31 takes several outputs for one where the client asks for no progress, and writes it
    as text: the mask is then no image.
    """
    if getattr(GradioMCPServer._execute_tool_without_progress, "splits_outputs", False):
        return
    execute = GradioMCPServer._execute_tool_without_progress

    async def execute_and_split(self: GradioMCPServer, job: Any) -> list[Any]:
        outputs = await execute(self, job)
        several = len(outputs) == 1 and isinstance(outputs[0], list | tuple)
        return list(outputs[0]) if several else outputs

    execute_and_split.splits_outputs = True
    GradioMCPServer._execute_tool_without_progress = execute_and_split
