"""Files segmented by Ray Data on a cluster whose machines see data, weights and out as this does.

Ray replaces workers that end, and gives their batch to others.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from itertools import islice
from types import ModuleType

import numpy as np

from unet.bulk.inputs import Item
from unet.bulk.local import BATCH, Finished, segment_locally
from unet.bulk.worker import Job, Worker
from unet.cluster import ray_session

WINDOW = 10_000
"""Files that are handed to Ray at once: so many items are held in memory."""
TRIES = 2
"""Times that Ray gives a batch to another worker when one has ended."""


class RayWorker:
    """A worker as `map_batches` wants it. Paths and rows go as bytes: a path may be no text."""

    def __init__(self, job: Job):
        """Load the job's network."""
        self._worker = Worker(job)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[bytes]]:
        """A batch of items → pickled pairs of an item and its rows."""
        items = [pickle.loads(item) for item in batch["item"]]
        return {"finished": [pickle.dumps((item, self._worker.rows(item))) for item in items]}


def segment_with_ray(
    job: Job, items: Iterator[Item], address: str, workers: int | None
) -> Iterator[Finished]:
    """Segment files on a cluster; gives batches as they are finished, in any order.

    Args:
        job: Its paths are those of all machines.
        items: What is to be done.
        address: See `unet.cluster.ray_session`.
        workers: How many; one a core of the cluster if None.

    Raises:
        UserError: There is no cluster, or masks cannot be written.
    """
    with ray_session(address) as ray:
        _quiet(ray)
        count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        while window := list(islice(items, WINDOW)):
            left = {item.path: item for item in window}
            for finished in _window(ray, job, window, count):
                left.pop(finished[0][0].path, None)
                yield finished
            if left:  # their workers ended each time: one by one, to find the file that does it
                yield from segment_locally(job, iter(left.values()), 1)


def _window(ray: ModuleType, job: Job, items: list[Item], workers: int) -> Iterator[Finished]:
    given = [{"item": pickle.dumps(item)} for item in items]
    blocks = max(1, len(items) // BATCH)
    found = ray.data.from_items(given, override_num_blocks=blocks).map_batches(
        RayWorker,
        fn_constructor_args=(job,),
        batch_size=BATCH,
        compute=ray.data.ActorPoolStrategy(size=min(workers, blocks)),
        num_cpus=1,
        max_task_retries=TRIES,
    )
    for batch in found.iter_batches(batch_size=None, prefetch_batches=0):
        for finished in batch["finished"]:
            item, rows = pickle.loads(finished)
            yield [item], rows


def _quiet(ray: ModuleType) -> None:
    """No bars; a batch that is lost does not end the run, as `segment_with_ray` does it again."""
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1
