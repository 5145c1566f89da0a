"""The time, from one place, so that tests can set it."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]


def now_micros() -> int:
    """Microseconds since 1970-01-01T00:00:00Z."""
    return time.time_ns() // 1000
