"""What scripts/bench big measures: reads, starts and BatchCreateGoods with a large index, beside a small one.

Both indexes are made by scripts/load_index, and read once from the disk before, so that a disk is not measured.
Histories are of random goods, and rounds of large, small and echo follow one another: the echo is ContractName, which
passes what GetCirc passes and answers one word; gRPC's health check goes past the node's own checks.
``--goods 1000000 --circs 10000000`` needs 7 GB and 15 minutes; ``--large DIR`` takes what load_index made so large.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from node.chain.rpc import HttpRpc
from scripts import figures, load, load_index
from scripts.bench_node import ANVIL, UNLIMITED, cpu_seconds, on_anvil
from scripts.figures import Figure
from tests.chain.servers import anvil
from tests.support import people
from tests.support.node import RunningNode, running
from tests.support.people import Maker

SMALL_CIRCS = 10_000
BATCH_GOODS = 10_000
ROUNDS = 10
STARTS = 3
ECHO, HEALTH = "ContractName", "/grpc.health.v1.Health/Check"
SEED = 20261123
PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Index:
    """A data directory, and how many goods and circs were loaded into it."""

    data_dir: Path
    goods: int
    circs: int

    def requests(self, client: RunningNode, total: int, drawn: random.Random) -> list[bytes]:
        """GetCirc of goods that were loaded."""
        first = load_index.REAL_GOODS + 1
        ids = (drawn.randrange(first, first + self.goods) for _ in range(total))
        return [client.client.request("GetCirc", goods_id=goods_id).SerializeToString() for goods_id in ids]

    def read_once(self) -> None:
        """Have the system keep the index in memory, as far as it does."""
        with (self.data_dir / "index.sqlite3").open("rb") as file:
            while file.read(PIECE):
                pass


@dataclass(slots=True)
class Reads:
    """Seconds that calls of one caller took; of several callers, answers a second by round, and CPU seconds."""

    large: list[float] = field(default_factory=list)
    small: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    echoes: list[float] = field(default_factory=list)
    healths: list[float] = field(default_factory=list)
    cpu: float = 0.0
    cpu_echoes: float = 0.0


def start_seconds(index: Index) -> tuple[float, float]:
    """From the start of the process until it says that it is ready, and the CPU time that it has used by then."""
    found, cpu = [], []
    for _ in range(STARTS):
        began = time.perf_counter()
        with running(index.data_dir, *UNLIMITED) as node:
            found.append(time.perf_counter() - began)
            cpu.append(cpu_seconds(node))
    return statistics.median(found), statistics.median(cpu)


def reads(large: Index, small: Index, calls: int, callers: int) -> Reads:
    """GetCirc on both, alone and beside an echo, in rounds."""
    drawn, found = random.Random(SEED), Reads()
    each = max(1, calls // ROUNDS)
    with running(large.data_dir, *UNLIMITED) as big, running(small.data_dir, *UNLIMITED) as little:
        for number in range(ROUNDS + 1):
            of_large = load.run(big.ready["grpc"], None, "GetCirc", large.requests(big, each, drawn), 1)
            of_small = load.run(little.ready["grpc"], None, "GetCirc", small.requests(little, each, drawn), 1)
            requests, cpu = large.requests(big, each, drawn), [cpu_seconds(big)]
            many = load.run(big.ready["grpc"], None, "GetCirc", requests, callers)
            cpu.append(cpu_seconds(big))
            echo = load.run(big.ready["grpc"], None, ECHO, [b""] * each, callers)
            cpu.append(cpu_seconds(big))
            health = load.run(big.ready["grpc"], None, HEALTH, [b""] * each, callers)
            if number:  # the first warms up
                found.large += of_large.waits
                found.small += of_small.waits
                found.rates.append(many.rate)
                found.echoes.append(echo.rate)
                found.healths.append(health.rate)
                found.cpu += cpu[1] - cpu[0]
                found.cpu_echoes += cpu[2] - cpu[1]
    return found


def goods_rate(node: RunningNode, maker: Maker, batches: int) -> tuple[float, float]:
    """Goods a second that one caller is answered, and the node's CPU seconds for a batch until the last is."""
    client = maker.boss.client
    request = client.request("BatchCreateGoods", serial_id=maker.serial_id, sum=BATCH_GOODS).SerializeToString()
    cpu = cpu_seconds(node)
    took = load.run(node.ready["grpc"], client.token, "BatchCreateGoods", [request] * batches, 1)
    return took.rate * BATCH_GOODS, (cpu_seconds(node) - cpu) / batches


