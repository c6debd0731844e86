"""The long run: `python -m tests.fuzz --cases 1000`; a table by kind, and each failure's seed."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from tests.fuzz.cases import MAX_CPU_S, MAX_MIB, Worker, case_of
from tests.fuzz.kinds import BUNDLES, KINDS


def main() -> int:
    """Run, and return how many cases failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=100, help="cases of each kind")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this one; repeatable")
    parser.add_argument("--first", type=int, default=0, help="seed of the first case")
    parser.add_argument("--one", type=int, metavar="SEED", help="run one case, and keep its file")
    parser.add_argument("--minutes", type=float, help="stop each kind after so long")
    options = parser.parse_args()
    kinds = options.kind or [kind for kind in KINDS if kind != "session" or shutil.which("node")]
    with tempfile.TemporaryDirectory() as folder:
        bundle = None
        if set(kinds) & set(BUNDLES):
            from tests.fuzz.seeds import bundle as write

            bundle = write(Path(folder) / "tiny")
        if options.one is not None:
            return sum(show(kind, options.one, bundle) for kind in kinds)
        print(f"limits: {MAX_CPU_S} s of computing, {MAX_MIB} MiB resident")
        print("kind | cases | refused | answered | failed | slowest s (clock) | peak MiB | minutes")
        return sum(
            run(kind, range(options.first, options.first + options.cases), bundle, options.minutes)
            for kind in kinds
        )


def show(kind: str, seed: int, bundle: Path | None) -> int:
    """One case, told in full, its file kept; 1 where it failed."""
    keep = Path(tempfile.gettempdir()) / f"fuzz-{kind}-{seed}"
    which, damages = case_of(kind, seed)
    print(*damages, sep="\n")
    with closing(Worker(bundle)) as worker:
        answer = worker.ask(kind, which, damages, keep)
    print(keep, *(f"{name}: {value}" for name, value in answer.items()), sep="\n")
    return answer["outcome"] == "failed"


def run(kind: str, seeds: range, bundle: Path | None, minutes: float | None) -> int:
    """The cases of a kind; a line of the table, and how many failed."""
    counts, slowest, peak = Counter(), (0.0, 0.0), 0.0
    started = time.monotonic()
    with closing(Worker(bundle)) as worker:
        for seed in seeds:
            answer = worker.ask(kind, *case_of(kind, seed))
            counts[answer["outcome"]] += 1
            slowest = max(slowest, (answer["cpu"], answer["seconds"]))
            peak = max(peak, answer["mebibytes"])
            if answer["outcome"] == "failed":
                words = answer["words"].strip().replace("\n", " ⏎ ")[-300:]
                print(f"  --kind {kind} --one {seed}: {words}", flush=True)
            if minutes and time.monotonic() - started > 60 * minutes:
                break
    shown = (
        kind, counts.total(), counts["refused"], counts["answered"], counts["failed"],
        f"{slowest[0]:.2f} ({slowest[1]:.2f})", f"{peak:.0f}",
        f"{(time.monotonic() - started) / 60:.1f}",
    )  # fmt: skip
    print(" | ".join(map(str, shown)), flush=True)
    return counts["failed"]


if __name__ == "__main__":
    sys.exit(min(main(), 1))
