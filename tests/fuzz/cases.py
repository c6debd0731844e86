"""Cases given to workers, one at a time, and what is held of each."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from random import Random

from tests.fuzz.damage import Damage, random_damages

START_S, CASE_S = 120, 20
"""Seconds of computing that a worker may take to start, and for a case before it is ended."""
WAIT_S = 900
"""Seconds by the clock, on a machine that leaves it no time to compute."""
MAX_CPU_S = 5
"""Seconds of computing that a case may take, on whatever busy machine."""
MAX_MIB = 1500
"""Resident memory of a worker, what it imports included."""


class Worker:
    """A process for cases; started anew where a case ends it."""

    def __init__(self, bundle: Path | None = None):
        """Give a bundle where there are cases of kinds that need one."""
        self._bundle = bundle
        self._process: subprocess.Popen | None = None
        self._ready: set[str] = set()

    def ask(self, kind: str, which: int, damages: list[Damage], keep: Path | None = None) -> dict:
        """What came of a case, as `worker.tried` says; a crash and a hang are "failed" too."""
        if self._process is None:
            self._start()
        case = {"kind": kind, "which": which, "keep": keep and str(keep)}
        case["damages"] = [asdict(damage) for damage in damages]
        answer = self._exchange(json.dumps(case), CASE_S if kind in self._ready else START_S)
        self._ready.add(kind)
        if answer["outcome"] != "failed":
            if answer["cpu"] > MAX_CPU_S:
                answer |= {"outcome": "failed", "words": f"slow: {answer['cpu']:.1f} s"}
            elif answer["mebibytes"] > MAX_MIB:
                answer |= {"outcome": "failed", "words": f"large: {answer['mebibytes']:.0f} MiB"}
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._log.close()
        self._process = None
        self._ready.clear()

    def _start(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the process)
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "GRADIO_ANALYTICS_ENABLED": "False"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", str(self._bundle or "")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            cwd=Path(__file__).parents[2], env=os.environ | quiet,
        )  # fmt: skip

    def _exchange(self, line: str, seconds: float) -> dict:
        process = self._process
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(line + "\n")
            process.stdin.flush()
        there, before, waited = False, _cpu_of(process.pid), 0
        while not there and waited < WAIT_S and _cpu_of(process.pid) - before < seconds:
            there = bool(select.select([process.stdout], [], [], 5)[0])
            waited += 5
        answer = process.stdout.readline() if there else ""
        if answer:
            return json.loads(answer)
        process.kill()
        process.wait()
        how = f"ended with {process.returncode}" if there else "hung"
        self._log.seek(max(0, self._log.seek(0, 2) - 600))
        said = self._log.read().decode(errors="replace")
        self.close()
        words = f"the process {how}: {said}"
        return {"outcome": "failed", "words": words, "seconds": 0, "cpu": 0, "mebibytes": 0}


def _cpu_of(pid: int) -> float:
    """Seconds that a process has computed, its ended children included."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def case_of(kind: str, seed: int) -> tuple[int, list[Damage]]:
    """Which valid file a seed takes, and its damages."""
    return seed, random_damages(Random(f"{kind} {seed}"))