def on_fresh_node(home: Path, batches: int) -> tuple[float, float]:
    """``goods_rate`` of a new node on Anvil."""
    with anvil(*ANVIL) as url, closing(HttpRpc(url)) as rpc, on_anvil(home, url, rpc) as node:
        maker = people.maker(node.client)
        people.settled(node.client, maker.goods(1)[0])
        return goods_rate(node, maker, batches)


def measure(large: Index, small: Index, home: Path, args: argparse.Namespace, console: Console) -> list[Figure]:
    """All figures."""
    with console.status("reading the indexes once…"):
        large.read_once()
        small.read_once()
    with console.status("starts…"):
        (started, cpu), (_, cpu_small) = start_seconds(large), start_seconds(small)
    with console.status("histories…"):
        found = reads(large, small, args.calls, args.callers)
    with console.status("goods…"):
        fresh, cpu_fresh = on_fresh_node(home, args.batches)
        with running(large.data_dir, *UNLIMITED) as node:
            into_large, _ = goods_rate(node, people.maker(node.client), args.batches)
    p50, p50_small = (statistics.median(waits) * 1_000 for waits in (found.large, found.small))
    rate, echo, health = (statistics.median(rates) for rates in (found.rates, found.echoes, found.healths))
    calls = max(1, args.calls // ROUNDS) * ROUNDS
    cpu_call, cpu_echo = (seconds / calls * 1_000 for seconds in (found.cpu, found.cpu_echoes))
    circs, few = f"{large.circs:,} circs", f"with {small.circs:,} circs"
    return [
        Figure(f"GetCirc, median with {circs}", p50, "ms", p50_small, few, at_most=1.2),
        Figure(f"GetCirc with {args.callers} callers", rate, "/s", echo, "ContractName of the same node", at_least=0.5),
        Figure("the same", rate, "/s", health, "health checks, which pass by the node's own"),
        Figure("CPU time of the node for each of them", cpu_call, "ms", cpu_echo, "for ContractName"),
        Figure(f"start to ready with {circs}", started, "s", at_most=3),
        Figure("CPU time of that start", cpu, "s", cpu_small, few),
        Figure("goods by BatchCreateGoods(10,000), answered", fresh, "/s", at_least=50_000),
        Figure("CPU time of the node for 10,000 of them", cpu_fresh * 1_000, "ms"),
        Figure(f"goods answered with {circs}, chain inside", into_large, "/s"),
    ]


def main() -> None:
    """Load, measure and print."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench big", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--goods", type=int, default=20_000, help="goods of the large index (%(default)s)")
    parser.add_argument("--circs", type=int, default=200_000, help="circs of the large index (%(default)s)")
    parser.add_argument("--large", type=Path, metavar="DIR", help="what load_index made with these --goods and --circs")
    parser.add_argument("--calls", type=int, default=5_000, help="GetCirc calls of each kind (%(default)s)")
    parser.add_argument("--callers", type=int, default=32, help="concurrent callers beside the echo (%(default)s)")
    parser.add_argument("--batches", type=int, default=10, help="BatchCreateGoods(10,000) calls (%(default)s)")
    figures.add_json(parser)
    args = parser.parse_args()
    if args.goods < 1 or args.circs < args.goods:
        parser.error(f"--goods {args.goods} --circs {args.circs}: want 1 goods or more, and a circ for each at least")
    console = Console()
    people.from_number(random.SystemRandom().randrange(1_000_000, 9_000_000))
    with tempfile.TemporaryDirectory(prefix="vtrace-bench-") as temporary:
        home = Path(temporary)
        small = Index(home / "small", max(1, SMALL_CIRCS * args.goods // args.circs), SMALL_CIRCS)
        large = Index(args.large or home / "large", args.goods, args.circs)
        for index in (small, large):
            if index.data_dir != args.large:
                load_index.load(index.data_dir, index.goods, index.circs, SEED, None, console)
        found = measure(large, small, home, args, console)
    figures.put_out("big", found, args.json)


if __name__ == "__main__":
    main()
