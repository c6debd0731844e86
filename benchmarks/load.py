"""The page under load: many people at once, each with an image of their own size, and one batch."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx2
import numpy as np
from PIL import Image

from benchmarks.common import ROOT
from benchmarks.processes import resident_mib
from benchmarks.proxy import COOKIE
from tests.browser.site import free_port
from unet.data.phantom import make_phantom

BATCH = 200
REST_S = 1.0
"""Mean seconds that a person looks at an answer before the next image."""
START_S = 300
"""Seconds that the pages may take to start on a busy machine."""
MAX_BATCH_RATIO, MAX_MEMORY_RATIO = 2.0, 1.05
"""Bounds: waiting time beside a batch against before, and memory at the end against the start."""
FIELD = {"meta": {"_type": "gradio.FileData"}}


@dataclass
class Seen:
    """Counts and times of the requests.

    Attributes:
        answers: When each was answered, seconds from the start, and how many seconds it took.
        refused: What was said of those that were not.
        dropped: What broke, for those that got no answer in words.
        swapped: How many got an answer of another size than their image's.
        memory: Seconds from the start and MiB of the pages' processes.
        batch: When the batch began and ended; None where it did not.
        replicas: How many people each replica had, by what its cookie says; all by "" without.
        strayed: How many people were sent to another replica than their first.
    """

    answers: list[tuple[float, float]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    swapped: int = 0
    memory: list[tuple[float, float]] = field(default_factory=list)
    batch: tuple[float, float] | None = None
    replicas: dict[str, int] = field(default_factory=dict)
    strayed: int = 0

    def took(self, begun: float = 0.0, ended: float = float("inf")) -> list[float]:
        """Seconds of the answers that came between two moments."""
        return [seconds for at, seconds in self.answers if begun < at <= ended]

    @property
    def batch_ratio(self) -> float | None:
        """Median seconds beside the batch to those before it; None where nothing tells."""
        during = self.took(*self.batch) if self.batch else []
        before = self.took(ended=self.batch[0]) if self.batch else []
        return float(np.median(during) / np.median(before)) if during and before else None

    @property
    def memory_ratio(self) -> tuple[float, float]:
        """MiB after a minute (at the start, where it is shorter), and in the last moments."""
        after_a_minute = [mib for at, mib in self.memory if at >= 60] or [m for _, m in self.memory]
        last = [mib for _, mib in self.memory[-5:]]
        return float(np.median(after_a_minute[:5])), float(np.median(last))


@contextlib.contextmanager
def pages(replicas: int, **settings: str) -> Iterator[tuple[str, list[int]]]:
    """So many page processes, behind a proxy where it is more than one.

    Gives the address and the pages' processes; `settings` are added to their environment.
    """
    quiet = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with contextlib.ExitStack() as running:

        def start(*words: str, **environment: str) -> subprocess.Popen:
            process = subprocess.Popen(
                [sys.executable, *words], env=os.environ | settings | environment, **quiet
            )
            running.callback(process.wait)
            running.callback(process.terminate)
            return process

        ports = [free_port() for _ in range(replicas)]
        started = [start("app.py", GRADIO_SERVER_PORT=str(port)) for port in ports]
        addresses = [f"http://127.0.0.1:{port}" for port in ports]
        for address, process in zip(addresses, started):
            _wait(f"{address}/healthz", process)
        address = addresses[0]
        if replicas > 1:
            port = free_port()
            address = f"http://127.0.0.1:{port}"
            _wait(address, start("-m", "benchmarks.proxy", str(port), *addresses))
        yield address, [process.pid for process in started]


def _wait(address: str, process: subprocess.Popen) -> None:
    until = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(address).status_code == 200:
                return
        time.sleep(0.1)
    raise SystemExit("the page did not start")


def load(people: int, minutes: float, replicas: int = 1) -> bool:
    """Print what people get who all use the page for so many minutes; whether every bound holds."""
    with pages(replicas) as (address, pids):
        seen = use(address, pids, people, 60 * minutes)
    return _tell(seen, people, minutes)


def use(address: str, pids: list[int], people: int, seconds: float, batch: int = BATCH) -> Seen:
    """So many people use the page at an address at once; one sends a batch in the middle."""
    return asyncio.run(_all(address, pids, people, seconds, batch))


async def _all(address: str, pids: list[int], people: int, seconds: float, batch: int) -> Seen:
    seen = Seen()
    async with contextlib.AsyncExitStack() as stack:

        async def visitor(number: int) -> httpx2.AsyncClient:
            """A browser of its own: its cookies, and an address as a proxy tells it."""
            came_from = {"X-Forwarded-For": f"10.0.{number // 250}.{1 + number % 250}"}
            client = httpx2.AsyncClient(base_url=address, timeout=120, headers=came_from)
            return await stack.enter_async_context(client)

        # Everything is at hand when the clock starts, so that the batch comes in the middle.
        visitors = [await visitor(number) for number in range(people + 1)]
        images = [_picture(number, *_size(number)) for number in range(people + 1)]
        started = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number, (client, image) in enumerate(zip(visitors[:-1], images[:-1])):
                tasks.create_task(_person(client, number, image, seen, started, seconds))
            tasks.create_task(_batch(visitors[-1], images[-1], seen, started, seconds, batch))
            tasks.create_task(_memory(pids, seen, started, seconds))
    return seen


def _size(number: int) -> tuple[int, int]:
    """Height and width of a person's image: nobody else's."""
    return 300 + number, 400 + 2 * number


def _picture(number: int, height: int, width: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(make_phantom(number, "benign", height, width).image).save(buffer, "PNG")
    return buffer.getvalue()


async def _person(
    client, number: int, image: bytes, seen: Seen, started: float, seconds: float
) -> None:
    """One person after the other's arrival sends an image, waits for the answer, looks, goes on."""
    random = np.random.default_rng(number)
    height, width = _size(number)
    await asyncio.sleep(float(random.uniform(0, REST_S)))
    await client.get("/")
    replica = client.cookies.get(COOKIE, "")
    seen.replicas[replica] = seen.replicas.get(replica, 0) + 1
    begun = started
    while begun - started < seconds:  # once in any case
        begun = time.perf_counter()
        try:
            size = await _segment(client, image)
        except AssertionError as error:
            seen.refused.append(str(error))
        except httpx2.HTTPError as error:
            seen.dropped.append(repr(error))
        else:
            now = time.perf_counter()
            seen.answers.append((now - started, now - begun))
            seen.swapped += size != (width, height)
        await asyncio.sleep(float(random.exponential(REST_S)))
    seen.strayed += client.cookies.get(COOKIE, "") != replica


