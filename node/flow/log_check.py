"""Reading the audit log, and verifying it: each entry follows from the one before, anchors are heads that it had."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from node.chain.rpc import Chain, Transaction
from node.chain.transport import ChainUnavailable
from node.domain.log_entry import START, chained, origin_digest, read_anchor, written
from node.domain.records import TxState
from node.errors import SetupError
from node.store import log, outbox
from node.store.db import Store
from node.store.log import Anchor, Kept
from node.store.seal import Seal

DIFFERENCES_TOLD_MAX = 20
ANCHORS_AT_ONCE = 100


@dataclass
class Checked:
    """What came of it. ``anchored`` is the last anchor on chain, ``block`` its block; ``waiting`` are on their way.

    ``differences`` are those told, of ``different`` in all; ``unchecked`` says what could not be checked, and why.
    """

    entries: int = 0
    head: bytes = START
    anchors: int = 0
    waiting: int = 0
    first: Anchor | None = None
    anchored: Anchor | None = None
    block: int | None = None
    different: int = 0
    differences: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def differs(self, what: str) -> None:
        """Note a difference."""
        self.different += 1
        if self.different <= DIFFERENCES_TOLD_MAX:
            self.differences.append(what)


def check(store: Store, seal: Seal, find_chain: Callable[[], Chain]) -> Checked:
    """Verify the log as it stands. Where ``find_chain`` raises SetupError or ChainUnavailable, anchors stay open."""
    checked = Checked()
    with store.read():  # entries that come meanwhile are not looked at
        settings, anchors = store.settings(), log.anchors()
        heads = _follow(seal, checked, {anchor.number for anchor in anchors})
        states = outbox.known_by([anchor.tx_hash for anchor in anchors])
    for anchor in anchors:
        if heads.get(anchor.number) != anchor.hash:
            checked.differs(
                f"the entry {anchor.number} that was anchored at {written(anchor.at)} is "
                f"{'another now' if anchor.number in heads else 'not there any more'}"
            )
    checked.anchors = len(anchors)
    if anchors:
        try:
            chain = find_chain()
            _hold_chain(chain, settings)
            for at in range(0, len(anchors), ANCHORS_AT_ONCE):
                _hold(chain, settings["signer"], anchors[at : at + ANCHORS_AT_ONCE], states, checked)
        except (ChainUnavailable, SetupError) as fault:
            checked.unchecked.append(f"{len(anchors)} anchors: {fault}")
    return checked


def entries(seal: Seal, after: str, before: str | None, who: str | None) -> Iterator[dict[str, Any]]:
    """The entries from one time on and before another (as entries have times), with their hashes.

    ``who`` leaves those that one user made, or that are about it. ``address`` is where a call came from, as
    long as that is known.
    """
    for kept in log.entries():
        body = json.loads(kept.body)
        if body["at"] < after or (before is not None and body["at"] >= before):
            continue
        if who is not None and who not in (body.get("who"), body.get("on", {}).get("user")):
            continue
        origin = log.origin(seal, kept)
        yield body | ({} if origin is None else {"address": origin[1]}) | {"hash": kept.hash.hex()}


def addresses_of(seal: Seal, who: str) -> list[dict[str, str]]:
    """From where a user called, and when, as far as that is known."""
    return [
        {"at": entry["at"], "call": entry["call"], "address": entry["address"]}
        for entry in entries(seal, "", None, who)
        if "address" in entry and entry.get("who") == who
    ]


def _follow(seal: Seal, checked: Checked, wanted: set[int]) -> dict[int, bytes]:
    """Walk the chain of entries; answers the hashes of those ``wanted``, as their bodies and all before them say."""
    heads: dict[int, bytes] = {}
    before = START
    for kept in log.entries():
        checked.entries += 1
        if kept.number != checked.entries:
            checked.differs(f"entry {checked.entries} to {kept.number - 1}: removed")
            checked.entries = kept.number
        if chained(before, kept.body) != kept.hash:
            checked.differs(f"entry {kept.number}: changed, or put in")
        _hold_body(seal, kept, checked)
        before = kept.hash
        if kept.number in wanted:
            heads[kept.number] = before
    checked.head = before
    return heads


def _hold_body(seal: Seal, kept: Kept, checked: Checked) -> None:
    try:
        body = json.loads(kept.body)
        number, said = body["number"], body.get("from")
    except (ValueError, KeyError, TypeError):
        checked.differs(f"entry {kept.number}: is none")
        return
    if number != kept.number:
        checked.differs(f"entry {kept.number}: says that it is {number}")
    try:
        origin = log.origin(seal, kept)
    except SetupError:
        checked.differs(f"entry {kept.number}: the address that is kept beside it is damaged")
        return
    if origin is not None and origin_digest(*origin) != said:
        checked.differs(f"entry {kept.number}: the address that is kept beside it is another than it says")


def _hold_chain(chain: Chain, settings: dict[str, str]) -> None:
    genesis = chain.block(0)
    if str(chain.chain_id()) != settings["chain_id"] or genesis is None or genesis.hash != settings["genesis"]:
        raise SetupError(f"the endpoint serves another chain than that of the data directory, {settings['chain_id']}")


def _hold(
    chain: Chain, signer: str, anchors: list[Anchor], states: dict[str, tuple[TxState, list[str]]], checked: Checked
) -> None:
    for anchor in anchors:
        state, hashes = states.get(anchor.tx_hash, (TxState.FINAL, [anchor.tx_hash]))
        found = next((tx for tx in chain.transactions(hashes) if tx is not None and tx.block_number is not None), None)
        if found is None and state is TxState.FINAL:
            checked.differs(f"the chain does not have the anchor of entry {anchor.number}, transaction {hashes[0]}")
        elif found is None:
            checked.waiting += 1
        elif not _says(found, signer, anchor):
            checked.differs(f"transaction {found.hash} does not anchor entry {anchor.number} as it is")
        else:
            checked.first = checked.first or anchor
            checked.anchored, checked.block = anchor, found.block_number


def _says(found: Transaction, signer: str, anchor: Anchor) -> bool:
    is_own = found.sender == signer and found.to == signer
    return is_own and read_anchor(found.input) == (anchor.number, anchor.hash)
