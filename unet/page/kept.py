"""What the page keeps of visitors' pictures: bounded by time and by memory, whoever else calls."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from unet.images.reading import ImageError
from unet.page.analysis import Analysed
from unet.page.clips import Packed, pack

HOUR = 3600.0
MAX_BYTES = 600_000_000
MAX_VISITORS = 10_000


@dataclass
class _Visitor:
    """What a visitor asked for last: the series of the picture, and the number of the request."""

    series: str = ""
    request: int = 0


class Kept:
    """Analyses by id, and which picture each visitor looks at.

    Safe to share between threads. The oldest go first, after `HOUR` or when all together take more
    than `MAX_BYTES`. Frames of a clip are kept packed.
    """

    def __init__(self, seconds: float = HOUR, max_bytes: int = MAX_BYTES):
        """Keep analyses for so many seconds and in so many bytes."""
        self._seconds, self._max_bytes = seconds, max_bytes
        self._analyses: OrderedDict[str, tuple[float, Analysed | Packed]] = OrderedDict()
        self._visitors: OrderedDict[str, _Visitor] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, analysed: Analysed) -> None:
        """Keep an analysis."""
        stored = analysed if analysed.clip_path is None else pack(analysed)
        with self._lock:
            self._analyses[analysed.id] = (time.monotonic(), stored)
            self._drop_old()

    def get(self, name: str | None) -> Analysed | None:
        """The analysis of that id; None if there is none any more."""
        found = self._stored(name)
        try:
            return found.unpack() if isinstance(found, Packed) else found
        except ImageError:  # the clip's file lives no longer than this
            return None

    def packed(self, name: str | None) -> Analysed | None:
        """A clip's frame as it is kept, without picture and maps; None if there is none."""
        found = self._stored(name)
        return found.analysed if isinstance(found, Packed) else None

    def close(self, visitor: str) -> None:
        """Forget a visitor, and the picture they look at: each frame, truth and network of it."""
        with self._lock:
            left = self._visitors.pop(visitor, _Visitor())
            self._drop_series(left.series)

    def drop_series(self, series: str) -> None:
        """Forget a picture that is shown no more."""
        with self._lock:
            self._drop_series(series)

    def open(self, visitor: str, series: str) -> str:
        """A visitor asks for another picture; gives the series that was asked for before."""
        with self._lock:
            now = self._visitor(visitor)
            before, now.series = now.series, series
            return before

    def ask(self, visitor: str) -> int:
        """A visitor asks for something else of the same picture; gives the request's number."""
        with self._lock:
            now = self._visitor(visitor)
            now.request += 1
            return now.request

    def is_wanted(self, visitor: str, series: str, request: int | None = None) -> bool:
        """Whether no later picture, and no later request where one is given, was asked for."""
        with self._lock:
            now = self._visitor(visitor)
            return now.series == series and request in (None, now.request)

    def _drop_series(self, series: str) -> None:
        for name, (_, analysed) in list(self._analyses.items()):
            if analysed.series == series:
                del self._analyses[name]

    def _stored(self, name: str | None) -> Analysed | Packed | None:
        with self._lock:
            self._drop_old()
            found = self._analyses.get(name) if isinstance(name, str) else None  # browsers send it
            return found and found[1]

    def _visitor(self, name: str) -> _Visitor:
        visitor = self._visitors.setdefault(name, _Visitor())
        self._visitors.move_to_end(name)
        if len(self._visitors) > MAX_VISITORS:
            self._visitors.popitem(last=False)
        return visitor

    def _drop_old(self) -> None:
        oldest = time.monotonic() - self._seconds
        total = sum(_bytes(analysed) for _, analysed in self._analyses.values())
        for name, (since, analysed) in list(self._analyses.items()):
            if since >= oldest and total <= self._max_bytes:
                break
            del self._analyses[name]
            total -= _bytes(analysed)


def _bytes(analysed: Analysed | Packed) -> int:
    if isinstance(analysed, Packed):
        return analysed.nbytes
    prediction = analysed.prediction
    arrays = (analysed.picture.pixels, prediction.p8, prediction.u8, analysed.truth)
    return sum(array.nbytes for array in arrays if array is not None)
