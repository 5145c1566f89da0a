"""Who has a data directory: locks of the system, which end with the process."""

from __future__ import annotations

import fcntl
import logging
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import IO

from node.config import Config
from node.errors import SetupError

CLAIM_SECONDS = 0.25
CLAIM_PAUSE_SECONDS = 0.05
LEFT_SECONDS_MAX = 70.0
"""Somewhat longer than a process may take to end once the one that started it is gone."""

log = logging.getLogger(__name__)


class Claim(AbstractContextManager[None]):
    """A data directory that this process holds, until it ends or closes it.

    ``whole`` is the lock that processes of the same node have too, from which others see that it runs.
    """

    def __init__(self, first: IO[str], whole: IO[str]) -> None:
        self._first = first
        self.whole = whole

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.whole.close()
        self._first.close()


def claim_directory(config: Config) -> Claim:
    """Hold the data directory for this process alone, for as long as it lives.

    Where the first process of a node was killed, those that it had started end by themselves; that is waited for.
    """
    first = lock_file(config, "first.lock")
    try:
        _take(config, first, CLAIM_SECONDS)
        whole = lock_file(config, "lock")
        try:
            _take(config, whole, LEFT_SECONDS_MAX)
        except BaseException:
            whole.close()
            raise
    except BaseException:
        first.close()
        raise
    return Claim(first, whole)


def _take(config: Config, lock: IO[str], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    is_told = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            left = deadline - time.monotonic()
            if left <= 0:
                raise SetupError(
                    f"--data-dir {config.data_dir}: another node runs on it; stop that one or name another directory"
                ) from None
            if seconds - left > CLAIM_SECONDS and not is_told:
                is_told = True
                log.warning("waiting for the processes of a node that was killed to end")
            time.sleep(CLAIM_PAUSE_SECONDS)  # `vtrace status` holds it for a moment to see whether a node does


def is_running(config: Config) -> bool:
    """Whether a node has the data directory."""
    with lock_file(config, "lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


def lock_file(config: Config, name: str) -> IO[str]:
    """A file of locks in the data directory, which is made at first need. SetupError where it can't be."""
    try:
        config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return open(config.data_dir / name, "a")
    except OSError as fault:
        raise SetupError(f"--data-dir {config.data_dir}: {fault.strerror}") from fault
