"""Group commit: work of many threads that one thread does for all, in one transaction.

The writer does what waits by then and tells each what came of it. So a commit, and each statement that serves all, is
paid for once a group. Where groups form, it gives others a moment to come: the larger a group, the less each part of it
costs. Nobody has to wait for it on a thread: who has a Share can be told.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from node import calling
from node.errors import IndexUnavailable
from node.later import Later
from node.measures import SECONDS, Histogram

GROUP_MAX = 100
"""How much is done in one transaction; the rest waits for the next."""
GATHER_SECONDS_EACH = 0.00025
"""How long the writer waits for others, for each part of the last group: about what it takes to come this far."""
GATHER_SECONDS_MAX = 0.01
WAIT_SECONDS_MAX = 60
"""How long work waits to be begun."""
SIZES = (1, 2, 4, 8, 16, 32, 64)
"""Upper bounds of how much is done in one transaction, beside GROUP_MAX."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class Lock(Protocol):
    """What this needs of a lock."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...

    def release(self) -> None: ...


OfAll = Callable[[Sequence[Any]], Sequence[Any]]
"""Does what it can of the work that several shares describe. None for each that is left to be done alone."""


class Share(Later[T]):
    """One part of a group: what is to be done, and what came of it.

    Shares with the same ``of_all`` may be done by it, which is told each one's ``given``. ``calling`` is the call that
    it belongs to.
    """

    __slots__ = ("calling", "given", "of_all", "taken", "work")

    def __init__(self, work: Callable[[], T], of_all: OfAll | None = None, given: Any = None) -> None:
        super().__init__()
        self.work = work
        self.of_all = of_all
        self.given = given
        self.calling = calling.current()
        self.taken = threading.Lock()  # by the writer, or by who waits no longer

    def wait_over(self) -> None:
        """See Later. Ends with IndexUnavailable if not begun within WAIT_SECONDS_MAX: then it never will be."""
        over = threading.Lock()
        over.acquire()
        self.then(over.release)
        if over.acquire(timeout=WAIT_SECONDS_MAX):
            return
        if self.taken.acquire(blocking=False):
            self.fault = _busy()
            self.end()
        over.acquire()  # if it is being done, the transaction's own bounds end that


class Group:
    """``do_all`` does a group's work in one transaction, held against other writers by the lock ``writing``.

    It gives every share its result or its own fault; what it raises is the fault of all. The writer is a thread of its
    own, from the first share until ``stop``. ``sizes`` counts groups by how much each did, ``waits`` how long it waited
    for ``writing``.
    """

    def __init__(self, writing: Lock, do_all: Callable[[Sequence[Share[Any]]], None]) -> None:
        self._writing = writing
        self._do_all = do_all
        self._lock = threading.Lock()
        self._waiting: deque[Share[Any]] = deque()
        self._come = threading.Event()
        self._writer: threading.Thread | None = None
        self._is_over = False
        self._last_size = 1
        self.sizes = Histogram((*SIZES, GROUP_MAX))
        self.waits = Histogram(SECONDS)

    def begin(self, work: Callable[[], T], of_all: OfAll | None = None, given: Any = None) -> Share[T]:
        """Have ``work`` done by the writer. The share is over once it is committed, or could not be."""
        if self._writer is None or self._is_over:
            self._start()
        share = Share(work, of_all, given)
        self._waiting.append(share)
        if not self._come.is_set():
            self._come.set()
        return share

    def stop(self) -> None:
        """Do what waits, and take no more."""
        with self._lock:
            self._is_over, writer = True, self._writer
        if writer is not None:
            self._come.set()
            writer.join()

    def _start(self) -> None:
        with self._lock:
            if self._is_over:
                raise IndexUnavailable("the index is closed")
            if self._writer is None:
                self._writer = threading.Thread(target=self._write, name="writer", daemon=True)
                self._writer.start()

    def _write(self) -> None:
        while not self._is_over:
            self._come.wait()
            self._come.clear()
            while self._waiting:
                self._do_some()

    def _do_some(self) -> None:
        if self._last_size > 1:
            time.sleep(min(self._last_size * GATHER_SECONDS_EACH, GATHER_SECONDS_MAX))
        began = time.perf_counter()
        is_free = self._writing.acquire(timeout=WAIT_SECONDS_MAX)
        self.waits.observe(time.perf_counter() - began)
        most = GROUP_MAX if is_free else len(self._waiting)  # else whoever is behind would wait as long again
        waiting = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        taken = [share for share in waiting if share.taken.acquire(blocking=False)]
        self._last_size = len(taken)
        self.sizes.observe(self._last_size)
        try:
            if not is_free:
                raise _busy()
            if taken:
                self._do_all(taken)
        except BaseException as fault:  # noqa: BLE001 - everybody of the group is told
            for share in taken:
                share.fault = fault
        finally:
            if is_free:
                self._writing.release()
        for share in taken:
            try:
                share.end()
            except Exception:  # the writer must go on
                log.exception("who waited could not be told")


def _busy() -> IndexUnavailable:
    return IndexUnavailable(f"the index was busy for {WAIT_SECONDS_MAX} s")
