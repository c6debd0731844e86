"""A process that tries one damaged file after the other, so that what ends it ends nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

from tests.fuzz.damage import Damage, damaged
from tests.fuzz.kinds import Kind, kind_of
from unet.errors import UserError

MAX_BYTES = 24 << 30
"""Address space of the process: far more than it uses, and less than ends the machine."""
MAX_WORDS = 700
"""Characters that a person is told at most."""
ROOT = str(Path(__file__).parents[2])
INSIDE = (
    "Traceback",
    'File "',
    "site-packages",
    '.py"',
    ".py:",
    "/tmp/",
    "/root/",
    ROOT,
    "0x7f",
    "SECRET",
)
"""What no person is to read: stacks, folders, addresses, a patient's name."""


def content_of(kind: Kind, which: int, damages: list[Damage]) -> bytes:
    """The damaged file of a case."""
    files = kind.files
    other = files[(which + 1) % len(files)]
    return damaged(files[which % len(files)], damages, other, kind.change)


def tried(kind: Kind, content: bytes) -> dict:
    """What came of a file: `outcome` ("answered", "refused" or "failed"), `words`, `seconds` by the
    clock, `cpu` seconds of this process and its children, and the peak in `mebibytes`.
    """
    _reset_peak()
    started, before = time.perf_counter(), _cpu()
    outcome, words = "answered", ""
    try:
        kind.use(content)
    except UserError as error:
        outcome, words = "refused", str(error)
        if fault := _fault_of(words):
            outcome, words = "failed", f"{fault} in: {words[:500]}"
    except BaseException:
        outcome, words = "failed", traceback.format_exc()[-1500:]
    taken = {"seconds": time.perf_counter() - started, "cpu": _cpu() - before}
    return {"outcome": outcome, "words": words, "mebibytes": _peak(), **taken}


def _fault_of(words: str) -> str:
    """What is wrong with a sentence for people; empty if nothing."""
    if not words or len(words) > MAX_WORDS:
        return f"{len(words)} characters"
    shown = [part for part in (*INSIDE, "MemoryError", "RecursionError") if part in words]
    return f"{shown[0]!r}" if shown else ""


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _reset_peak() -> None:
    with contextlib.suppress(OSError):  # where it is not allowed the peak is of all cases
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    own = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024


def ready(name: str, folder: Path, bundle: Path | None) -> Kind:
    """A kind whose valid files are answered; what is imported by the way is no case's time."""
    kind = kind_of(name, folder, bundle)
    for content in kind.files:
        kind.use(content)
    return kind


def main(bundle: str) -> None:
    """Answer each case on stdin, a line of JSON, by one on stdout."""
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes elsewhere
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    kinds: dict[str, Kind] = {}
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for line in sys.stdin:
            case = json.loads(line)
            name = case["kind"]
            if name not in kinds:
                (place := Path(folder) / name).mkdir()
                kinds[name] = ready(name, place, Path(bundle) if bundle else None)
            damages = [Damage(**damage) for damage in case["damages"]]
            content = content_of(kinds[name], case["which"], damages)
            if keep := case["keep"]:
                Path(keep).write_bytes(content)
            print(json.dumps(tried(kinds[name], content)), file=answers, flush=True)
    os._exit(0)  # no waiting for a page's threads


if __name__ == "__main__":
    main(*sys.argv[1:])
