"""The threads that answer calls."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

END_SECONDS_MAX = 5.0
"""How long a call that goes on after the server has stopped is waited for."""

log = logging.getLogger(__name__)

Job = tuple[Callable[..., object], tuple[Any, ...], dict[str, Any], "Ending"]


class Ending:
    """When a call has been answered: all that gRPC asks of what it hands to its threads."""

    __slots__ = ("_callbacks", "_is_over", "_lock")

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._is_over = False
        self._callbacks: list[Callable[[Any], object]] = []

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Tell ``callback`` at the end, at once if that is past."""
        with self._lock:
            if not self._is_over:
                self._callbacks.append(callback)
                return
        callback(self)

    def come(self) -> None:
        """This is the end."""
        with self._lock:
            self._is_over = True
        for callback in self._callbacks:
            callback(self)


class Threads(Executor):
    """``total`` threads, started at once. Python's own pool takes as long for a call's Future as for a signature."""

    def __init__(self, total: int, name: str) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}_{number}", daemon=True) for number in range(total)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[..., object], /, *args: Any, **kwargs: Any) -> Any:
        """Do a call on one of the threads; answers its Ending. Calls beyond their number wait."""
        ending = self.ending()
        self.put(ending, fn, *args, **kwargs)
        return ending

    def ending(self) -> Ending:
        """That of a call which is yet to be put."""
        return Ending(self._lock)

    def put(self, ending: Ending, fn: Callable[..., object], /, *args: Any, **kwargs: Any) -> None:
        """``submit`` a call that has its Ending."""
        self._jobs.put((fn, args, kwargs, ending))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads end once they have done what waits, and with each what it has open; waits for that."""
        del cancel_futures  # what waits is answered
        for _ in self._threads:
            self._jobs.put(None)
        deadline = time.monotonic() + END_SECONDS_MAX
        for thread in self._threads if wait else ():
            thread.join(max(deadline - time.monotonic(), 0))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            fn, args, kwargs, ending = job
            try:
                fn(*args, **kwargs)
            except BaseException:
                log.exception("a call ended without an answer")
            finally:
                ending.come()
            del job, fn, args, kwargs, ending  # a thread that waits holds nothing of its last call
