"""Watching: streams of changes, bounded in number and in time, each with a cursor to go on from."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.domain.changes import Change, Cursor, parse_cursor, watched
from node.domain.records import User
from node.errors import Reason, Status, VTraceError, denied
from node.flow.callers import fresh
from node.flow.feed import Feed, Interest
from node.store import changes
from node.store.db import Store

WATCHERS_MAX = 600
WATCHERS_OF_ONE_MAX = 100
"""Of one user, or from one address where nobody has to say who it is."""
BEAT_SECONDS = 15.0
LIFE_SECONDS = 3_600.0
TAKEN_MAX = 100
SCAN_MAX = 5_000
RETRY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Taken:
    """What a watcher has to be told now, in order, and the place behind it.

    ``is_beat``: also that all is well. ``more``: there is more at once. ``is_last``: the stream ends here.
    """

    changes: list[Change]
    cursor: Cursor
    is_beat: bool
    more: bool
    is_last: bool


class Watch:
    """One watcher. ``take`` is for one thread at a time; ``check`` refuses who may not watch any more."""

    def __init__(
        self, owner: Watches, who: str, interest: Interest, begin: Cursor, check: Callable[[], object]
    ) -> None:
        self._owner = owner
        self.who = who
        self.interest = interest
        self._place = begin
        self._check = check
        self._begun = time.monotonic()
        self._told: float | None = None
        self._wake: Callable[[], None] = lambda: None
        interest.wake = self.wake

    def on_ready(self, wake: Callable[[], None]) -> None:
        """``wake`` is called, on any thread, when there may be something to take."""
        self._wake = wake

    def wake(self) -> None:
        """There may be something to take."""
        self._wake()

    def is_due(self) -> bool:
        """Whether it has to be told something, even if nothing happened."""
        now = time.monotonic()
        return self._told is not None and (now - self._told >= BEAT_SECONDS or self._is_over(now))

    def _is_over(self, now: float) -> bool:
        return self._owner.is_stopping or now - self._begun >= LIFE_SECONDS

    def take(self) -> Taken:
        """What there is now. The first time always a beat, which says where the stream begins."""
        now = time.monotonic()
        is_first, is_last = self._told is None, self._is_over(now)
        found, more = ([], True) if is_first else self._read()
        is_last = is_last and not is_first
        is_beat = is_first or is_last or (self._told is not None and now - self._told >= BEAT_SECONDS and not found)
        if is_beat:
            self._check()
        if found or is_beat:
            self._told = now
        return Taken(found, self._place, is_beat, more and not is_last, is_last)

    def _read(self) -> tuple[list[Change], bool]:
        seen = self._owner.feed.take(self.interest)
        if seen is not None:
            self._place = Cursor(self._place.epoch, max(self._place.number, seen))
            return [], False
        found, upto, more = self._owner.read(self.interest, self._place.number)
        self._place = Cursor(self._place.epoch, upto)
        if more:
            self.interest.touched = True
        return found, more

    def close(self) -> None:
        """Nobody listens any more."""
        self._owner.leave(self)


class Watches:
    """All watchers of a node."""

    def __init__(self, store: Store, feed: Feed) -> None:
        self._store = store
        self.feed = feed
        self.is_stopping = False
        self._lock = threading.Lock()
        self._watches: set[Watch] = set()
        self._of: Counter[str] = Counter()
        feed.ticks.append(self._tick)

    def goods(self, address: str, goods_ids: Sequence[int], cursor: str) -> Watch:
        """Watch named goods, from an address (empty where it is not known), behind a cursor or from now on."""
        return self._open(f"address {address}", watched("goods_id", goods_ids), None, cursor, lambda: None)

    def org(self, caller: User, cursor: str) -> Watch:
        """Watch all goods of the caller's org."""
        org_id = org_of(caller)

        def check() -> None:
            if org_of(caller) != org_id:
                raise denied(f"the caller is no member of org {org_id} any more", org_id=org_id)

        return self._open(f"user {caller.id}", frozenset(), org_id, cursor, check)

    def _open(
        self, who: str, goods_ids: frozenset[int], org_id: int | None, cursor: str, check: Callable[[], None]
    ) -> Watch:
        begin = self.feed.place(parse_cursor(cursor) if cursor else None)
        watch = Watch(self, who, Interest(goods_ids, org_id, lambda: None), begin, check)
        with self._lock:
            if self.is_stopping:
                raise stopped()
            if len(self._watches) >= WATCHERS_MAX:
                raise _full(f"{WATCHERS_MAX} watchers are all that this node has")
            if self._of[who] >= WATCHERS_OF_ONE_MAX:
                raise _full(f"{who} has {WATCHERS_OF_ONE_MAX} watchers already")
            self._of[who] += 1
            self._watches.add(watch)
        self.feed.add(watch.interest)
        return watch

    def leave(self, watch: Watch) -> None:
        """Forget a watcher; once more does nothing."""
        self.feed.remove(watch.interest)
        with self._lock:
            if watch in self._watches:
                self._watches.remove(watch)
                self._of[watch.who] -= 1
                if not self._of[watch.who]:
                    del self._of[watch.who]

    def read(self, interest: Interest, after: int) -> tuple[list[Change], int, bool]:
        """The next changes, up to where was looked, and whether there are more."""
        with self._store.read():
            if interest.org_id is not None:
                found, upto = changes.of_org(interest.org_id, after, TAKEN_MAX, SCAN_MAX)
                return found, upto, upto < changes.head()
            found = changes.of_goods(interest.goods_ids, after, TAKEN_MAX)
            if len(found) == TAKEN_MAX:
                return found, found[-1].number, True
            return found, max(after, changes.head()), False

    def _tick(self) -> None:
        with self._lock:
            due = [watch for watch in self._watches if watch.is_due()]
        for watch in due:
            watch.wake()

    def stop(self) -> None:
        """End all streams, each with its cursor; no new ones."""
        with self._lock:
            self.is_stopping = True
            watches = list(self._watches)
        for watch in watches:
            watch.wake()

    @property
    def total(self) -> int:
        """How many watchers there are."""
        return len(self._watches)


def org_of(caller: User) -> int:
    """The caller's org, as it is now; ORG_NOT_EXIST if it has none."""
    org_id = fresh(caller).org_id
    if org_id is None:
        raise VTraceError(Reason.ORG_NOT_EXIST, "the caller belongs to no org", metadata={"username": caller.username})
    return org_id


def stopped() -> VTraceError:
    """The refusal of a node that stops."""
    return VTraceError(
        Reason.SERVICE_OFFLINE,
        "the node stops: go on with the last cursor once it is back",
        status=Status.UNAVAILABLE,
        retry_seconds=RETRY_SECONDS,
    )


def _full(what: str) -> VTraceError:
    return VTraceError(Reason.SERVICE_OFFLINE, what, status=Status.RESOURCE_EXHAUSTED, retry_seconds=RETRY_SECONDS)
