"""A Ray cluster: joined, or said in words what is missing."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from unet.errors import UserError

LOCAL = "local"


@contextmanager
def ray_session(address: str) -> Iterator[ModuleType]:
    """Ray, joined to a cluster for as long as this lasts.

    Args:
        address: "local" for one of this machine's own, "auto" for the one that this machine is
            part of, HOST:PORT or ray://HOST:PORT.

    Raises:
        UserError: Ray is not installed, or there is no cluster.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray will do by itself
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UserError(
            "--ray takes Ray: pip install -r requirements-cluster.txt, here and on the cluster"
        ) from None
    # Another machine need not have this project: its code goes along.
    code = {} if address == LOCAL else {"py_modules": [str(Path(__file__).parent)]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray's own
        local = {"include_dashboard": False} if address == LOCAL else {}
        try:
            ray.init(address, runtime_env=code, log_to_driver=False, logging_level="ERROR", **local)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise UserError(f"--ray {address}: no cluster there ({str(error)[:200]})") from error
        try:
            yield ray
        finally:
            ray.shutdown()
