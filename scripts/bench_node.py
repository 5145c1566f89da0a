"""What scripts/bench circs measures: circs and goods a second, how long an answer takes, and memory, each on a
fresh node.

Figures move with the machine; the ratios to what the same Anvil takes alone in the same run are what to compare, and
the node's CPU time for a call.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from node.chain import signer
from node.chain.rpc import Chain, HttpRpc
from scripts import figures, flame, load
from scripts.figures import Figure
from tests.chain.servers import anvil, fund
from tests.support import people
from tests.support.node import RunningNode, eventually, running
from tests.support.people import Maker

BATCH_GOODS = 1_000
BATCH_CALLERS = 16
SEND_BATCH = 100
TRANSFERS = 10_000
SETTLE_SECONDS_MAX = 900
ANVIL = ("--block-time", "1", "--gas-limit", "3000000000")
"""Blocks of their own time. When it mines at once, Anvil files what comes while it mines the one before as
waiting, and forgets it."""
UNLIMITED = ("--rate-factor", "0")
"""One user stands for all of a node's."""
MINED_SECONDS_MAX = 120
WORKERS, CONNECTIONS = 2, 16
"""Processes of one node, and the connections of their callers, which the system shares out."""
MANY_CALLERS = 64
"""For what a node can do at most: with few, all of them wait for the same commit, and the node for them."""
OF_ALONE_ONE, OF_ALONE_SOME = 0.30, 0.40
FORM = b'{"step":"drying"}'


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one node: rates a second, medians and CPU time of a call in milliseconds, memory in MiB."""

    median_alone_ms: float
    median_together_ms: float
    cpu_ms: float
    circs_answered: float
    circs_final: float
    goods_answered: float
    goods_final: float
    idle_mib: float
    loaded_mib: float


def memory_mib(node: RunningNode) -> float:
    """Resident memory of a node."""
    for line in Path(f"/proc/{node.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this system does not tell a process's memory")


def cpu_seconds(node: RunningNode) -> float:
    """CPU time that a node has used."""
    fields = Path(f"/proc/{node.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def on_anvil(home: Path, url: str, rpc: HttpRpc, workers: int = 1) -> Iterator[RunningNode]:
    """A node on an Anvil, of so many processes, with an account that has funds."""
    key, key_file = signer.new_key(), home / "signer.key"
    fund(rpc, signer.address_of(key))
    key_file.touch(mode=0o600)
    key_file.write_text(key.hex())
    options = ("--chain", url, "--signer-key", str(key_file), "--confirmations", "1", *UNLIMITED)
    with running(home / "anvil", *options, "--workers", str(workers)) as node:
        yield node


def create_requests(maker: Maker, goods: Sequence[int], total: int) -> list[bytes]:
    """Requests of CreateCirc, each about the next goods."""
    client = maker.boss.client
    return [
        client.request(
            "CreateCirc", goods_id=goods[number % len(goods)], circ_type=1, form_value=FORM
        ).SerializeToString()
        for number in range(total)
    ]


class Bench:
    """A node with goods, and the loads that it is put under."""

    def __init__(self, node: RunningNode) -> None:
        self.node = node
        self.maker = people.maker(node.client)
        self.goods = self.maker.goods(BATCH_GOODS)
        people.settled(node.client, self.goods[-1])

    def create(self, total: int, callers: int, connections: int = 1) -> load.Load:
        """CreateCirc, so many times."""
        return self.run("CreateCirc", create_requests(self.maker, self.goods, total), callers, connections)

    def batch(self, total: int) -> load.Load:
        """BatchCirc of all goods, so many times."""
        fields = {"goods_ids": self.goods, "circ_type": 1, "form_info": FORM}
        request = self.maker.boss.client.request("BatchCirc", **fields).SerializeToString()
        return self.run("BatchCirc", [request] * total, BATCH_CALLERS)

    def run(self, rpc: str, requests: Iterable[bytes], callers: int, connections: int = 1) -> load.Load:
        """Call an rpc as the maker of the goods."""
        return load.run(self.node.ready["grpc"], self.maker.boss.client.token, rpc, requests, callers, connections)

    def settle(self) -> None:
        """Wait until no circ is pending."""
        with self.index() as index:
            count = "SELECT COUNT(*) FROM circ WHERE status = 'pending'"
            eventually(lambda: index.execute(count).fetchone() == (0,), SETTLE_SECONDS_MAX)

    def transactions(self) -> list[tuple[str, int, bytes, str]]:
        """All that the node has signed: signer, nonce, bytes and kind, in the order of nonces."""
        with self.index() as index:
            return index.execute("SELECT signer, nonce, signed_bytes, kind FROM outbox ORDER BY nonce").fetchall()

    @contextmanager
    def index(self) -> Iterator[sqlite3.Connection]:
        """The node's index, to read from."""
        connection = sqlite3.connect(f"file:{self.node.data_dir / 'index.sqlite3'}?mode=ro", uri=True)
        try:
            yield connection
        finally:
            connection.close()


