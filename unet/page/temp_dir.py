"""One private folder for what people upload; gone with the process, however it ends."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from unet.errors import UserError

NAME = "breast-ultrasound-"
LOCK = ".lock"
MINUTE = 60.0


def private_folder(parent: Path | None = None) -> Path:
    """A new folder that this process alone may read, for as long as it lives.

    It goes at exit and at SIGTERM. A process that is killed leaves its own behind: the next one to
    start removes what no living process holds.

    Args:
        parent: Where; the system's folder for temporary files if None.

    Raises:
        UserError: Nothing can be written there.
    """
    try:
        parent = Path(parent or tempfile.gettempdir())
        for left in parent.glob(f"{NAME}*"):
            if not _is_held(left):
                shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=NAME, dir=parent))  # for its owner alone: 0700
        lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)  # held until the process ends, by whatever end
    except OSError as error:
        raise UserError(
            f"There is no folder for temporary files that can be written to ({error.strerror}). "
            "Name one by TMPDIR."
        ) from None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that `atexit` is heard
    return folder


def _is_held(folder: Path) -> bool:
    """Return True for a folder of a living process or of another user."""
    try:
        lock = os.open(folder / LOCK, os.O_RDWR)
    except FileNotFoundError:  # another page may be about to lock its new one
        age = time.time() - folder.stat().st_mtime
        return abs(age) < MINUTE  # the clock may have been set back
    except OSError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False
