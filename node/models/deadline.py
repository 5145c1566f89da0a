"""Deadlines of runs: one thread ends what takes too long; a timer for each run would cost more than the run."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TICK_SECONDS = 0.05


class Deadlines:
    """Calls ``stop`` of each run that is past its deadline, within TICK_SECONDS; sleeps while nothing runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[int, tuple[float, Callable[[], None]]] = {}
        self._numbers = itertools.count()
        self._busy = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, seconds: float, stop: Callable[[], None]) -> Iterator[None]:
        """Call ``stop`` if the block takes longer than ``seconds``."""
        number = next(self._numbers)
        with self._lock:
            self._under_way[number] = time.monotonic() + seconds, stop
            self._busy.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._under_way.pop(number, None)

    def _watch(self) -> None:
        while True:
            self._busy.wait()
            time.sleep(TICK_SECONDS)
            now = time.monotonic()
            with self._lock:
                late = [number for number, (deadline, _) in self._under_way.items() if deadline <= now]
                stops = [self._under_way.pop(number)[1] for number in late]
                if not self._under_way:
                    self._busy.clear()
            for stop in stops:
                stop()
