"""Analyses of visitors' pictures in memory, bounded by time and size."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from unet.io.images import ImageError
from unet.page.analysis import Analysis
from unet.page.clip_cache import CompressedFrame, pack

HOUR = 3600.0
MAX_BYTES = 600_000_000
MAX_VISITORS = 10_000


@dataclass
class _Visitor:
    """The series of the pictures they asked for, the last one last; the number of the request."""

    series: list[str] = field(default_factory=list)
    request: int = 0


class AnalysisCache:
    """Analyses by id, and which picture each visitor looks at.

    Safe to share between threads. They go after `HOUR`; where all together take more than
    `MAX_BYTES`, those first that were not asked for the longest. Frames of a clip are kept packed.
    """

    def __init__(self, seconds: float = HOUR, max_bytes: int = MAX_BYTES):
        """Keep analyses for so many seconds and in so many bytes."""
        self._seconds, self._max_bytes = seconds, max_bytes
        self._analyses: OrderedDict[str, tuple[float, Analysis | CompressedFrame]] = OrderedDict()
        self._visitors: OrderedDict[str, _Visitor] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, analysed: Analysis) -> None:
        """Keep an analysis."""
        stored = analysed if analysed.clip_path is None else pack(analysed)
        with self._lock:
            self._analyses[analysed.id] = (time.monotonic(), stored)
            self._analyses.move_to_end(analysed.id)
            self._drop_old()

    def get(self, name: str | None) -> Analysis | None:
        """The analysis of that id; None if there is none any more."""
        found = self._stored(name)
        try:
            return found.unpack() if isinstance(found, CompressedFrame) else found
        except ImageError:  # the clip's file lives no longer than this
            return None

    def packed(self, name: str | None) -> Analysis | None:
        """A clip's frame as it is kept, without picture and maps; None if there is none."""
        found = self._stored(name)
        return found.analysed if isinstance(found, CompressedFrame) else None

    def close(self, visitor: str) -> None:
        """Forget a visitor, and the picture they look at: each frame, truth and network of it."""
        with self._lock:
            left = self._visitors.pop(visitor, _Visitor())
            for series in left.series:
                self._drop_series(series)

    def open(self, visitor: str, series: str) -> None:
        """A visitor asks for another picture; what is shown stays until `show` or `give_up`."""
        with self._lock:
            self._visitor(visitor).series.append(series)

    def show(self, visitor: str, series: str) -> bool:
        """Return True if no later picture was asked for.

        Then what was asked for before is forgotten, else this one.
        """
        with self._lock:
            now = self._visitor(visitor)
            wanted = now.series[-1:] == [series]
            for gone in now.series[:-1] if wanted else [series]:
                self._drop_series(gone)
                if gone in now.series:
                    now.series.remove(gone)
            return wanted

    def give_up(self, visitor: str, series: str) -> bool:
        """A picture cannot be shown: what is shown stays. Whether no later one was asked for."""
        with self._lock:
            now = self._visitor(visitor)
            wanted = now.series[-1:] == [series]
            if series in now.series:
                now.series.remove(series)
            return wanted

    def ask(self, visitor: str) -> int:
        """A visitor asks for something else of the same picture; gives the request's number."""
        with self._lock:
            now = self._visitor(visitor)
            now.request += 1
            return now.request

    def is_wanted(self, visitor: str, series: str, request: int | None = None) -> bool:
        """Return True if neither a later picture nor a later request was asked for."""
        with self._lock:
            now = self._visitor(visitor)
            return now.series[-1:] == [series] and request in (None, now.request)

    def _drop_series(self, series: str) -> None:
        for name, (_, analysed) in list(self._analyses.items()):
            if analysed.series == series:
                del self._analyses[name]

    def _stored(self, name: str | None) -> Analysis | CompressedFrame | None:
        with self._lock:
            self._drop_old()
            found = self._analyses.get(name) if isinstance(name, str) else None  # browsers send it
            if found:
                self._analyses.move_to_end(name)
            return found and found[1]

    def _visitor(self, name: str) -> _Visitor:
        visitor = self._visitors.setdefault(name, _Visitor())
        self._visitors.move_to_end(name)
        if len(self._visitors) > MAX_VISITORS:
            self._visitors.popitem(last=False)
        return visitor

    def _drop_old(self) -> None:
        oldest = time.monotonic() - self._seconds
        for name, (since, _) in list(self._analyses.items()):
            if since < oldest:
                del self._analyses[name]
        # Answers for one picture share its pixels, which go with the last of them.
        holders = Counter(part for _, one in self._analyses.values() for part in _parts(one))
        total = sum(size for _, size in holders)
        while total > self._max_bytes:
            _, (_, gone) = self._analyses.popitem(last=False)
            for part in _parts(gone):
                holders[part] -= 1
                total -= 0 if holders[part] else part[1]


def _parts(analysed: Analysis | CompressedFrame) -> list[tuple[int, int]]:
    """Entries that take memory, and their bytes."""
    if isinstance(analysed, CompressedFrame):
        return [(id(analysed), analysed.nbytes)]
    prediction = analysed.prediction
    arrays = (
        analysed.picture.pixels,
        prediction.probability_u8,
        prediction.disagreement_u8,
        analysed.truth,
    )
    return [(id(array), array.nbytes) for array in arrays if array is not None]
