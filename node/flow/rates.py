"""Who may call now: the one place that every way into the node asks."""

from __future__ import annotations

import threading
from collections import OrderedDict

from node.clock import Clock
from node.domain.addresses import network_of, tells_callers_apart
from node.domain.rates import MICROS, Bucket, Limit, Rate, take
from node.errors import Reason, Status, VTraceError

BUCKETS_MAX = 20_000

Key = tuple[Rate, str | int]


class TooOften(VTraceError):
    """RESOURCE_EXHAUSTED: somebody calls more often than the limits say."""


class Rates:
    """Buckets of users and of addresses, in memory. Threads may share it.

    ``factor`` multiplies all limits; 0 means none. Of each kind the last BUCKETS_MAX to be used are kept: somebody with
    that many addresses gets that many full buckets anyway, and can't empty those of users.
    """

    def __init__(self, clock: Clock, factor: float = 1.0) -> None:
        self._clock = clock
        self._factor = factor
        self._lock = threading.Lock()
        self._users: OrderedDict[Key, Bucket] = OrderedDict()
        self._addresses: OrderedDict[Key, Bucket] = OrderedDict()

    def from_address(self, rate: Rate, address: str) -> None:
        """One call from an address; TooOften if it comes too early. This machine's own count for nothing."""
        if self._factor and tells_callers_apart(address):
            self._take(self._addresses, (rate, network_of(address)), rate, rate.address)

    def from_user(self, rate: Rate, user_id: int) -> None:
        """One call of a user; TooOften if it comes too early."""
        if self._factor:
            self._take(self._users, (rate, user_id), rate, rate.user)

    def _take(self, buckets: OrderedDict[Key, Bucket], key: Key, rate: Rate, limit: Limit) -> None:
        scaled = Limit(limit.per_second * self._factor, max(1, round(limit.burst * self._factor)))
        now = self._clock()
        with self._lock:
            buckets[key], wait = take(scaled, buckets.get(key), now)
            buckets.move_to_end(key)
            if len(buckets) > BUCKETS_MAX:
                buckets.popitem(last=False)
        if wait:
            seconds = -(-wait // MICROS)
            raise TooOften(
                Reason.SERVICE_OFFLINE,
                f"too many {rate.calls}: {scaled.per_second:g} a second in the long run; try again in {seconds} s",
                status=Status.RESOURCE_EXHAUSTED,
                retry_seconds=seconds,
            )
