"""How long honest callers wait while a node is attacked, over how long they wait otherwise.

A fresh node on this machine, honest callers over gRPC (CreateCirc and GetCirc in turn) and HTTP (a page), then each
attack by a process of its own. All calls come from this machine's own address, which is not counted by address: so
what is measured is what the servers bear, not that they refuse strangers.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import httpx
from rich.console import Console
from rich.table import Table

from scripts.attacks import ATTACKS, Target, under
from scripts.bench_node import UNLIMITED, Bench, create_requests
from tests.support.node import running
from tests.support.wire_client import SERVICE

GRPC_CALLERS = 8
HTTP_CALLERS = 2
CALL_SECONDS_MAX = 30
PAUSE_SECONDS = 0.03
CREATE_EVERY = 9
BEGIN_SECONDS = 2.0
"""What an attack has to unfold before anybody is measured."""


@dataclass
class Seen:
    """What honest callers saw: seconds of each call, and how many got no answer."""

    waits: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def p99_ms(self) -> float:
        """Milliseconds that 99 of 100 calls did not exceed."""
        return statistics.quantiles(self.waits, n=100)[98] * 1_000


async def honest(bench: Bench, seconds: float) -> tuple[Seen, Seen]:
    """Call over both ports for a time."""
    ready, until = bench.node.ready, time.monotonic() + seconds
    metadata = (("authorization", f"Bearer {bench.maker.boss.client.token}"),)
    creates = create_requests(bench.maker, bench.goods, len(bench.goods))
    reads = [bench.maker.boss.client.request("GetCirc", goods_id=one).SerializeToString() for one in bench.goods]
    over_grpc, over_http = Seen(), Seen()

    async def by_grpc(channel: grpc.aio.Channel, first: int) -> None:
        number = first
        while time.monotonic() < until:
            number += GRPC_CALLERS
            # The chain inside the node has to keep up, else it is the chain that is measured.
            rpc, requests = ("CreateCirc", creates) if number % CREATE_EVERY == 0 else ("GetCirc", reads)
            began = time.perf_counter()
            try:
                request = requests[number % len(requests)]
                call = channel.unary_unary(f"/{SERVICE}/{rpc}")
                await call(request, timeout=CALL_SECONDS_MAX, metadata=metadata)
                over_grpc.waits.append(time.perf_counter() - began)
            except grpc.RpcError:
                over_grpc.failed += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def by_http(client: httpx.AsyncClient) -> None:
        while time.monotonic() < until:
            began = time.perf_counter()
            try:
                (await client.get(f"/t/{bench.goods[-1]}")).raise_for_status()
                over_http.waits.append(time.perf_counter() - began)
            except httpx.HTTPError:
                over_http.failed += 1
            await asyncio.sleep(PAUSE_SECONDS)

    base = f"http://{ready['http']}"
    async with (
        grpc.aio.insecure_channel(ready["grpc"]) as channel,
        httpx.AsyncClient(base_url=base, timeout=CALL_SECONDS_MAX) as client,
    ):
        callers = [by_grpc(channel, first) for first in range(GRPC_CALLERS)]
        await asyncio.gather(*callers, *(by_http(client) for _ in range(HTTP_CALLERS)))
    return over_grpc, over_http


def _show(table: Table, name: str, size: int, before: tuple[Seen, Seen], during: tuple[Seen, Seen]) -> int:
    """A row of the table; answers how many calls got no answer."""
    cells = [name, f"{size:,}"]
    for calm, attacked in zip(before, during, strict=True):
        cells.append(f"{calm.p99_ms:,.0f} → {attacked.p99_ms:,.0f}")
        cells += [f"{attacked.p99_ms / calm.p99_ms:.1f}", f"{len(attacked.waits):,}"]
    unanswered = sum(seen.failed for seen in (*before, *during))
    table.add_row(*cells, str(unanswered))
    return unanswered


def main() -> None:
    """Measure and print. Exit 1 if an honest call got no answer."""
    parser = argparse.ArgumentParser(prog="scripts/abuse", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8, help="how long each is measured (%(default)s)")
    parser.add_argument("--only", choices=list(ATTACKS), help="one attack alone")
    args = parser.parse_args()
    table = Table(title="p99 of honest callers, attacked over not attacked")
    for name in ("attack", "holds", "gRPC ms", "ratio", "calls", "HTTP ms", "ratio", "calls", "unanswered"):
        table.add_column(name, justify="left" if name == "attack" else "right")
    failed = 0
    with (
        tempfile.TemporaryDirectory(prefix="vtrace-abuse-") as home,
        running(Path(home) / "data", *UNLIMITED) as node,
    ):
        bench = Bench(node)
        asyncio.run(honest(bench, 1))
        for name, (_, size) in ATTACKS.items():
            if args.only in (None, name):
                target = Target(node.ready["grpc"], node.ready["http"], size)
                before = asyncio.run(honest(bench, args.seconds))
                with under(name, target):
                    time.sleep(BEGIN_SECONDS)
                    during = asyncio.run(honest(bench, args.seconds))
                failed += _show(table, name, size, before, during)
    Console(width=110).print(table)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
