"""Whose turn it is to write an index that several processes share.

SQLite lets one transaction write at a time, and those of other processes look again with pauses of up to 100 ms, so who
has just written is first again and others wait for a second. So each looks at a lock of the system before, with short
pauses. It is only a queue: what holds transactions apart is SQLite itself, also from commands that don't know of it.

The lock is looked at instead of waited for: who is woken with it must first get Python's own lock of a busy process,
and all others would wait for that as well (docs/workers.md has the figures).
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path
from types import TracebackType

from node.errors import IndexUnavailable, SetupError

PAUSE_SECONDS = 0.0005
WAIT_SECONDS_MAX = 60


class Turn:
    """A lock for the threads of all processes; a thread that has it may take it again."""

    def __init__(self, path: Path) -> None:
        self._own = threading.RLock()
        self._depth = 0
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as fault:
            raise SetupError(f"{path}: {fault.strerror}") from fault

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Get it, within ``timeout`` seconds (negative: WAIT_SECONDS_MAX); answers whether it is there."""
        deadline = time.monotonic() + (WAIT_SECONDS_MAX if timeout < 0 else timeout)
        if not self._own.acquire(blocking, max(0.0, deadline - time.monotonic()) if blocking else -1):
            return False
        if not self._depth and not self._lock(deadline if blocking else 0.0):
            self._own.release()
            return False
        self._depth += 1
        return True

    def release(self) -> None:
        """Let the next one have it."""
        self._depth -= 1
        if not self._depth:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._own.release()

    def __enter__(self) -> None:
        if not self.acquire():
            raise IndexUnavailable(f"another process wrote to the index for {WAIT_SECONDS_MAX} s")

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def close(self) -> None:
        """Nobody of this process writes any more."""
        os.close(self._file)

    def _lock(self, deadline: float) -> bool:
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(PAUSE_SECONDS)
