"""A load that costs little itself: many callers in one thread, whose requests are bytes before the clock starts."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import grpc

from tests.support.wire_client import SERVICE

CALL_SECONDS_MAX = 60


@dataclass(frozen=True, slots=True)
class Load:
    """What callers saw: seconds from the first call to the last answer, and those of each call."""

    seconds: float
    waits: list[float]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.waits) / self.seconds

    @property
    def median_ms(self) -> float:
        """Milliseconds from call to answer."""
        return statistics.median(self.waits) * 1_000


def run(address: str, token: str | None, rpc: str, requests: Iterable[bytes], callers: int) -> Load:
    """Call ``rpc`` with each of ``requests``, ``callers`` at a time. Raises grpc.RpcError at the first refusal."""
    return asyncio.run(_run(address, token, rpc, iter(requests), callers))


async def _run(address: str, token: str | None, rpc: str, requests: Iterator[bytes], callers: int) -> Load:
    metadata = (("authorization", f"Bearer {token}"),)
    waits: list[float] = []
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(f"/{SERVICE}/{rpc}")

        async def caller() -> None:
            for request in requests:
                began = time.perf_counter()
                await call(request, timeout=CALL_SECONDS_MAX, metadata=metadata)
                waits.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(callers)))
        return Load(time.perf_counter() - began, waits)
