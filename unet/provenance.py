"""Which code made a result: the commit and the libraries' versions."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path


def git_commit() -> str | None:
    """The commit this code is at, with "-dirty" when code differs from it; None outside git."""
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!weights")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}-dirty" if changed else commit


def _git(*words: str) -> str:
    root = Path(__file__).parents[1]
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries a network's numbers depend on."""
    names = ("keras", "tensorflow", "onnx", "onnxruntime", "numpy", "pillow", "scipy")
    return {"python": platform.python_version()} | {name: version(name) for name in names}
