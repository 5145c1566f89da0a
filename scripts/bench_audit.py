"""What scripts/bench audit measures: circs a second that the auditor replays from Anvil, and holds a node's against.

Each circ is of one goods, in a transaction of its own, which is the most that there is to read for one circ.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import secrets
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from node.chain import contract, signer
from node.chain.rpc import Chain, HttpRpc, JsonRpc, RpcError
from node.clock import now_micros
from node.domain.form import form_digest
from node.domain.model import Circ, CircType, Range, Rights
from node.flow.audit import AgreedChain, Auditor, ShownCirc
from scripts import figures
from scripts.figures import Figure
from tests.audit.world import FORM, PROCESS, PRODUCE, World
from tests.chain.servers import anvil, fund
from tests.support.node import eventually

GOODS = 1_000
PRODUCE_BATCH = 100
FEE_PER_GAS = 10**11
SEND_BATCH = 100
MINE_SECONDS_MAX = 600
REPLAYED_MIN = 5_000


def _circs(world: World, count: int) -> None:
    """Have so many circs mined, one after the other for each goods, and shown."""
    for first in range(1, GOODS + 1, PRODUCE_BATCH):
        goods = list(range(first, first + PRODUCE_BATCH))
        if world.circulate(goods, PRODUCE, "coop", form=FORM.to_bytes()).status != "success":
            raise RuntimeError("goods could not be produced")
    signed: list[signer.SignedTransaction] = []
    for number in range(count):
        goods_id, times = number % GOODS + 1, number // GOODS + 1
        transaction, shown = _circ(world, goods_id, times)
        signed.append(transaction)
        world.view.add(goods_id, shown)
    _ask(world.rpc, "evm_setAutomine", False)
    _ask(world.rpc, "evm_setIntervalMining", 1)
    for at in range(0, count, SEND_BATCH):
        refusals = [one for one in world.chain.send([one.raw for one in signed[at : at + SEND_BATCH]]) if one]
        if refusals:
            raise RuntimeError(f"Anvil refused: {refusals[0]}")
    last = signed[-1].hash
    eventually(lambda: world.chain.receipts([last]) != [None], MINE_SECONDS_MAX)
    _ask(world.rpc, "evm_setIntervalMining", 0)


def _ask(rpc: JsonRpc, method: str, *params: object) -> None:
    (answer,) = rpc.batch([(method, list(params))])
    if isinstance(answer, RpcError):
        raise answer


def _circ(world: World, goods_id: int, times: int) -> tuple[signer.SignedTransaction, ShownCirc]:
    salt, form = secrets.token_bytes(16), b'{"step":"drying"}'
    on_chain = Circ((Range(goods_id, 1),), CircType.PROCESS, 1, 1, form_digest(salt, form), times)
    data = contract.circulate_data(on_chain, world.signature("coop", on_chain))
    signed = world.sign(world.address, data, 100_000)
    who = ("coop", "coop", "coop")
    shown = ShownCirc(
        *(goods_id, int(PROCESS), *who, form, salt, signed.hash, signed.hash, times, "success"),
        recorded_at=now_micros(),
    )
    return signed, shown


@dataclass(frozen=True, slots=True)
class Seconds:
    """Of one audit: for the replay, the auditor's own processor time in it, and for holding the goods against it."""

    replay: float
    processor: float
    rest: float


def _audit(chain: Chain | AgreedChain, world: World, checkpoint: Path | None = None) -> Seconds:
    auditor = Auditor(world.view, chain, world.address, checkpoint=checkpoint)
    replayed: list[tuple[float, float]] = []

    def tell(done: int, total: int) -> None:
        if done == total and not replayed:
            replayed.append((time.perf_counter(), time.process_time()))

    began, processor = time.perf_counter(), time.process_time()
    report = auditor.audit_all(replayed=tell)
    ended = time.perf_counter()
    if report.differences or report.unchecked:
        raise RuntimeError("\n".join(report.lines))
    return Seconds(replayed[0][0] - began, replayed[0][1] - processor, ended - replayed[0][0])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench audit", description=__doc__)
    parser.add_argument("--circs", type=int, default=20_000, help="circs on the chain (%(default)s)")
    parser.add_argument("--profile", action="store_true", help="print where the time of an audit goes")
    figures.add_json(parser)
    args = parser.parse_args()
    console = Console()
    key = signer.new_key()
    with (
        TemporaryDirectory(prefix="vtrace-bench-") as home,
        anvil("--gas-limit", "60000000") as url,
        closing(HttpRpc(url, timeout_seconds=60)) as rpc,
        closing(HttpRpc(url, timeout_seconds=60)) as witness,
    ):
        fund(rpc, signer.address_of(key), 10**30)
        with console.status("signing and mining…"):
            world = World(rpc, key, fee_per_gas=FEE_PER_GAS)
            world.register("coop", Rights.CIRCULATE | Rights.PRODUCE)
            _circs(world, args.circs)
        if args.profile:
            with cProfile.Profile() as profile:
                _audit(world.chain, world)
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
            return
        checkpoint = Path(home) / "checkpoint"
        both = AgreedChain([("one", Chain(rpc)), ("other", Chain(witness))])
        found: list[Figure] = []
        for name, chain, kept in (
            ("one endpoint", world.chain, None),
            ("writing a checkpoint", world.chain, checkpoint),
            ("going on from it", world.chain, checkpoint),
            ("two endpoints that must agree", both, None),
        ):
            with console.status(f"{name}…"):
                took = _audit(chain, world, kept)
            wanted = REPLAYED_MIN if kept is None and chain is world.chain else None
            found += [
                Figure(f"circs replayed, {name}", args.circs / took.replay, "/s", at_least=wanted),
                Figure(f"circs replayed, {name}, by the auditor's CPU time", args.circs / took.processor, "/s"),
                Figure(f"circs held against a node's, {name}", args.circs / took.rest, "/s"),
            ]
    figures.put_out("audit", found, args.json)


if __name__ == "__main__":
    main()
