"""A replayed ledger as a file, so that the next audit goes on where this one stood.

The file is JSON, gzipped: what it is a replay of (chain id, contract, code hash), the block that it stands on, and all
that was learnt up to there. Whoever reads it trusts it as much as the chain's endpoint: it is the auditor's own note,
not evidence. What it says is replayed by the rules once more, and the chain must still have its block; an event that
was changed so that it still follows the rules is not noticed.
"""

from __future__ import annotations

import gzip
import json
import os
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.chain import contract
from node.domain.model import Circ, CircType, Range, Rights
from node.flow.audit.facts import Attempt, Place
from node.flow.audit.ledger import Ledger
from node.flow.audit.shown import AuditImpossible

FORMAT = "vtrace-audit-checkpoint"
VERSION = 1
BYTES_MAX = 4 * 1024**3
"""Of the JSON; an audit's own note of some 15 million circs is smaller."""


@dataclass(frozen=True, slots=True)
class Stand:
    """A block up to which everything was replayed."""

    number: int
    hash: str


class Checkpoint:
    """A file for one contract on one chain. AuditImpossible names the file and what is wrong with it."""

    def __init__(self, path: Path, chain_id: int, address: str, code_hash: str) -> None:
        self.path = path
        self._about = {
            "format": FORMAT,
            "version": VERSION,
            "chain_id": chain_id,
            "contract": address.lower(),
            "code_hash": code_hash,
        }
        if not path.parent.is_dir():
            raise self._impossible("its folder is not there")

    def load(self) -> tuple[Ledger, Stand] | None:
        """The ledger and where it stands; None if there is no file yet."""
        if not self.path.exists():
            return None
        try:
            with gzip.open(self.path, "rb") as file:
                raw = file.read(BYTES_MAX + 1)
            if len(raw) > BYTES_MAX:
                raise self._impossible(f"it has more than {BYTES_MAX} bytes")
            content = json.loads(raw)
            for name, want in self._about.items():
                if content.get(name) != want:
                    raise self._impossible(f"its {name} is {str(content.get(name))[:100]!r}, want {want!r}")
            stand = Stand(int(content["block"]), str(content["block_hash"]))
            return _ledger(content), stand
        except OSError as fault:
            raise self._impossible(fault.strerror or "it is no gzip file") from fault
        except (
            ValueError,
            KeyError,
            TypeError,
            IndexError,
            AttributeError,
            EOFError,
            RecursionError,
            zlib.error,
        ) as fault:
            raise self._impossible(f"it is damaged, or none of this auditor's ({fault}): remove it") from fault

    def save(self, ledger: Ledger, stand: Stand) -> None:
        """Write it anew, all or nothing: whatever is learnt of blocks behind ``stand`` is left out."""
        content = self._about | {
            "block": stand.number,
            "block_hash": stand.hash,
            "events": [_row(*each) for each in ledger.events if each[0].block <= stand.number],
            "attempts": [_attempt_row(*each) for each in ledger.attempts if each[0].block <= stand.number],
        }
        text = json.dumps(content, separators=(",", ":")).encode()
        try:
            handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(gzip.compress(text, compresslevel=1, mtime=0))
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(name, self.path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as fault:
            raise self._impossible(fault.strerror or str(fault)) from fault

    def _impossible(self, why: str) -> AuditImpossible:
        return AuditImpossible(f"--checkpoint {self.path}: {why}")


def _row(place: Place, tx_hash: str, event: contract.Event) -> list[Any]:
    where = [place.block, place.tx_index, place.log_index, tx_hash]
    match event:
        case contract.Circulated(circ):
            return [*where, "circ", *_circ_row(circ)]
        case contract.ActorRegistered(actor, account, rights, name_digest):
            return [*where, "actor", actor, account, rights.value, name_digest.hex()]
        case contract.AccountChanged(actor, account, sovereign):
            return [*where, "account", actor, account, sovereign]
        case contract.RightsChanged(actor, rights):
            return [*where, "rights", actor, rights.value]


def _circ_row(circ: Circ) -> list[Any]:
    goods = [number for span in circ.goods for number in (span.first, span.count)]
    return [circ.circ_type.value, circ.operator, circ.to, circ.form_digest.hex(), circ.version, goods]


def _attempt_row(attempt: Attempt, signed_by: str) -> list[Any]:
    return [attempt.tx_hash, attempt.block, attempt.sender, attempt.custodial, signed_by, *_circ_row(attempt.call)]


def _ledger(content: dict[str, Any]) -> Ledger:
    """The ledger, replayed by the rules. ValueError and its like for whatever does not fit."""
    ledger = Ledger(by_rules=True)
    last = Place(-1, 0, 0)
    for row in content["events"]:
        place = Place(*_integers(row[:3]))
        if not last < place <= Place(content["block"], 2**63, 2**63):
            raise ValueError(f"an event of block {place.block} is out of order")
        last = place
        ledger.learn(place, str(row[3]), _event(*row[4:]))
    for tx_hash, block, sender, custodial, signed_by, *circ in content["attempts"]:
        ledger.refuse(Attempt(tx_hash, block, sender, _circ(*circ), custodial), signed_by)
    return ledger


def _integers(values: list[Any]) -> Iterator[int]:
    for value in values:
        if type(value) is not int:
            raise ValueError(f"{str(value)[:40]!r} is no whole number")
        yield value


def _event(kind: str, *rest: Any) -> contract.Event:
    if kind == "circ":
        return contract.Circulated(_circ(*rest))
    if kind == "actor":
        actor, account, rights, name_digest = rest
        return contract.ActorRegistered(actor, account, Rights(rights), bytes.fromhex(name_digest))
    if kind == "account":
        return contract.AccountChanged(*rest)
    if kind == "rights":
        actor, rights = rest
        return contract.RightsChanged(actor, Rights(rights))
    raise ValueError(f"{str(kind)[:40]!r} is no kind of event")


def _circ(circ_type: int, operator: int, to: int, form_digest: str, version: int, goods: list[int]) -> Circ:
    numbers = _integers(goods)
    ranges = tuple(map(Range, numbers, numbers))
    return Circ(ranges, CircType(circ_type), operator, to, bytes.fromhex(form_digest), version)
