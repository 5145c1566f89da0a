"""What an audit found, as lines for people and as JSON for programs (docs/audit.md has its fields)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from node.chain.rpc import Block
from node.flow.audit.findings import Difference, one_line
from node.flow.audit.shown import is_hash

FORMAT = "vtrace-audit-report"
VERSION = 1
GOODS_LISTED_MAX = 20


@dataclass(frozen=True, slots=True)
class Subject:
    """What an audit trusted: ``endpoints`` by name, the chain by id and genesis, the contract by address and code."""

    endpoints: tuple[str, ...]
    chain_id: int
    genesis: str
    contract: str
    code_hash: str

    def at(self, head: Block) -> str:
        """In one line: whoever reads a report can say whether it is about the right contract."""
        return (
            f"audit of chain {self.chain_id}, contract {self.contract}, code hash {self.code_hash}, "
            f"at block {head.number} {head.hash}"
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What an audit found. ``circs`` are those shown that are on the chain, ``pending`` those that wait for it.

    ``head`` is the last block that was looked at. ``fresh`` are goods that the node shows and of which the contract has
    taken no circ, so that nothing of them is proven yet. ``unproven`` counts circs that are on the chain under another
    hash than their trans_id, which the chain doesn't know, ``erased`` those whose form the node says to have forgotten.
    ``replayed`` counts the contract's circs where the whole ledger was replayed. ``unchecked`` has a line for whatever
    could not be checked, ``notes`` for what else is to know.
    """

    subject: Subject
    head: Block
    goods: int
    circs: int
    pending: int
    differences: tuple[Difference, ...]
    fresh: tuple[int, ...] = ()
    unproven: int = 0
    erased: int = 0
    replayed: int | None = None
    unchecked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """The report as it is printed: the subject first, the summary last, each one printable line."""
        lines = [self.subject.at(self.head), *(str(each) for each in self.differences)]
        if self.fresh:
            listed = ", ".join(str(goods_id) for goods_id in self.fresh[:GOODS_LISTED_MAX])
            more = ", …" if len(self.fresh) > GOODS_LISTED_MAX else ""
            lines.append(f"not on the chain yet, so nothing of them is proven: {len(self.fresh)} goods: {listed}{more}")
        if self.unproven:
            lines.append(
                f"trans_ids that the chain does not know, beside a tx_hash that proves the circ: {self.unproven}"
            )
        if self.erased:
            lines.append(
                "forms that the node says to have forgotten, as their operators' private data, so that nobody can hold "
                f"them against their digests: {self.erased}"
            )
        lines += [f"could not check: {each}" for each in self.unchecked]
        lines += [f"note: {each}" for each in self.notes]
        return [one_line(line) for line in [*lines, self.summary]]

    @property
    def summary(self) -> str:
        """One line."""
        return (
            f"audit: {self.goods} goods, {self.circs} circs, {self.pending} pending, "
            f"{len(self.differences)} differences"
        )

    def to_json(self) -> dict[str, Any]:
        """The report as one JSON object, but for what only the command knows."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "trusted": {
                "rpc": list(self.subject.endpoints),
                "chain_id": self.subject.chain_id,
                "genesis": self.subject.genesis,
                "contract": self.subject.contract,
                "code_hash": self.subject.code_hash,
                "block": {"number": self.head.number, "hash": self.head.hash},
            },
            "checked": {
                "goods": self.goods,
                "circs": self.circs,
                "pending": self.pending,
                "replayed_circs": self.replayed,
                "unproven_trans_ids": self.unproven,
                "forgotten_forms": self.erased,
                "goods_not_on_chain": list(self.fresh),
            },
            "findings": [
                {
                    "goods_id": each.goods_id,
                    "trans_id": each.trans_id if each.trans_id is not None and is_hash(each.trans_id) else None,
                    "step": each.step,
                    "lie": each.what.value,
                    "detail": one_line(each.detail),
                }
                for each in self.differences
            ],
            "unchecked": [one_line(each) for each in self.unchecked],
            "notes": [one_line(each) for each in self.notes],
        }


def unchecked_json(why: str) -> dict[str, Any]:
    """The report of an audit that could not check anything."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "trusted": None,
        "checked": None,
        "findings": [],
        "unchecked": [one_line(why)],
        "notes": [],
    }
