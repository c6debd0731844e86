"""Startup checks: a failed one ends the page with a sentence.

Nothing here imports Gradio, which reads the environment while it is imported.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from unet.errors import UserError


@contextmanager
def exit_with_message() -> Iterator[None]:
    """End the program with a sentence where what is inside cannot be done; no stack."""
    try:
        yield
    except UserError as error:
        sys.exit(f"app.py: {error}")
    except Exception as error:
        words = " ".join(str(error).split())
        sys.exit(f"app.py: the page cannot start ({type(error).__name__}: {words})")


def check_address() -> None:
    """Check that the page can be served at the address of the environment.

    Left alone, Gradio takes another port where the one that was asked for is taken, and whoever
    looks at that one finds somebody else.

    Raises:
        UserError: The port is no port or is taken, or this machine does not have the address.
    """
    name = os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    port = os.environ.get("GRADIO_SERVER_PORT")
    if port is not None and not (port.isdecimal() and 0 < int(port) < 65536):
        raise UserError(f"GRADIO_SERVER_PORT must be a number from 1 to 65535, got {port!r:.40}.")
    try:
        places = socket.getaddrinfo(name.strip("[]"), int(port or 0), type=socket.SOCK_STREAM)
        family, kind, protocol, _, place = places[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        where = name if port is None else f"{name}, port {port}"
        raise UserError(
            f"The page cannot be served at {where} ({error.strerror}). Choose others by "
            "GRADIO_SERVER_NAME and GRADIO_SERVER_PORT."
        ) from None
