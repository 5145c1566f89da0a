"""Steps 1 and 3: which rows of the old outbox are what they say, and what the chain has that the outbox lacks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice

from node.chain import contract
from node.chain.history import History, Signed, read_signed, sender_of
from node.domain.log_entry import read_anchor
from node.domain.records import TxKind, TxState
from node.flow.reindex.ahead import ahead
from node.store.rebuild import OldTransaction, Rebuild

BATCH = 1_000
Tell = Callable[[int], None]


def examine(new: Rebuild, say: Callable[[str], None]) -> None:
    """Keep the rows whose bytes have the hash that they are known by; the bytes say which circ they ask for."""
    rows = new.transactions.old(unused=False)
    while some := list(islice(rows, BATCH)):
        carried = []
        for row in some:
            signed = read_signed(row.raw)
            if signed is None or not _is_genuine(new, row, signed, say):
                say(f"transaction {row.tx_hash} of the old index is damaged: what it carries is taken from the chain")
                new.transactions.drop(row.id)
            elif (digest := contract.form_digest_of(signed.data)) is not None:
                carried.append((digest, row.id))
        new.transactions.carry(carried)


def _is_genuine(new: Rebuild, row: OldTransaction, signed: Signed, say: Callable[[str], None]) -> bool:
    if signed.hash == row.live_hash:
        return True
    if row.live_hash != row.tx_hash or signed.nonce != row.nonce or sender_of(row.raw) != row.signer:
        return False
    say(f"transaction {row.tx_hash} of the old index is {signed.hash}: its bytes say so")
    new.transactions.mend_hash(row.id, signed.hash)
    return True


def fetch(new: Rebuild, history: History, drop: Callable[[int, str], None], tell: Tell) -> None:
    """Find out what the added transactions are. ``drop`` gets rows of the outbox that can't be mined, and why."""
    done = 0

    def ask(batch: list[tuple[int, str]]) -> list[tuple[int, Signed]]:
        found = history.transactions([tx_hash for _, tx_hash in batch])
        return [(outbox_id, signed) for (outbox_id, _), signed in zip(batch, found, strict=True)]

    for batch in ahead(partial(ask, batch) for batch in new.transactions.lacking()):
        there = new.transactions.at_nonces({(signed.sender, signed.nonce) for _, signed in batch})
        fill = []
        for outbox_id, signed in batch:
            known = there.get((signed.sender, signed.nonce))
            if known is not None and _asks_the_same(known[1], signed.data):
                new.transactions.merge(outbox_id, known[0])
                continue
            if known is not None:
                why = f"transaction {signed.hash} took the nonce {signed.nonce} of another one, which never was mined"
                drop(known[0], why)
            fill.append((outbox_id, signed.sender, signed.nonce, signed.raw))
        new.transactions.fill(fill)
        done += len(batch)
        tell(done)


def _asks_the_same(raw: bytes, data: bytes) -> bool:
    signed = read_signed(raw)
    return signed is not None and signed.data == data


def complete_nonces(new: Rebuild, history: History, signers: set[str], head: int) -> None:
    """The last transaction of each signer, where the chain has more than the outbox: the next nonce follows from it."""
    highest = new.transactions.nonces()
    for signer in sorted(signers):
        last = history.chain.transaction_count(signer, head) - 1
        if last <= highest.get(signer, -1):
            continue
        signed = history.transaction_at(signer, last, head)
        kind = _kind_of(signed.data)
        new.transactions.add(kind, signer, last, signed.raw, signed.hash)


def _kind_of(data: bytes) -> TxKind:
    if read_anchor(data) is not None:
        return TxKind.ANCHOR
    return TxKind.SET_RIGHTS if contract.form_digest_of(data) is None else TxKind.CIRC


def state_at(block: int, head: int, confirmations: int) -> TxState:
    """How far a transaction of this block is."""
    return TxState.FINAL if head - block + 1 >= confirmations else TxState.MINED
