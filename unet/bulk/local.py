"""Files segmented by processes of this machine; one that is killed costs its batch a second try."""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from multiprocessing.connection import Connection, wait

from unet.bulk.inputs import Item
from unet.bulk.worker import FatalError, Job, Row, Worker, row_of
from unet.errors import UserError

BATCH = 16
"""Files that a worker is given at once, and the most that are done again when it is killed."""
TRIES = 2
"""Tries of a file alone in a worker that ends, before its row tells an error."""

Finished = tuple[list[Item], list[Row]]


def segment_locally(job: Job, items: Iterator[Item], workers: int) -> Iterator[Finished]:
    """Segment files in so many processes; gives batches as they are finished, in any order.

    A worker that ends (killed, out of memory, a decoder's crash) is replaced, and its files are
    done again one by one, so that one that ends every worker is found and told in its row.

    Raises:
        UserError: Masks cannot be written, or a worker does not even start.
    """
    team = [_Process(job) for _ in range(workers)]
    again: deque[Item] = deque()
    tries: Counter[Item] = Counter()
    try:
        while True:
            for process in team:
                if not process.batch:
                    process.give([again.popleft()] if again else list(islice(items, BATCH)))
            busy = {process.connection: process for process in team if process.batch}
            if not busy:
                return
            for connection in wait(list(busy)):
                process = busy[connection]
                batch, rows = process.batch, process.take()
                if rows is not None:
                    yield batch, rows
                    continue
                if len(batch) == 1:
                    tries[batch[0]] += 1
                if tries[batch[0]] >= TRIES:
                    yield batch, [row_of(batch[0], error=f"ended {TRIES} workers: left out")]
                else:
                    again.extend(batch)
                team[team.index(process)] = _Process(job)
    finally:
        for process in team:
            process.end()


class _Process:
    """A worker process, and the batch that it is at; empty while it waits."""

    def __init__(self, job: Job):
        # Spawned: a fork would copy the threads' locks of whatever this process runs.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, job), daemon=True)
        self._process.start()
        theirs.close()  # theirs alone: when they end, this end is told
        self._started = False
        self.batch: list[Item] = []

    def give(self, batch: list[Item]) -> None:
        """Hand out a batch; an empty one leaves it waiting."""
        self.batch = batch
        if batch:
            with suppress(OSError):  # it has ended meanwhile, as `take` will find
                self.connection.send(batch)

    def take(self) -> list[Row] | None:
        """The batch's rows; None if the process has ended. Raises as `segment_locally`."""
        try:
            if not self._started:
                self._hear()
                self._started = True
            rows = self._hear()
        except (EOFError, OSError):
            self._process.join()
            self.connection.close()
            if not self._started:
                raise UserError(
                    f"a worker ended while it started (exit code {self._process.exitcode}): is "
                    "there memory enough? Take fewer --workers; the same command goes on."
                ) from None
            return None
        self.batch = []
        return rows

    def _hear(self) -> list[Row]:
        rows, trouble = self.connection.recv()
        if trouble:
            raise FatalError(trouble)
        return rows

    def end(self) -> None:
        """Stop it, whatever it is at."""
        self.connection.close()
        self._process.kill()
        self._process.join()


def _work(connection: Connection, job: Job) -> None:
    """A worker's life: load the network, say so, then a batch after the other until nobody asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the first process' to hear
    try:
        worker = Worker(job)
        connection.send(([], None))
        while True:
            batch = connection.recv()
            connection.send(([row for item in batch for row in worker.rows(item)], None))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except UserError as error:
        connection.send(([], str(error)))
