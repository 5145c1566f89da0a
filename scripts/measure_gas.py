"""What scripts/gas measures: gas a goods of each kind of circ, on Anvil, by the number and the spread of the goods.

A transfer goes to an actor registered after its operator, and an exam is that of another than the holder: the dearer
of two ways each. Goods that exceed one transaction are cut into several, as the node does it. Figures repeat to the
unit, since keys, ids and forms are always the same.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from eth_utils import keccak
from rich.console import Console
from rich.table import Table

from node.chain import contract, signer
from node.chain.fees import Fees
from node.chain.gas import DEPLOY_GAS, GAS_MAX, GOODS_PER_WORD, REGISTER_ACTOR_GAS, cut
from node.chain.rpc import Chain, HttpRpc, Receipt, RpcError
from node.domain.model import Circ, CircType, Range, Rights, ids_of, ranges_of
from tests.chain.servers import ROOT, anvil, fund

SNAPSHOT = ROOT / "contracts" / "gas.json"
NEIGHBOURS_FIRST = 800_000
LARGEST = "largest batch"
SHAPES: dict[str, tuple[Range, ...]] = {
    "1": (Range(801, 1),),
    "10": (Range(8_001, 10),),
    "100": (Range(20_001, 100),),
    "1,000 neighbouring": (Range(80_001, 1_000),),
    "1,000 scattered": ranges_of(range(1_000_000, 1_100_000, 100)),
}
OPERATOR, RECEIVER, EXAMINER = 1, 2, 3
WAYS = {
    CircType.PRODUCE: (OPERATOR, OPERATOR),
    CircType.PROCESS: (OPERATOR, OPERATOR),
    CircType.EXAM: (EXAMINER, EXAMINER),
    CircType.TRANSFER: (OPERATOR, RECEIVER),
}
"""Kind → operator and receiver, in the order in which they are measured."""
FEES = Fees(10**10, 1)
WORD_GAS_MIN = 5_000
"""What no circ can stay below for each word: what Ethereum asks for reading and writing it."""
RECEIPT_SECONDS_MAX = 60
POLL_SECONDS = 0.005
TABLE_WIDTH = 120


class Failed(Exception):
    """The measurement can't be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Of one circ: how many goods it was about, and the gas that its transaction used."""

    goods: int
    gas: int

    @property
    def per_goods(self) -> float:
        return self.gas / self.goods


Figures = dict[str, dict[str, Figure]]
"""Kind in lower case → shape → figure."""


class Bench:
    """The contract on a fresh Anvil, with three actors that have every right."""

    def __init__(self, rpc: HttpRpc) -> None:
        self._rpc, self._chain = rpc, Chain(rpc)
        self._chain_id = self._chain.chain_id()
        self._sender = keccak(b"gas sender")
        self._nonce = 0
        self._keys = {actor: keccak(b"gas actor %d" % actor) for actor in (OPERATOR, RECEIVER, EXAMINER)}
        self._times: dict[int, int] = {}
        own = signer.address_of(self._sender)
        fund(rpc, own)
        created = self._send(None, contract.deploy_data(own, own), DEPLOY_GAS).contract_address
        assert created is not None
        self._contract = created
        for actor, key in self._keys.items():
            rights = Rights.CIRCULATE | Rights.PRODUCE | Rights.EXAMINE
            data = contract.register_actor_data(signer.address_of(key), rights, keccak(b"name %d" % actor))
            self._send(created, data, REGISTER_ACTOR_GAS)

    def circ(self, circ_type: CircType, goods: tuple[Range, ...]) -> Figure:
        """Record a circ; what its transaction used."""
        receipt = self._send(self._contract, self._data(circ_type, goods), GAS_MAX)
        ids = ids_of(goods)
        for goods_id in ids:
            self._times[goods_id] = self._times.get(goods_id, 0) + 1
        return Figure(len(ids), receipt.gas_used)

    def cut(self, circ_type: CircType, goods: tuple[Range, ...]) -> Figure:
        """Record goods in as many circs as the node would."""
        figures = [self.circ(circ_type, group) for group in cut(circ_type, goods, GAS_MAX)]
        return Figure(sum(figure.goods for figure in figures), sum(figure.gas for figure in figures))

    def largest(self, circ_type: CircType) -> Figure:
        """Record the largest circ on neighbours that a transaction may carry."""
        low, high = 1, GAS_MAX // WORD_GAS_MIN
        while high - low > 1:
            words = (low + high) // 2
            if self._fits(circ_type, (Range(NEIGHBOURS_FIRST, words * GOODS_PER_WORD),)):
                low = words
            else:
                high = words
        return self.circ(circ_type, (Range(NEIGHBOURS_FIRST, low * GOODS_PER_WORD),))

    def hold_neighbours(self) -> None:
        """Produce as many neighbours as the largest circ of another kind can be about."""
        first, end = NEIGHBOURS_FIRST, NEIGHBOURS_FIRST + GAS_MAX // WORD_GAS_MIN * GOODS_PER_WORD
        first = max((goods_id + 1 for goods_id in self._times if first <= goods_id < end), default=first)
        self.cut(CircType.PRODUCE, (Range(first, end - first),))

    def _data(self, circ_type: CircType, goods: tuple[Range, ...]) -> bytes:
        operator, to = WAYS[circ_type]
        version = sum(self._times.get(goods_id, 0) for goods_id in ids_of(goods))
        circ = Circ(goods, circ_type, operator, to, keccak(b"form"), version)
        digest = contract.circ_digest(self._chain_id, self._contract, circ)
        return contract.circulate_data(circ, signer.sign_digest(self._keys[operator], digest))

    def _fits(self, circ_type: CircType, goods: tuple[Range, ...]) -> bool:
        data = self._data(circ_type, goods)
        call = {"from": signer.address_of(self._sender), "to": self._contract, "data": f"0x{data.hex()}"}
        (answer,) = self._rpc.batch([("eth_call", [{**call, "gas": hex(GAS_MAX)}, "latest"])])
        return not isinstance(answer, RpcError)

    def _send(self, to: str | None, data: bytes, gas: int) -> Receipt:
        signed = signer.sign_transaction(
            self._sender,
            chain_id=self._chain_id,
            nonce=self._nonce,
            to=to,
            data=data,
            gas=gas,
            fees=FEES,
        )
        self._nonce += 1
        (refusal,) = self._chain.send([signed.raw])
        if refusal is not None:
            raise Failed(f"Anvil refuses a transaction: {refusal}")
        deadline = time.monotonic() + RECEIPT_SECONDS_MAX
        while True:
            (receipt,) = self._chain.receipts([signed.hash])
            if receipt is not None:
                break
            if time.monotonic() > deadline:
                raise Failed(f"no receipt of {signed.hash} after {RECEIPT_SECONDS_MAX} s")
            time.sleep(POLL_SECONDS)
        if not receipt.status:
            raise Failed(f"the transaction {signed.hash} reverted after {receipt.gas_used:,} of {gas:,} gas")
        return receipt


