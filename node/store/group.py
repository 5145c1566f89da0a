"""Group commit: work of many threads that one of them does for all, in one transaction.

Whoever comes while nobody leads becomes the leader. It does what waits by then, its own included, and hands the lead
to the first of those that came meanwhile. So a commit, and each statement that serves all, is paid for once a group.
Where groups form, the leader gives others a moment to come: the larger a group, the less each part of it costs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from node import calling
from node.errors import IndexUnavailable
from node.measures import SECONDS, Histogram

GROUP_MAX = 100
"""How much is done in one transaction; the rest waits for the next."""
GATHER_SECONDS_EACH = 0.00025
"""How long a leader waits for others, for each part of the last group: about what it takes to come this far."""
GATHER_SECONDS_MAX = 0.01
WAIT_SECONDS_MAX = 60
"""How long work waits to be begun."""
SIZES = (1, 2, 4, 8, 16, 32, 64)
"""Upper bounds of how much is done in one transaction, beside GROUP_MAX."""

T = TypeVar("T")


class Lock(Protocol):
    """What this needs of a lock."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...

    def release(self) -> None: ...


OfAll = Callable[[Sequence[Any]], Sequence[Any]]
"""Does what it can of the work that several shares describe. None for each that is left to be done alone."""


class Share:
    """One thread's part of a group: what is to be done, and what came of it.

    Shares with the same ``of_all`` may be done by it, which is told each one's ``given``. ``calling`` is the call that
    it belongs to.
    """

    __slots__ = ("calling", "fault", "given", "is_done", "of_all", "result", "turn", "work")

    def __init__(self, work: Callable[[], Any], of_all: OfAll | None = None, given: Any = None) -> None:
        self.work = work
        self.of_all = of_all
        self.given = given
        self.calling = calling.current()
        self.result: Any = None
        self.fault: BaseException | None = None
        self.is_done = False
        self.turn = threading.Lock()  # held until the share is done, or its thread is to lead
        self.turn.acquire()


class Group:
    """``do_all`` does a group's work in one transaction, held against other writers by the lock ``writing``.

    It gives every share its result or its own fault; what it raises is the fault of all. ``sizes`` counts groups by how
    much each did, ``waits`` how long leaders waited for ``writing``.
    """

    def __init__(self, writing: Lock, do_all: Callable[[Sequence[Share]], None]) -> None:
        self._writing = writing
        self._do_all = do_all
        self._lock = threading.Lock()
        self._waiting: list[Share] = []  # the first leads, or is about to
        self._is_led = False
        self._last_size = 1
        self.sizes = Histogram((*SIZES, GROUP_MAX))
        self.waits = Histogram(SECONDS)

    def do(self, work: Callable[[], T], of_all: OfAll | None = None, given: Any = None) -> T:
        """Have ``work`` done, on whichever thread leads, and answer its result once it is committed.

        IndexUnavailable when it was not begun within WAIT_SECONDS_MAX: then it never will be.
        """
        share = Share(work, of_all, given)
        with self._lock:
            self._waiting.append(share)
            leads, self._is_led = not self._is_led, True
        if not leads and not share.turn.acquire(timeout=WAIT_SECONDS_MAX):
            self._give_up(share)
        if not share.is_done:
            self._lead()
        if share.fault is not None:
            raise share.fault
        result: T = share.result
        return result

    def _give_up(self, share: Share) -> None:
        """Leave the queue with IndexUnavailable; returns, with the share's turn, if that has just come."""
        with self._lock:
            if share.turn.acquire(blocking=False):
                return
            if share in self._waiting:
                self._waiting.remove(share)
                raise _busy()
        share.turn.acquire()  # it is being done, which the transaction's own bounds end

    def _lead(self) -> None:
        if self._last_size > 1:
            time.sleep(min(self._last_size * GATHER_SECONDS_EACH, GATHER_SECONDS_MAX))
        began = time.perf_counter()
        is_free = self._writing.acquire(timeout=WAIT_SECONDS_MAX)
        self.waits.observe(time.perf_counter() - began)
        with self._lock:
            taken = self._waiting[:GROUP_MAX]
            del self._waiting[:GROUP_MAX]
        self._last_size = len(taken)
        self.sizes.observe(self._last_size)
        try:
            if not is_free:
                raise _busy()
            self._do_all(taken)
        except BaseException as fault:  # noqa: BLE001 - every thread of the group raises it
            for share in taken:
                share.fault = fault
        finally:
            if is_free:
                self._writing.release()
            with self._lock:
                if self._waiting:
                    self._waiting[0].turn.release()
                else:
                    self._is_led = False
            for share in taken:
                share.is_done = True
                share.turn.release()


def _busy() -> IndexUnavailable:
    return IndexUnavailable(f"the index was busy for {WAIT_SECONDS_MAX} s")
