"""Which code made a result: the commit and the libraries' versions."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from unet.errors import UserError

DIRTY = "-dirty"
"""Ending of a commit that the code differed from."""


def git_commit() -> str | None:
    """The commit this code is at, with "-dirty" when code differs from it; None outside git."""
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!weights")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}{DIRTY}" if changed else commit


def check_commit(commit: str | None) -> None:
    """Check that what is made from a commit can be made again.

    Args:
        commit: As `git_commit` gives it; None outside git, where nothing can be checked.

    Raises:
        UserError: Code differed from the commit, or the current branch does not contain it.
    """
    if commit is None or is_reproducible(commit):
        return
    short = commit.removesuffix(DIRTY)[:12]
    what = (
        f"the code differs from commit {short}"
        if commit.endswith(DIRTY)
        else f"the current branch does not contain commit {short}"
    )
    raise UserError(f"{what}. Commit first, or give --allow-dirty: the bundle's card will say so.")


def is_reproducible(commit: str | None) -> bool:
    """Return True for an unchanged commit in the history of the current branch."""
    return commit is not None and not commit.endswith(DIRTY) and contains(commit)


def contains(commit: str) -> bool:
    """Return True for a commit in the history of the current branch."""
    try:
        _git("merge-base", "--is-ancestor", commit, "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _git(*words: str) -> str:
    root = Path(__file__).parents[1]
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries a network's numbers depend on."""
    names = ("keras", "tensorflow", "onnx", "onnxruntime", "numpy", "pillow", "scipy")
    return {"python": platform.python_version()} | {name: version(name) for name in names}
