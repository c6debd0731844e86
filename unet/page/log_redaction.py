"""Log redaction: an error's kind and place, never its message.

The message of an error may hold a file's name or what a header says of a patient. Gradio prints it
on stderr, and so does the server under it.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator

from unet.page import metrics


def stack_of(error: BaseException) -> str:
    """Kinds and places of an error and of those that led to it."""
    parts = []
    for each in _chain(error):
        parts += traceback.format_tb(each.__traceback__)
        parts.append(f"{type(each).__module__}.{type(each).__qualname__}\n")
    return "".join(parts)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The first cause first."""
    if error is None:
        return
    context = None if error.__suppress_context__ else error.__context__
    yield from _chain(error.__cause__ or context)
    yield error


def print_error() -> None:
    """Say on stderr what is being handled, and count it."""
    error = sys.exc_info()[1]
    metrics.count_error(type(error).__name__)
    print(stack_of(error), file=sys.stderr, end="")


class WithoutMessages(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text, record.exc_info = stack_of(record.exc_info[1]), None
        return True