def measure() -> Figures:
    """Every figure, on an Anvil of its own."""
    with anvil() as url:
        rpc = HttpRpc(url, timeout_seconds=RECEIPT_SECONDS_MAX)
        try:
            bench = Bench(rpc)
            found: Figures = {}
            for circ_type in WAYS:
                of_kind = found[circ_type.name.lower()] = {}
                for shape, goods in SHAPES.items():
                    of_kind[shape] = bench.cut(circ_type, goods)
                of_kind[LARGEST] = bench.largest(circ_type)
                if circ_type is CircType.PRODUCE:
                    bench.hold_neighbours()
            return found
        finally:
            rpc.close()


def grown(now: Figures, before: Figures, share: float = 0.02) -> list[str]:
    """The figures that have grown by more than ``share``, each as a line; one that is new has grown."""
    lines = []
    for kind, shapes in now.items():
        for shape, figure in shapes.items():
            known = before.get(kind, {}).get(shape)
            if known is None or figure.per_goods > known.per_goods * (1 + share):
                was = "unknown" if known is None else f"{known.per_goods:,.0f}"
                lines.append(f"{kind}, {shape}: {figure.per_goods:,.0f} gas a goods, was {was}")
    return lines


def read_snapshot(path: Path = SNAPSHOT) -> Figures:
    """The figures of the committed snapshot."""
    loaded = json.loads(path.read_text(encoding="utf-8"))
    return {kind: {shape: Figure(**figure) for shape, figure in shapes.items()} for kind, shapes in loaded.items()}


def text_of(figures: Figures) -> str:
    """The figures as they stand in the snapshot."""
    plain = {kind: {shape: asdict(figure) for shape, figure in shapes.items()} for kind, shapes in figures.items()}
    return json.dumps(plain, indent=2) + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"renew {SNAPSHOT.relative_to(ROOT)}")
    options = parser.parse_args(arguments)
    try:
        figures = measure()
    except Failed as failure:
        print(f"gas: {failure}", file=sys.stderr)
        return 2
    shapes = [*SHAPES, LARGEST]
    table = Table(*["gas a goods", *shapes], title="goods in one circ", title_justify="left")
    for kind, row in figures.items():
        cells = [f"{row[shape].per_goods:,.0f}" for shape in shapes]
        table.add_row(kind, *cells[:-1], f"{cells[-1]} ({row[LARGEST].goods:,})")
    Console(width=TABLE_WIDTH).print(table)
    if options.write:
        SNAPSHOT.write_text(text_of(figures), encoding="utf-8")
        return 0
    lines = grown(figures, read_snapshot())
    for line in lines:
        print(f"grown: {line}", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
