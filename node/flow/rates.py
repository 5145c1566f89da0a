"""Who may call now: the one place that every way into the node asks."""

from __future__ import annotations

from node.clock import Clock
from node.domain.addresses import network_of, tells_callers_apart
from node.domain.rates import MICROS, Bucket, Limit, Rate, take
from node.errors import Reason, Status, VTraceError
from node.flow.tallies import OwnTallies, Tallies, Tally

BUCKETS_MAX = 20_000


class TooOften(VTraceError):
    """RESOURCE_EXHAUSTED: somebody calls more often than the limits say."""


class Rates:
    """Buckets of users and of addresses, in memory, which may be shared. Threads may share it.

    ``factor`` multiplies all limits; 0 means none. Of each kind the last BUCKETS_MAX to be used are kept, or as
    many as shared memory has: somebody with that many addresses gets that many full buckets anyway, and can't empty
    those of users.
    """

    def __init__(
        self, clock: Clock, factor: float = 1.0, users: Tallies | None = None, addresses: Tallies | None = None
    ) -> None:
        self._clock = clock
        self._factor = factor
        self._users = users or OwnTallies(BUCKETS_MAX)
        self._addresses = addresses or OwnTallies(BUCKETS_MAX)

    def from_address(self, rate: Rate, address: str) -> None:
        """One call from an address; TooOften if it comes too early. This machine's own count for nothing."""
        if self._factor and tells_callers_apart(address):
            self._take(self._addresses, f"{rate.name} {network_of(address)}", rate, rate.address)

    def from_user(self, rate: Rate, user_id: int) -> None:
        """One call of a user; TooOften if it comes too early."""
        if self._factor:
            self._take(self._users, f"{rate.name} {user_id}", rate, rate.user)

    def _take(self, buckets: Tallies, key: str, rate: Rate, limit: Limit) -> None:
        scaled = Limit(limit.per_second * self._factor, max(1, round(limit.burst * self._factor)))
        now, wait = self._clock(), 0

        def taken(tally: Tally | None) -> Tally:
            nonlocal wait
            bucket, wait = take(scaled, None if tally is None else Bucket(*tally), now)
            return bucket.calls, bucket.at

        buckets.change(key, taken)
        if wait:
            seconds = -(-wait // MICROS)
            raise TooOften(
                Reason.SERVICE_OFFLINE,
                f"too many {rate.calls}: {scaled.per_second:g} a second in the long run; try again in {seconds} s",
                status=Status.RESOURCE_EXHAUSTED,
                retry_seconds=seconds,
            )