def measure(bench: Bench, circs: int, batches: int, callers: int, profile_to: Path | None) -> Measured:
    """All figures of one node."""
    node = bench.node
    bench.create(callers, callers)
    bench.settle()
    idle = memory_mib(node)
    alone = bench.create(min(circs, 300), 1)
    bench.settle()
    with flame.recorded(node.process.pid, profile_to) if profile_to else nullcontext():
        together = bench.create(min(circs, 6_000), callers)
        bench.settle()
        began, cpu = time.perf_counter(), cpu_seconds(node)
        many = bench.create(circs, MANY_CALLERS, CONNECTIONS)
        bench.settle()
        final_seconds, cpu = time.perf_counter() - began, cpu_seconds(node) - cpu
    began = time.perf_counter()
    batched = bench.batch(batches)
    bench.settle()
    batched_seconds = time.perf_counter() - began
    return Measured(
        median_alone_ms=alone.median_ms,
        median_together_ms=together.median_ms,
        cpu_ms=1_000 * cpu / circs,
        circs_answered=many.rate,
        circs_final=circs / final_seconds,
        goods_answered=batched.rate * BATCH_GOODS,
        goods_final=batches * BATCH_GOODS / batched_seconds,
        idle_mib=idle,
        loaded_mib=memory_mib(node),
    )


def _of_processes(home: Path, circs: int) -> tuple[float, float]:
    """CreateCirc a second of a node of several processes on a fresh Anvil: answered, and final."""
    home.mkdir()
    with anvil(*ANVIL) as url, closing(HttpRpc(url)) as rpc, on_anvil(home, url, rpc, WORKERS) as node:
        bench = Bench(node)
        bench.create(MANY_CALLERS, MANY_CALLERS, CONNECTIONS)
        bench.settle()
        began = time.perf_counter()
        answered = bench.create(circs, MANY_CALLERS, CONNECTIONS)
        bench.settle()
        return answered.rate, circs / (time.perf_counter() - began)


def _anvil_takes(rpc: HttpRpc, account: str, raws: Sequence[bytes], last_nonce: int) -> float:
    """Ready-signed transactions of an account a second, handed over in batches of SEND_BATCH until all are mined."""
    chain = Chain(rpc)
    began = time.perf_counter()
    for at in range(0, len(raws), SEND_BATCH):
        refusals = [one for one in chain.send(raws[at : at + SEND_BATCH]) if one is not None]
        if refusals:
            raise RuntimeError(f"Anvil refused: {refusals[0]}")
    eventually(lambda: chain.transaction_count(account) > last_nonce, MINED_SECONDS_MAX)
    return len(raws) / (time.perf_counter() - began)


def _transfers() -> float:
    """Plain transfers a second that a fresh Anvil takes and mines."""
    with anvil(*ANVIL) as url, closing(HttpRpc(url)) as rpc:
        chain, key = Chain(rpc), signer.new_key()
        account = signer.address_of(key)
        fund(rpc, account)
        fees, chain_id = chain.fees(), chain.chain_id()
        call = {"chain_id": chain_id, "to": account, "data": b"", "gas": 21_000, "fees": fees}
        raws = [signer.sign_transaction(key, nonce=nonce, **call).raw for nonce in range(TRANSFERS)]
        return _anvil_takes(rpc, account, raws, TRANSFERS - 1)


