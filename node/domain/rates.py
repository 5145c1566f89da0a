"""How often somebody may call: token buckets, by class of call. Times are microseconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Limit:
    """``burst`` calls at once after a pause, and ``per_second`` in the long run."""

    per_second: float
    burst: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many calls were left at a time."""

    calls: float
    at: int


def take(limit: Limit, bucket: Bucket | None, now: int) -> tuple[Bucket, int]:
    """The bucket after one more call, and 0; or the bucket without it, and the microseconds until there is one.

    No bucket is a full one. A clock that was set back gives nothing, and takes nothing away.
    """
    if bucket is None:
        bucket = Bucket(limit.burst, now)
    passed = max(0, now - bucket.at)
    calls = min(limit.burst, bucket.calls + passed * limit.per_second / MICROS)
    if calls >= 1:
        return Bucket(calls - 1, now), 0
    return Bucket(calls, now), max(1, round((1 - calls) / limit.per_second * MICROS))


class Rate(Enum):
    """A class of calls, with the limits of a user and of an address (an IPv6 network of 64 bits).

    An address may be an office or a provider's gateway with many users behind it, so it may more than one of them.
    """

    PUBLIC_READ = ("public reads", Limit(50, 500), Limit(50, 500))
    READ = ("reads", Limit(100, 1_000), Limit(400, 4_000))
    HEAVY_READ = ("heavy reads", Limit(20, 200), Limit(80, 800))
    WRITE = ("writes", Limit(200, 2_000), Limit(800, 8_000))
    UPLOAD = ("uploads", Limit(20, 500), Limit(80, 2_000))
    LOGIN = ("logins", Limit(1, 60), Limit(2, 120))

    def __init__(self, calls: str, user: Limit, address: Limit) -> None:
        self.calls = calls
        self.user = user
        self.address = address
