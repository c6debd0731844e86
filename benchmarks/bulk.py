"""A folder of many phantoms segmented by `train.py segment`: pace, and memory of all processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import ROOT
from benchmarks.processes import proportional_mib
from unet.data.phantom import KINDS, make_phantom

DIFFERENT = 100
"""Phantoms that are made; the others are further names of theirs (hard links)."""
A_FOLDER = 1000
EVERY_S = 1.0
MAX_GROWTH = 1.1
"""Most that the memory of a run's ninth tenth may be to that of its second."""


def write_folder(folder: Path, images: int) -> None:
    """Write so many phantoms, of several sizes, in folders of `A_FOLDER`."""
    made: list[Path] = []
    for number in range(images):
        path = folder / f"{number // A_FOLDER:03d}" / f"{number:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < DIFFERENT:
            kind = KINDS[number % len(KINDS)]
            phantom = make_phantom(number, kind, 400 + 10 * (number % 20), 500 + number)
            Image.fromarray(phantom.image).save(path)
            made.append(path)
        else:
            os.link(made[number % DIFFERENT], path)


def bulk(images: int, workers: int, weights: Path) -> bool:
    """Print pace and memory over the run; whether all were segmented and memory did not grow."""
    with tempfile.TemporaryDirectory() as temporary:
        data, out = Path(temporary) / "data", Path(temporary) / "results"
        write_folder(data, images)
        command = [
            "train.py", "segment", "--data", str(data), "--out", str(out),
            "--weights", str(weights.absolute()), "--workers", str(workers),
        ]  # fmt: skip
        begun = time.monotonic()
        process = subprocess.Popen([sys.executable, *command], cwd=ROOT)
        memory = []
        try:
            while process.poll() is None:
                memory.append(proportional_mib(process.pid))
                time.sleep(EVERY_S)
        finally:
            process.kill()
            process.wait()
        seconds = time.monotonic() - begun
        rows = (out / "results.csv").read_text().count("\n") - 1 if process.returncode == 0 else 0
        masks = sum(1 for _ in (out / "masks").rglob("*.png"))
    return _tell(images, rows, masks, seconds, memory)


def _tell(images: int, rows: int, masks: int, seconds: float, memory: list[float]) -> bool:
    print(f"{rows} rows and {masks} masks of {images} images in {seconds:.0f} s, "
          f"{rows / seconds:.1f} a second with the start")  # fmt: skip
    print("share of the run | MiB of all processes, median | most")
    tenths = [tenth for tenth in np.array_split(memory, 10) if len(tenth)]
    for number, tenth in enumerate(tenths, 1):
        print(f"{number / len(tenths):.0%} | {np.median(tenth):.0f} | {max(tenth):.0f}")
    # In the first the workers start, in the last they end.
    growth = float(np.median(tenths[-2:][0]) / np.median(tenths[:2][-1]))
    print(f"peak {max(memory):.0f} MiB; the ninth tenth to the second: {growth:.3f}, "
          f"at most {MAX_GROWTH:g}")  # fmt: skip
    return rows == masks == images and growth <= MAX_GROWTH
