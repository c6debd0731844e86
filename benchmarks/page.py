"""Start time, answer time and memory of the page."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import ROOT, spread


def page(rounds: int) -> None:
    """Seconds from the command until the page answers and gives a first mask, and its memory."""
    from PIL import Image

    from unet.data.phantom import make_phantom

    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "measured.png"
        Image.fromarray(make_phantom(1, "benign", 719, 1048).image).save(image)
        found = [_one_start(image.read_bytes(), 7960 + turn) for turn in range(rounds)]
    answers, masks, later, memory = zip(*found)
    print(
        f"answers after {spread(list(answers), 's')}, first mask after {spread(list(masks), 's')}"
    )
    print(f"/segment on 1048 × 719: {spread([t for times in later for t in times], 'ms')}")
    print(f"peak memory: {spread(list(memory), 'MiB')}")


def _one_start(image: bytes, port: int) -> tuple[float, float, list[float], float]:
    """Seconds to an answer and to a mask, milliseconds of later masks, MiB."""
    import httpx2

    address = f"http://127.0.0.1:{port}"

    def segment(client: httpx2.Client) -> None:
        (path,) = client.post(f"{address}/gradio_api/upload",
                              files=[("files", ("scan.png", image))]).json()  # fmt: skip
        data = [{"path": path, "meta": {"_type": "gradio.FileData"}}, None]
        event = client.post(f"{address}/gradio_api/call/segment", json={"data": data}).json()
        answer = client.get(f"{address}/gradio_api/call/segment/{event['event_id']}")
        assert "event: complete" in answer.text, answer.text[:200]

    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "app.py"], cwd=ROOT, env=os.environ | {"GRADIO_SERVER_PORT": str(port)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with httpx2.Client(timeout=60) as client:
            while True:
                try:
                    client.get(address)
                    break
                except httpx2.TransportError:
                    time.sleep(0.03)
            answers = time.perf_counter() - started
            segment(client)
            first = time.perf_counter() - started
            later = []
            for _ in range(10):
                begun = time.perf_counter()
                segment(client)
                later.append(1000 * (time.perf_counter() - begun))
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return answers, first, later, int(peak.split()[1]) / 1024
    finally:
        process.kill()
        process.wait()
