"""The feed: tells whoever waits for changes that there are some, without a query for each who waits.

One worker looks at what is new, once for all, and touches the interests that it concerns. What is read, each reads for
itself, from its own place on, so that a slow reader has nothing queued for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from node.clock import Clock
from node.domain.changes import KEPT_MICROS, Cursor, Kept, gone
from node.store import changes
from node.store.db import Store

PAGE = 200
"""Changes that are looked at in one step."""
SWEEP_SECONDS = 600.0
SWEEP_ROWS = 5_000


@dataclass(eq=False, slots=True)
class Interest:
    """What somebody waits for: the changes of ``goods_ids``, or of an org's goods. ``wake`` is told of them.

    ``wake`` runs on the feed's thread, and must not wait for anything.
    """

    goods_ids: frozenset[int]
    org_id: int | None
    wake: Callable[[], None]
    touched: bool = field(default=True)


class Feed:
    """``step`` is one look; ``tick`` functions are called at each. What is old is dropped where it ``is_swept``."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._interests: set[Interest] = set()
        self._seen = changes.head()
        self._swept = time.monotonic()
        self._is_sweeping = False
        self.is_swept = False
        self.ticks: list[Callable[[], None]] = []
        self.sweeps: list[Callable[[], None]] = []

    def kept(self) -> Kept:
        """What the feed has now."""
        with self._store.read():
            return changes.kept()

    def place(self, cursor: Cursor | None) -> Cursor:
        """Where to begin: at a cursor, or at the end. OUT_OF_RANGE where changes behind it are lost."""
        kept = self.kept()
        if cursor is None:
            return kept.last
        if kept.place(cursor) is None:
            raise gone(cursor, kept)
        return cursor

    def add(self, interest: Interest) -> None:
        """From now on changes touch it; it begins touched, since what came before it does not."""
        with self._lock:
            self._interests.add(interest)

    def remove(self, interest: Interest) -> None:
        """It hears no more."""
        with self._lock:
            self._interests.discard(interest)

    def untouched_up_to(self, interest: Interest) -> int | None:
        """Up to where nothing touched an interest; None if something did."""
        with self._lock:
            return None if interest.touched else self._seen

    def take(self, interest: Interest) -> int | None:
        """``untouched_up_to``; that it was touched is then forgotten."""
        with self._lock:
            untouched = None if interest.touched else self._seen
            interest.touched = False
            return untouched

    def step(self) -> bool:
        """Look at what is new, and drop what is old; answers whether more is there at once."""
        last = changes.head()
        goods: set[int] = set()
        orgs: set[int] = set()
        with self._lock:
            waiting = list(self._interests)
            if not waiting:
                self._seen = last  # whoever is added from here on reads what there was by itself
        seen, upto = self._seen, min(last, self._seen + PAGE)
        if upto > seen:
            with self._store.read():
                if any(interest.org_id is None for interest in waiting):
                    goods = changes.touched_goods(seen, upto)
                if any(interest.org_id is not None for interest in waiting):
                    orgs = changes.touched_orgs(seen, upto)
        with self._lock:
            # Who came meanwhile began touched, and reads at least as far as this.
            touched = [each for each in waiting if each.org_id in orgs or not goods.isdisjoint(each.goods_ids)]
            for interest in touched:
                interest.touched = True
            self._seen = upto
        for interest in touched:
            interest.wake()
        for tick in tuple(self.ticks):
            tick()
        return (self.is_swept and self._sweep()) or upto < last

    def _sweep(self) -> bool:
        if not self._is_sweeping and time.monotonic() - self._swept < SWEEP_SECONDS:
            return False
        if not self._is_sweeping:
            for sweep in tuple(self.sweeps):
                sweep()
        self._swept = time.monotonic()
        with self._store.write():
            dropped = changes.forget_older(self._clock() - KEPT_MICROS, SWEEP_ROWS)
        self._is_sweeping = dropped == SWEEP_ROWS
        return self._is_sweeping
