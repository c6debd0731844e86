"""One training in several processes, on one machine or many: Keras on JAX, joined by JAX.

The processes are children of the command, which keeps its own Keras on TensorFlow: what comes after
the training is made there of the checkpoint, as after any other.
"""

from __future__ import annotations

import hashlib
import importlib.util
import multiprocessing
import os
import signal
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait

from unet.errors import UserError

LOOPBACK = "127.0.0.1"
HEARTBEAT_SECONDS = 20
"""After which a machine that is not heard of is given up; a process that ends is told at once."""
KEPT = "The last whole epoch is kept: go on with --resume."
ENVIRONMENT = {"KERAS_BACKEND": "jax"}
"""Environment of the processes. JAX takes a GPU where it finds one, unless JAX_PLATFORMS=cpu."""

Training = Callable[[bool], None]
"""Trains in a process that is joined to the others; told whether it is the one that writes."""


@dataclass(frozen=True)
class Processes:
    """Which processes one training has, and which of them this machine runs.

    Attributes:
        number: Of all machines.
        coordinator: HOST:PORT where process 0 waits for the others; None where all run here.
        rank: The process that runs here, counted from 0; all if None.
    """

    number: int = 1
    coordinator: str | None = None
    rank: int | None = None

    def __post_init__(self) -> None:
        if self.number < 1:
            raise UserError(f"--processes must be at least 1. Received: {self.number}")
        if (self.coordinator is None) != (self.rank is None):
            raise UserError("--coordinator HOST:PORT and --rank K go together: give both, or none")
        if self.rank is not None and not 0 <= self.rank < self.number:
            raise UserError(
                f"--rank must lie between 0 and {self.number - 1}, as there are --processes "
                f"{self.number}. Received: {self.rank}"
            )
        if self.coordinator and not self.coordinator.rpartition(":")[2].isdigit():
            raise UserError(f"--coordinator must be HOST:PORT. Received: {self.coordinator}")

    @property
    def here(self) -> range:
        """The ranks that run on this machine."""
        return range(self.number) if self.rank is None else range(self.rank, self.rank + 1)

    @property
    def writes(self) -> bool:
        """True if process 0, which writes the checkpoints, runs on this machine."""
        return 0 in self.here


def run(processes: Processes, training: Training, same: str) -> None:
    """Train in processes until all are finished; none outlives this.

    Args:
        processes: How many, and which of them here.
        training: Can be pickled.
        same: What must be the same in all of them.

    Raises:
        UserError: JAX is not installed, a training says so, or a process ended before the others.
    """
    if importlib.util.find_spec("jax") is None:
        raise UserError("--backend jax takes JAX: pip install -r requirements-cluster.txt")
    context = multiprocessing.get_context("spawn")
    said = context.SimpleQueue()
    address = processes.coordinator or f"{LOOPBACK}:{_free_port()}"
    join = {"address": address, "number": processes.number, "local": processes.rank is None}
    children = {}
    try:
        with _environment(len(processes.here)):
            for rank in processes.here:
                arguments = (rank, join, training, same, said)
                child = context.Process(target=_child, args=arguments)
                child.start()
                children[rank] = child
        running = dict(children)
        while running:
            wait([child.sentinel for child in running.values()])
            ended = {rank: c.exitcode for rank, c in running.items() if c.exitcode is not None}
            if any(ended.values()):
                raise UserError(_what_happened(processes, ended, said))
            running = {rank: child for rank, child in running.items() if rank not in ended}
    finally:
        for child in children.values():
            child.kill()
        for child in children.values():
            child.join()


def _what_happened(processes: Processes, ended: dict[int, int], said) -> str:
    """A sentence on processes that ended: that one was killed, or else what one says."""
    rank, code = min(ended.items(), key=lambda item: item[1])  # of a signal it is below 0
    if code >= 0 and not said.empty():
        return said.get()
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return (
        f"process {rank} of {processes.number} ended in the middle of the training ({how}), and "
        f"the others were stopped. {KEPT}"
    )


def _child(rank: int, join: dict, training: Training, same: str, said) -> None:
    """A process of the training; its exit code says whether all went well."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    warnings.filterwarnings("ignore", "Explicitly requested dtype int64")  # Keras' own metrics
    try:
        with _joined(rank, **join):
            _check_same(same)
            training(rank == 0)
    except (UserError, OSError) as error:
        said.put(str(error))
    except KeyboardInterrupt:
        pass
    except Exception as error:
        if _of_jax(error):  # it lost the others, for one
            said.put(f"process {rank} was stopped: {str(error).splitlines()[0][:200]}. {KEPT}")
        else:
            traceback.print_exc()
    else:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)  # at once: JAX's own way out waits for the others


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


@contextmanager
def _joined(rank: int, *, address: str, number: int, local: bool) -> Iterator[None]:
    """JAX has the devices of all processes, for as long as this lasts."""
    import jax

    port = address.rpartition(":")[2]
    jax.distributed.initialize(
        address,
        number,
        rank,
        coordinator_bind_address=f"{LOOPBACK}:{port}" if local else None,
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
    )
    yield
    jax.distributed.shutdown()  # together


def _check_same(same: str) -> None:
    """Raise UserError where the processes were not asked for the same training."""
    import numpy as np
    from jax.experimental import multihost_utils

    digest = np.frombuffer(hashlib.sha256(same.encode()).digest(), np.uint8)
    try:
        multihost_utils.assert_equal(digest)
    except AssertionError:
        raise UserError(
            "the processes have other settings, data or epochs than one another: give every "
            "machine the same command, but for --rank, and the same run folder"
        ) from None


def _of_jax(error: Exception) -> bool:
    import jax

    return isinstance(error, jax.errors.JaxRuntimeError)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind((LOOPBACK, 0))
        return listening.getsockname()[1]


@contextmanager
def _environment(local: int) -> Iterator[None]:
    """Children begin with `ENVIRONMENT`; several on one machine share no GPU unless told to."""
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT)
    if local > 1:
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
