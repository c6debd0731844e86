"""Memory of processes, as Linux tells it."""

from __future__ import annotations

from pathlib import Path


def resident_mib(pid: int) -> float:
    """Memory that a process holds now; 0 where it has ended."""
    return _mib(Path(f"/proc/{pid}/status"), "VmRSS")


def proportional_mib(pid: int) -> float:
    """Memory of a process and all below it; what several share is counted once in all."""
    return sum(_mib(Path(f"/proc/{number}/smaps_rollup"), "Pss") for number in tree(pid))


def tree(pid: int) -> list[int]:
    """A process and its children's children."""
    parents = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(file.parent.name)] = int(file.read_text().rpartition(")")[2].split()[1])
        except OSError:  # ended meanwhile
            continue
    found = [pid]
    for parent in found:
        found += [child for child, above in parents.items() if above == parent]
    return found


def _mib(file: Path, name: str) -> float:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0) / 1024
