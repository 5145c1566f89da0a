"""What happens on its way into the audit log: taken in memory, written by a worker some at a time.

A call does not wait for its entry. So when the process is killed, entries of the last moment (IDLE_SECONDS) are lost;
when it is asked to stop, none. Whoever calls in vain can't fill the disk: equal refusals become one entry with their
number, and no more than REFUSED_MAX different ones are told a second.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from node.clock import Clock
from node.domain.log_entry import Happened
from node.store import log
from node.store.db import Store
from node.store.seal import Seal

IDLE_SECONDS = 0.25
QUEUE_MAX = 20_000
BATCH_MAX = 1_000
REFUSED_MAX = 20
REFUSED_EVERY_MICROS = 1_000_000
LEFT_OUT = "LEFT_OUT"

_Alike = tuple[object, ...]


class Journal:
    """Takes what happened, from any thread. ``step`` is a worker's; ``drain`` comes when no thread has it any more."""

    def __init__(self, store: Store, seal: Seal, clock: Clock) -> None:
        self._store = store
        self._seal = seal
        self._clock = clock
        self._lock = threading.Lock()
        self._done: deque[Happened] = deque()
        self._refused: dict[_Alike, Happened] = {}
        self._left_out = 0
        self._refused_at = 0
        self._taken: list[Happened] = []

    def done(self, who: str, call: str, on: Mapping[str, object], address: str, request_id: str = "") -> None:
        """A call that was answered."""
        happened = Happened(self._clock(), who, call, "OK", "", on, address, request_id=request_id)
        with self._lock:
            if len(self._done) < QUEUE_MAX:
                self._done.append(happened)
            else:
                self._left_out += 1

    def refused(
        self,
        who: str,
        call: str,
        result: str,
        reason: str,
        address: str,
        on: Mapping[str, str] | None = None,
        request_id: str = "",
    ) -> None:
        """A call that was refused."""
        on = on or {}
        alike: _Alike = (who, call, result, reason, address, *sorted(on.items()))
        with self._lock:
            known = self._refused.get(alike)
            if known is not None:
                self._refused[alike] = replace(known, times=known.times + 1)
            elif len(self._refused) < REFUSED_MAX:
                self._refused[alike] = Happened(
                    self._clock(), who, call, result, reason, on, address, request_id=request_id
                )
            else:
                self._left_out += 1

    def step(self) -> bool:
        """Write some of it; answers whether there is more."""
        return self._write(all_refused=False)

    def drain(self) -> None:
        """Write the rest."""
        while self._write(all_refused=True):
            pass

    def _write(self, *, all_refused: bool) -> bool:
        if not self._taken:  # else the index was away when they were to be written
            self._taken = self._take(all_refused=all_refused)
        if not self._taken:
            return False
        taken = self._taken
        self._store.together(lambda: log.append(taken, self._seal))
        self._taken = []
        return bool(self._done)

    def _take(self, *, all_refused: bool) -> list[Happened]:
        now = self._clock()
        with self._lock:
            taken = [self._done.popleft() for _ in range(min(BATCH_MAX, len(self._done)))]
            if all_refused or abs(now - self._refused_at) >= REFUSED_EVERY_MICROS:
                taken += self._refused.values()
                self._refused = {}
                if self._left_out:
                    taken.append(Happened(now, "", "log", LEFT_OUT, times=self._left_out))
                    self._left_out = 0
                self._refused_at = now
        return taken
