"""Counting scans beside the pages, and telling who should know.

A page only puts its scan into a bounded heap in memory. A worker writes the heap to the index every few seconds and
judges the serials that were scanned. What a kill loses is the heap: the counts of the last seconds. An address is never
kept: with the goods it becomes a keyed hash of 8 bytes, under a salt that is another each day (UTC) and forgotten
with it. So nobody can be followed from goods to goods, nor from day to day. A day's salt is made on the day before, so
that all processes that share the index have the same one from the first moment on.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections import Counter
from dataclasses import dataclass
from functools import partial
from threading import Lock

from node.clock import Clock
from node.domain.addresses import network_of
from node.domain.pages import Listing, Place
from node.domain.records import User
from node.domain.scans import KEPT_DAYS, Alert, Scan, judge
from node.errors import Reason, denied
from node.store import keys, scans
from node.store.db import Store
from node.store.seal import Seal

MICROS_PER_DAY = 86_400 * 1_000_000
JUDGE_EVERY_MICROS = 60 * 1_000_000
WAITING_MAX = 20_000
"""Different scans that wait to be written; more are lost, and counted as such in the log."""
READERS_MAX = 1_000_000
"""Readers that one day remembers, for each process that counts. More count as scans only, so strangers can't fill the
disk."""
ROWS_MAX = 5_000_000
"""Rows of counts; the oldest days go before their time if there are more."""
SALT = "scans"
SALT_BYTES, DAY_BYTES, READER_BYTES = 16, 4, 8

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Salts:
    """The salts of a day and of the day after it; no day before the first."""

    day: int = -1
    today: bytes = b""
    tomorrow: bytes = b""


class Scans:
    """Counts scans; ``note`` and ``is_hinted`` are for any thread, ``step`` is the worker's."""

    def __init__(self, store: Store, seal: Seal, clock: Clock) -> None:
        self._store = store
        self._seal = seal
        self._clock = clock
        self._lock = Lock()
        self._waiting: Counter[Scan] = Counter()
        self._lost = 0
        with store.read():
            self._salts = _kept(seal)
            self._readers = scans.readers()
            self._hinted = scans.hinted()
            self._to_judge = scans.serials_scanned()
        self._day_written = self._salts.day
        self._judged_at: int | None = None
        self.flush()

    def note(self, goods_id: int, address: str, place: str) -> None:
        """A reader at an address looked at the page of goods. Writes nothing yet."""
        with self._lock:
            self._turn_day()
            who = f"{goods_id} {network_of(address)}".encode()
            reader = hashlib.blake2b(who, key=self._salts.today, digest_size=READER_BYTES).digest()
            scan = Scan(self._salts.day, goods_id, reader, place)
            if scan in self._waiting or len(self._waiting) < WAITING_MAX:
                self._waiting[scan] += 1
            else:
                self._lost += 1

    def _turn_day(self) -> None:
        today = self._clock() // MICROS_PER_DAY
        known = self._salts
        if today > known.day:  # a clock that is set back doesn't bring an old day back
            is_next = today == known.day + 1 and known.tomorrow
            self._salts = _Salts(today, known.tomorrow if is_next else secrets.token_bytes(SALT_BYTES))

    def is_hinted(self, goods_id: int) -> bool:
        """Whether the page of goods says that they are scanned unusually often."""
        return goods_id in self._hinted

    def step(self) -> bool:
        """Write what waits, and judge now and then. IndexUnavailable where the index can't be written now."""
        self.flush()
        now = self._clock()
        if self._judged_at is None or not 0 <= now - self._judged_at < JUDGE_EVERY_MICROS:
            self.judge()
            self._judged_at = now
        return False

    def flush(self) -> None:
        """Write what waits; on a new day forget who the readers of the last one were, and the oldest counts."""
        with self._lock:
            self._turn_day()
            waiting, self._waiting = self._waiting, Counter()
            lost, self._lost = self._lost, 0
            own = self._salts
        day = own.day
        if lost:
            log.warning("%s scans were not counted: more came at once than can wait", lost)
        if not waiting and day == self._day_written:
            return
        try:
            with self._store.write():
                kept = _kept(self._seal)
                is_new_day = day > self._day_written
                before = Counter({scan: number for scan, number in waiting.items() if scan.day < max(day, kept.day)})
                if kept.day < day:
                    scans.add(before, READERS_MAX - self._readers)
                    kept = _Salts(day, own.today, secrets.token_bytes(SALT_BYTES))
                    _keep(self._seal, kept)
                    scans.forget_readers()
                    scans.forget_days(day - KEPT_DAYS + 1, ROWS_MAX)
                    readers = 0
                else:
                    scans.add(before, 0)  # another process began the day, and forgot who they were
                    readers = scans.readers() if is_new_day else self._readers
                readers += scans.add(waiting - before, READERS_MAX - readers)
                touched = scans.serials_scanned() if is_new_day else scans.serials_of({one.goods_id for one in waiting})
        except BaseException:
            with self._lock:  # so many wait at most twice
                self._waiting.update(waiting)
            raise
        self._readers, self._day_written = readers, kept.day
        self._to_judge |= touched
        with self._lock:
            if kept.day >= self._salts.day:
                self._salts = kept

    def judge(self) -> None:
        """Look at the serials that were scanned since the last time; all of them on a new day."""
        while self._to_judge:
            serial_id = min(self._to_judge)
            with self._store.read():
                found = judge(scans.counts(serial_id, self._day_written - KEPT_DAYS + 1))
                known = {alert.unusual.counts.goods_id: alert for alert in scans.alerts_of_serial(serial_id)}
            now = self._clock()
            alerts = [
                Alert(one, serial_id, known[goods_id].since if (goods_id := one.counts.goods_id) in known else now)
                for one in found
            ]
            if alerts != list(known.values()):
                with self._store.write():
                    scans.set_alerts(serial_id, alerts)
                if new := [alert for alert in alerts if alert.unusual.counts.goods_id not in known]:
                    first = new[0].unusual.counts.goods_id
                    log.warning(
                        "serial %s: %s goods are scanned unlike the others, first %s", serial_id, len(new), first
                    )
            self._to_judge.discard(serial_id)
        with self._store.read():
            self._hinted = scans.hinted()

    def alerts(self, caller: User, place: Place) -> tuple[list[Alert], str]:
        """A page of the unusual goods of the caller's org, by id, and the next page's token."""
        if caller.org_id is None:
            raise denied("the caller belongs to no org: verify one (OrgAuth) or join one", Reason.PERMISSION_DENY)
        alerts = partial(scans.alerts, caller.org_id)
        with self._store.read():
            return place.listed(Listing("alerts", caller.org_id), alerts, lambda one: one.unusual.counts.goods_id)


def _kept(seal: Seal) -> _Salts:
    """The salts that all processes have."""
    known = keys.known_key(seal, SALT)
    if known is None:
        return _Salts()
    salts = known[DAY_BYTES:]
    return _Salts(int.from_bytes(known[:DAY_BYTES], "big"), salts[:SALT_BYTES], salts[SALT_BYTES:])


def _keep(seal: Seal, salts: _Salts) -> None:
    keys.keep_key(seal, SALT, salts.day.to_bytes(DAY_BYTES, "big") + salts.today + salts.tomorrow)