def _same_circs(rows: Sequence[tuple[str, int, bytes, str]]) -> float:
    """The node's own transactions a second, taken by an Anvil of its own without any node."""
    account, last_nonce = rows[-1][:2]
    first = next(place for place, row in enumerate(rows) if row[3] == "circ") + 1
    with anvil(*ANVIL) as url, closing(HttpRpc(url)) as rpc:
        fund(rpc, account)
        _anvil_takes(rpc, account, [row[2] for row in rows[:first]], first - 1)
        return _anvil_takes(rpc, account, [row[2] for row in rows[first:]], last_nonce)


ALONE = "transfers that Anvil takes alone"
SAME = "of the same transactions that Anvil takes alone"


def of_embedded(seen: Measured) -> list[Figure]:
    """What is told of a node with a chain inside."""
    return [
        Figure("embedded chain: CreateCirc, final", seen.circs_final, "/s"),
        Figure("embedded chain: goods by BatchCirc(1,000), final", seen.goods_final, "/s"),
        Figure("embedded chain: memory, idle", seen.idle_mib, "MiB"),
    ]


def of_anvil(seen: Measured, some: tuple[float, float], callers: int, alone: float, same: float) -> list[Figure]:
    """What is told of a node on Anvil, which took so many transfers, and so many of the same transactions, a second.

    ``some`` is of a node of several processes, as ``_of_processes`` has it.
    """
    return [
        Figure("CreateCirc, answered", seen.circs_answered, "/s", same, SAME),
        Figure("CreateCirc, final", seen.circs_final, "/s", same, SAME, at_least=OF_ALONE_ONE),
        Figure(f"CreateCirc by {WORKERS} processes, answered", some[0], "/s", same, SAME),
        Figure(f"CreateCirc by {WORKERS} processes, final", some[1], "/s", same, SAME, at_least=OF_ALONE_SOME),
        Figure("CreateCirc, final, beside transfers", seen.circs_final, "/s", alone, ALONE),
        Figure("CreateCirc with 1 caller, median", seen.median_alone_ms, "ms", at_most=5),
        Figure(f"CreateCirc with {callers} callers, median", seen.median_together_ms, "ms", at_most=40),
        Figure("CPU time of the node for a CreateCirc until it is final", seen.cpu_ms, "ms"),
        Figure("goods by BatchCirc(1,000), answered", seen.goods_answered, "/s"),
        Figure("goods by BatchCirc(1,000), final", seen.goods_final, "/s", at_least=20_000),
        Figure("memory, idle", seen.idle_mib, "MiB"),
        Figure("memory, loaded", seen.loaded_mib, "MiB"),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench circs", description=__doc__)
    parser.add_argument("--circs", type=int, default=80_000, help="CreateCirc calls on Anvil (%(default)s)")
    parser.add_argument("--batches", type=int, default=50, help="BatchCirc(1,000) calls on each chain (%(default)s)")
    parser.add_argument("--callers", type=int, default=32, help="concurrent callers of the median (%(default)s)")
    parser.add_argument("--no-embedded", action="store_true", help="measure on Anvil alone")
    parser.add_argument(
        "--profile", type=Path, metavar="FILE", help="write a flame graph (SVG) of the node under CreateCirc on Anvil"
    )
    figures.add_json(parser)
    args = parser.parse_args()
    console = Console()
    found: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="vtrace-bench-") as temporary:
        home = Path(temporary)
        if not args.no_embedded:
            with console.status("embedded chain…"), running(home / "embedded") as node:
                found += of_embedded(measure(Bench(node), min(args.circs, 1_000), args.batches, args.callers, None))
        with console.status("Anvil…"), anvil(*ANVIL) as url:
            rpc = HttpRpc(url)
            alone = _transfers()
            with on_anvil(home, url, rpc) as node:
                bench = Bench(node)
                seen = measure(bench, args.circs, args.batches, args.callers, args.profile)
                rows = bench.transactions()
            rpc.close()
        with console.status(f"{WORKERS} processes…"):
            some = _of_processes(home / "some", args.circs)
        with console.status("Anvil without the node…"):
            same = _same_circs(rows)
            # Once more, and the better of the two: what else the machine does must not flatter the ratio.
            alone = max(alone, _transfers())
    figures.put_out("circs", [*of_anvil(seen, some, args.callers, alone, same), *found], args.json)
    if args.profile:
        console.print(flame.table(args.profile, seen.cpu_ms))


if __name__ == "__main__":
    main()
