"""What scripts/bench workers measures: CreateCirc a second of two processes beside one, both on one PostgreSQL server
that waits for its disk, each with an Anvil of its own; whose CPU time a call takes; how soon another process leads
after the one that led was killed.

Both nodes are there all the time and get the load by turns, so what else the machine does meets both.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from rich.console import Console

from node.chain import signer
from node.chain.rpc import HttpRpc
from scripts import figures, load
from scripts.bench_node import (
    ANVIL,
    BATCH_GOODS,
    CONNECTIONS,
    SETTLE_SECONDS_MAX,
    UNLIMITED,
    WORKERS,
    create_requests,
)
from scripts.figures import Figure
from tests.chain.servers import anvil_process, free_port, fund
from tests.support import people
from tests.support.node import RunningNode, eventually, running
from tests.support.postgres import Server, postgres

RATIO_LEAST = 1.5
MANY_CORES = 4
TAKEOVER_SECONDS_MOST = 5
LOOK_SECONDS = 0.01
LED_BY = "SELECT value FROM progress WHERE name = 'lead.chain'"
PENDING = "SELECT EXISTS (SELECT 1 FROM circ WHERE status = 'pending')"
NODE, SERVER, CHAIN, CLIENT = "node", "PostgreSQL", "Anvil", "client"


@dataclass(frozen=True, slots=True)
class Spent:
    """A second's calls, and the CPU seconds of each part for a call."""

    rate: float
    cpu: dict[str, float]

    @property
    def cores(self) -> float:
        """How many cores were at work, of all that the load needs."""
        return sum(self.cpu.values()) * self.rate

    def allowed(self, workers: int, cores: int) -> float:
        """Calls a second that so many cores have the time for, where a process of the node uses one of them at most."""
        return min(cores / sum(self.cpu.values()), workers / self.cpu[NODE])


class Bench:
    """A node of some processes on PostgreSQL and Anvil, with goods."""

    def __init__(self, node: RunningNode, url: str, parts: dict[str, int]) -> None:
        self.node = node
        self.url = url
        self._parts = parts
        self._maker = people.maker(node.client)
        self._goods = self._maker.goods(BATCH_GOODS)

    def create(self, total: int, callers: int, connections: int) -> Spent:
        """CreateCirc so many times, and until the last is mined."""
        requests = create_requests(self._maker, self._goods, total)
        before = self._cpu()
        address, token = self.node.ready["grpc"], self._maker.boss.client.token
        done = load.run(address, token, "CreateCirc", requests, callers, connections)
        with closing(psycopg.connect(self.url, autocommit=True)) as index:
            eventually(lambda: index.execute(PENDING).fetchone() == (False,), SETTLE_SECONDS_MAX)
        after = self._cpu()
        return Spent(done.rate, {part: (after[part] - before[part]) / total for part in after})

    def _cpu(self) -> dict[str, float]:
        own = time.process_time()  # the others are this process's children
        return {part: tree_seconds(pid) for part, pid in self._parts.items()} | {CLIENT: own}

    def takeover(self) -> float:
        """Kill the process that leads; answers the seconds until another has begun to."""
        with closing(psycopg.connect(self.url, autocommit=True)) as index:

            def led_by() -> str:
                ((said,),) = index.execute(LED_BY).fetchall()
                return str(said)

            before = led_by()
            os.kill(int(before.rpartition("pid ")[2]), signal.SIGKILL)
            began = time.perf_counter()
            while led_by() == before:
                if time.perf_counter() - began > SETTLE_SECONDS_MAX:
                    raise RuntimeError("nobody leads")
                time.sleep(LOOK_SECONDS)
            return time.perf_counter() - began

    def all_there(self) -> None:
        """Wait until the processes that were killed answer again."""
        query = "SELECT count(*) FROM progress WHERE name LIKE 'worker.%%' AND value = ANY(%s)"
        with closing(psycopg.connect(self.url, autocommit=True)) as index:

            def look() -> bool:
                children = [str(pid) for pid in children_of(self.node.process.pid)]
                return index.execute(query, [children]).fetchone() == (WORKERS,)

            eventually(look, 120)


