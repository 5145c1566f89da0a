"""What scripts/bench measures: circs and goods a second, and memory, each on a node that it starts itself.

Figures move with the machine; the ratios to what the same Anvil takes alone in the same run are what to compare.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from node.chain import signer
from node.chain.fees import Fees
from node.chain.rpc import Chain, HttpRpc
from tests.chain.servers import anvil, fund
from tests.support import people
from tests.support.node import RunningNode, eventually, running
from tests.support.people import Maker
from tests.support.wire_client import Refusal, WireClient

BATCH_GOODS = 1_000
SEND_BATCH = 100
SETTLE_SECONDS_MAX = 900


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one node: rates a second, memory in MiB."""

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


def _measure(node: RunningNode, circs: int, batches: int, callers: int) -> Figures:
    maker = people.maker(node.client)
    goods = maker.goods(BATCH_GOODS)
    people.settled(node.client, goods[-1])
    idle = memory_mib(node)

    def single(client: WireClient, number: int) -> None:
        client.call("CreateCirc", goods_id=goods[number % len(goods)], circ_type=1, form_value=b'{"step":"drying"}')

    answered, final = _timed(node, maker, single, circs, callers, goods[(circs - 1) % len(goods)])

    def batch(client: WireClient, _: int) -> None:
        client.call("BatchCirc", goods_ids=goods, circ_type=1, form_info=b'{"step":"milling"}')

    batched, batched_final = _timed(node, maker, batch, batches, callers, goods[0])
    return Figures(answered, final, batched * BATCH_GOODS, batched_final * BATCH_GOODS, idle, memory_mib(node))


def _timed(
    node: RunningNode,
    maker: Maker,
    call: Callable[[WireClient, int], None],
    total: int,
    callers: int,
    last_goods: int,
) -> tuple[float, float]:
    """Calls a second until the last answer, and until the last circ is final."""
    failures: list[Refusal] = []

    def run(numbers: range) -> None:
        client = WireClient(node.ready["grpc"], maker.boss.client.token)
        try:
            for number in numbers:
                call(client, number)
        except Refusal as fault:
            failures.append(fault)
        finally:
            client.close()

    threads = [threading.Thread(target=run, args=(range(start, total, callers),)) for start in range(callers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answered = time.perf_counter() - began
    if failures:
        raise failures[0]

    def is_settled() -> bool:
        records = people.history(node.client, last_goods)
        return all(record.status.value != "pending" for record in records)

    eventually(is_settled, SETTLE_SECONDS_MAX)
    return total / answered, total / (time.perf_counter() - began)


def _anvil_alone(rpc: HttpRpc, total: int) -> float:
    """Plain transfers a second that Anvil takes and mines, handed over in batches of SEND_BATCH."""
    chain, key = Chain(rpc), signer.new_key()
    account = signer.address_of(key)
    fund(rpc, account)
    fees, chain_id = chain.fees(), chain.chain_id()
    raws = [
        signer.sign_transaction(
            key,
            chain_id=chain_id,
            nonce=nonce,
            to=account,
            data=b"",
            gas=21_000,
            fees=Fees(fees.max_fee_per_gas * 100, fees.max_priority_fee_per_gas),
        ).raw
        for nonce in range(total)
    ]
    began = time.perf_counter()
    for at in range(0, total, SEND_BATCH):
        refusals = [one for one in chain.send(raws[at : at + SEND_BATCH]) if one is not None]
        if refusals:
            raise RuntimeError(f"Anvil refused: {refusals[0]}")
    eventually(lambda: chain.transaction_count(account) == total, SETTLE_SECONDS_MAX)
    return total / (time.perf_counter() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--circs", type=int, default=1_000, help="CreateCirc calls on each chain (%(default)s)")
    parser.add_argument("--batches", type=int, default=50, help="BatchCirc(1,000) calls on each chain (%(default)s)")
    parser.add_argument("--callers", type=int, default=16, help="concurrent callers (%(default)s)")
    args = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory(prefix="vtrace-bench-") as home:
        with console.status("embedded chain…"), running(Path(home) / "embedded") as node:
            embedded = _measure(node, args.circs, args.batches, args.callers)
        with console.status("Anvil alone…"), anvil() as url:
            rpc = HttpRpc(url)
            alone = _anvil_alone(rpc, args.circs)
            key = signer.new_key()
            fund(rpc, signer.address_of(key))
            key_file = Path(home) / "signer.key"
            key_file.touch(mode=0o600)
            key_file.write_text(key.hex())
            options = ("--chain", url, "--signer-key", str(key_file), "--confirmations", "1")
            console.log("Anvil alone measured; now the node on it")
            with running(Path(home) / "anvil", *options) as node:
                on_anvil = _measure(node, args.circs, args.batches, args.callers)
            rpc.close()
    table = Table("figure", "embedded chain", "on Anvil", "on Anvil / Anvil alone")
    for name, field in (
        ("CreateCirc a second, answered", "circs_answered"),
        ("CreateCirc a second, final", "circs_final"),
    ):
        here, there = getattr(embedded, field), getattr(on_anvil, field)
        table.add_row(name, f"{here:,.0f}", f"{there:,.0f}", f"{there / alone:.2f}")
    for name, field in (
        ("goods a second by BatchCirc(1,000), answered", "goods_answered"),
        ("goods a second by BatchCirc(1,000), final", "goods_final"),
        ("resident memory idle, MiB", "idle_mib"),
        ("resident memory loaded, MiB", "loaded_mib"),
    ):
        table.add_row(name, f"{getattr(embedded, field):,.0f}", f"{getattr(on_anvil, field):,.0f}", "")
    table.add_row("transactions a second that Anvil takes alone", "", f"{alone:,.0f}", "1.00")
    console.print(table)


if __name__ == "__main__":
    main()