async def _segment(client, image: bytes) -> tuple[int, int]:
    """The size that the findings are of; AssertionError with the page's words where it refuses."""
    path = await _upload(client, image)
    found = await _call(client, "segment", [{"path": path} | FIELD, None])
    return tuple(found[1]["image_size_px"])


async def _upload(client, image: bytes) -> str:
    sent = await client.post("/gradio_api/upload", files=[("files", ("scan.png", image))])
    assert sent.status_code == 200, f"{sent.status_code}: {sent.text[:200]}"
    return sent.json()[0]


async def _call(client, endpoint: str, data: list) -> list:
    base = f"/gradio_api/call/{endpoint}"
    asked = await client.post(base, json={"data": data})
    assert asked.status_code == 200, f"{asked.status_code}: {asked.text[:200]}"
    answer = (await client.get(f"{base}/{asked.json()['event_id']}")).text
    assert "event: complete" in answer, answer.strip()[-200:]
    return json.loads(answer.rsplit("data: ", 1)[1])


async def _batch(
    client, image: bytes, seen: Seen, started: float, seconds: float, count: int
) -> None:
    """One batch in the middle."""
    await asyncio.sleep(seconds / 2)
    begun = time.perf_counter() - started
    try:
        paths = [{"path": await _upload(client, image)} | FIELD for _ in range(count)]
        rows, _ = await _call(client, "batch", [paths, None])
        assert len(rows) == count, f"{len(rows)} rows of {count}"
    except (AssertionError, httpx2.HTTPError) as error:
        seen.refused.append(f"the batch: {error!r}")
        return
    seen.batch = begun, time.perf_counter() - started


async def _memory(pids: list[int], seen: Seen, started: float, seconds: float) -> None:
    while (now := time.perf_counter() - started) < seconds:
        seen.memory.append((now, sum(map(resident_mib, pids))))
        await asyncio.sleep(2)


def _tell(seen: Seen, people: int, minutes: float) -> bool:
    """Print a table; whether every bound holds."""
    took = seen.took() or [float("nan")]
    first, last = seen.memory_ratio
    ratio = seen.batch_ratio
    begun, ended = seen.batch or (0.0, float("nan"))
    rows = [  # what, how much, the bound, whether it holds
        ("answers", len(seen.answers), "", True),
        ("refused in words", len(seen.refused), "0", not seen.refused),
        ("dropped", len(seen.dropped), "0", not seen.dropped),
        ("swapped", seen.swapped, "0", not seen.swapped),
        *[(f"people, {'replica ' + name if name else 'no replicas'}", count, "", True)
          for name, count in sorted(seen.replicas.items())],
        ("sent to another replica", seen.strayed, "0", not seen.strayed),
        ("seconds, median", f"{np.median(took):.2f}", "", True),
        ("seconds, 95 %", f"{np.percentile(took, 95):.2f}", "", True),
        ("seconds, most", f"{max(took):.2f}", "", True),
        (f"seconds, a batch of {BATCH}", f"{ended - begun:.1f}", "", seen.batch is not None),
        ("median beside the batch / before", "–" if ratio is None else f"{ratio:.2f}",
         f"{MAX_BATCH_RATIO:g}", ratio is not None and ratio <= MAX_BATCH_RATIO),
        ("MiB after a minute", f"{first:.0f}", "", True),
        ("MiB at the end / after a minute", f"{last / first:.3f}", f"{MAX_MEMORY_RATIO:g}",
         last / first <= MAX_MEMORY_RATIO),
    ]  # fmt: skip
    print(f"{people} people, {minutes:g} minutes, {max(1, len(seen.replicas))} pages")
    print("what | measured | at most | holds")
    for what, measured, bound, holds in rows:
        print(f"{what} | {measured} | {bound} | {'yes' if holds else 'NO'}")
    for what, said in (("refused", seen.refused), ("dropped", seen.dropped)):
        for words in dict.fromkeys(said):
            print(f"{what} {said.count(words)} times: {words}")
    return all(holds for *_, holds in rows)