def children_of(pid: int) -> list[int]:
    """The processes that one has started, and that are still there."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError):  # the thread has ended
            found += map(int, task.read_text().split())
    return found


def tree_seconds(pid: int) -> float:
    """CPU time of a process, of all that it started, and of those that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0  # its time is among its parent's
    own = sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    return own + sum(tree_seconds(child) for child in children_of(pid))


@contextmanager
def benched(home: Path, server: Server, workers: int) -> Iterator[Bench]:
    """A node of so many processes."""
    home.mkdir()
    url, port = server.url(server.database()), free_port()
    with anvil_process(*ANVIL, port=port) as chain, closing(HttpRpc(f"http://127.0.0.1:{port}")) as rpc:
        key, key_file = signer.new_key(), home / "signer.key"
        fund(rpc, signer.address_of(key))
        key_file.touch(mode=0o600)
        key_file.write_text(key.hex())
        options = ["--chain", f"http://127.0.0.1:{port}", "--signer-key", str(key_file), "--confirmations", "1"]
        options += ["--workers", str(workers), "--db", url, *UNLIMITED]
        with running(home / "node", *options) as node:
            yield Bench(node, url, {NODE: node.process.pid, SERVER: server.process.pid, CHAIN: chain.pid})


def of_workers(one: Spent, some: Spent, takeovers: list[float], cores: int) -> list[Figure]:
    """What is told of both nodes."""
    least = RATIO_LEAST if cores >= MANY_CORES else None  # fewer don't have the time for it, as the next figure says
    found = [
        Figure("CreateCirc, 2 workers", some.rate, "/s", one.rate, "/s of one worker", at_least=least),
        Figure(
            f"the same, as the CPU times allow on {cores} cores",
            some.allowed(WORKERS, cores),
            "/s",
            one.allowed(1, cores),
            "/s of one worker",
        ),
        Figure(
            f"the same, as the CPU times would allow on {MANY_CORES} cores",
            some.allowed(WORKERS, MANY_CORES),
            "/s",
            one.allowed(1, MANY_CORES),
            "/s of one worker",
            at_least=RATIO_LEAST,
        ),
        Figure("cores at work, one worker", one.cores, "", float(cores), "cores"),
        Figure("cores at work, 2 workers", some.cores, "", float(cores), "cores"),
    ]
    found += [
        Figure(f"CPU of {part} for a circ, 2 workers", 1_000 * some.cpu[part], "ms", 1_000 * one.cpu[part], "ms of one")
        for part in one.cpu
    ]
    if takeovers:
        found += [
            Figure("kill of the leader until another leads, median", statistics.median(takeovers), "s"),
            Figure("kill of the leader until another leads, most", max(takeovers), "s", at_most=TAKEOVER_SECONDS_MOST),
        ]
    return found


def median(found: list[Spent]) -> Spent:
    """The one in the middle, by its rate."""
    return sorted(found, key=lambda each: each.rate)[len(found) // 2]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--circs", type=int, default=3_000, help="CreateCirc a round (default 3000)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each node (default 3)")
    parser.add_argument("--callers", type=int, default=32, help="calls under way at once (default 32)")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="connections of the callers (default 16)")
    parser.add_argument("--kills", type=int, default=5, help="kills of the process that leads (default 5)")
    figures.add_json(parser)
    args = parser.parse_args()
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="vtrace-bench-") as folder, postgres(durable=True) as server:
        home = Path(folder)
        with benched(home / "one", server, 1) as one, benched(home / "some", server, WORKERS) as some:
            seen: dict[Bench, list[Spent]] = {one: [], some: []}
            for bench in seen:
                bench.create(min(300, args.circs), args.callers, args.connections)
            for number in range(args.rounds):
                for bench, found in seen.items():
                    found.append(bench.create(args.circs, args.callers, args.connections))
                console.print(f"round {number + 1}: {seen[one][-1].rate:.0f}/s, {seen[some][-1].rate:.0f}/s")
            takeovers = []
            for _ in range(args.kills):
                some.all_there()
                takeovers.append(some.takeover())
            cores = len(os.sched_getaffinity(0))
            told = of_workers(median(seen[one]), median(seen[some]), takeovers, cores)
    figures.put_out(f"{WORKERS} processes on PostgreSQL", told, args.json)


if __name__ == "__main__":
    main()
