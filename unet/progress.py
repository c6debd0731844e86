"""Progress of long commands: done, total, speed and remaining time."""

from __future__ import annotations

import time


def duration(seconds: float) -> str:
    """A duration as people read it: "45 s", "12 min", "3 h 20 min"."""
    seconds = max(0, round(seconds))
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class Progress:
    """Prints a line now and then, in a terminal and in a log alike.

    Attributes:
        done: Units that are done.
    """

    def __init__(self, total: int, unit: str, every_s: float = 15.0):
        """Start the clock.

        Args:
            total: Units in all.
            unit: Their name in the plural, such as "images".
            every_s: Seconds between two lines.
        """
        self.done, self._total, self._unit, self._every_s = 0, total, unit, every_s
        self._start = self._printed = time.monotonic()

    def add(self, count: int = 1) -> None:
        """Count units that are done; print a line if the last one is long ago."""
        self.done += count
        now = time.monotonic()
        if now - self._printed >= self._every_s and self.done < self._total:
            self._printed = now
            left = (now - self._start) / self.done * (self._total - self.done)
            print(
                f"{self.done:,} of {self._total:,} {self._unit}, {self.speed:.1f} a second, "
                f"{duration(left)} left",
                flush=True,
            )

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    @property
    def speed(self) -> float:
        """Units a second."""
        return self.done / max(self.seconds, 1e-9)
