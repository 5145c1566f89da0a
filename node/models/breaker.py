"""A circuit breaker: after some failures in a row nothing is tried for a while, then one call tries again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

FAILURES_MAX = 3
OPEN_SECONDS = 5.0


class Breaker:
    """Closed lets all calls through, open none, half-open one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opens_at = 0.0

    def allows(self) -> bool:
        """Whether a call may be tried; whoever is told so says how it went."""
        with self._lock:
            if self._failures < FAILURES_MAX:
                return True
            if self._clock() < self._opens_at:
                return False
            self._opens_at = self._clock() + OPEN_SECONDS
            return True

    def went(self, *, well: bool) -> None:
        """How a call went."""
        with self._lock:
            self._failures = 0 if well else self._failures + 1
            if not well and self._failures >= FAILURES_MAX:
                self._opens_at = self._clock() + OPEN_SECONDS

    @property
    def is_open(self) -> bool:
        """Whether the last calls failed."""
        with self._lock:
            return self._failures >= FAILURES_MAX
