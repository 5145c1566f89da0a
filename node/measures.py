"""What the node measures of itself, kept as plain numbers: nothing here knows who reads them, or in which form."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of what takes as long as a call."""


@dataclass(frozen=True, slots=True)
class Spread:
    """What a Histogram held at one moment: how many values were at most each bound (the last: all), and their sum."""

    bounds: tuple[float, ...]
    up_to: tuple[int, ...]
    total: float

    @property
    def count(self) -> int:
        """How many values there were."""
        return self.up_to[-1]


class Histogram:
    """Counts values by upper bounds, which ascend. Any thread may ``observe``; it takes less than a microsecond."""

    __slots__ = ("_bounds", "_counts", "_lock", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        """Count a value."""
        place = bisect_left(self._bounds, value)
        with self._lock:
            self._counts[place] += 1
            self._sum += value

    def now(self) -> Spread:
        """What was counted so far."""
        with self._lock:
            return Spread(self._bounds, tuple(accumulate(self._counts)), self._sum)


COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that is measured, with the values that it has by its labels.

    ``kind`` is COUNTER (only grows while the process lives; its name ends in ``_total``), GAUGE or HISTOGRAM (its
    values are Spreads). Labels never hold what a caller chose, and have few values each.
    """

    name: str
    help: str
    kind: str
    values: tuple[tuple[Mapping[str, str], float | Spread], ...]


def gauge(name: str, help_: str, value: float | None, **labels: str) -> Figure:
    """A figure of one value, or of none while it is not known."""
    return Figure(name, help_, GAUGE, () if value is None else ((labels, value),))


def counter(name: str, help_: str, value: float, **labels: str) -> Figure:
    """A count."""
    return Figure(name, help_, COUNTER, ((labels, value),))
