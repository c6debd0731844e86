"""Trainings on a Ray cluster whose machines see this folder, data and run folders as this does.

A training keeps its state in its run folder, so nothing comes back from the cluster: whoever asked
goes on as it would have done alone, and finds every training finished.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from unet.cluster import ray_session
from unet.errors import UserError

CORES = 4
"""Cores of a training; fewer where no machine of the cluster has that many."""
TRIES = 3
"""Times that a training moves to another worker when one has ended; it resumes there."""

Training = Callable[[Any], object]
"""Trains, of what all trainings share, in a run folder of its own, which it resumes."""


def finish(address: str, shared: object, trainings: dict[str, Training]) -> None:
    """Run trainings on a cluster, each in a process of its own, until all are finished.

    Args:
        address: See `unet.cluster.ray_session`.
        shared: Given to every training, and sent to each machine once.
        trainings: By name.

    Raises:
        UserError: There is no cluster, a training says so, or its workers end each time.
    """
    with ray_session(address) as ray:
        given = ray.put(shared)
        train = ray.remote(**_needs(ray), max_retries=TRIES, max_calls=1)(_train)
        here = Path.cwd()
        names = {train.remote(job, given, here): name for name, job in trainings.items()}
        print(f"{len(names)} trainings on {address}", flush=True)
        while names:
            (done,), _ = ray.wait(list(names))
            _hear(ray, done, names[done])
            print(f"{names.pop(done)}: trained", flush=True)


def _train(training: Training, shared: object, folder: Path) -> None:
    os.chdir(folder)  # paths may start from there
    training(shared)


def _needs(ray: ModuleType) -> dict[str, Any]:
    """Resources of a training: cores, as many threads, and a GPU if the cluster has one."""
    most = max(node["Resources"].get("CPU", 1) for node in ray.nodes() if node["Alive"])
    cores = max(1, min(CORES, int(most)))
    threads = {f"TF_NUM_{which}OP_THREADS": str(cores) for which in ("INTRA", "INTER")}
    gpus = min(1, ray.cluster_resources().get("GPU", 0))
    return {"num_cpus": cores, "num_gpus": gpus, "runtime_env": {"env_vars": threads}}


def _hear(ray: ModuleType, done: object, name: str) -> None:
    """Raise what a training ended with, if it did not end well."""
    try:
        ray.get(done)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError | OSError):
            raise UserError(f"{name}: {error.cause}") from error
        raise
    except ray.exceptions.RayError as error:
        raise UserError(
            f"{name}: its worker ended {TRIES + 1} times. Is there memory enough? What was trained "
            "is kept: go on with --resume."
        ) from error
