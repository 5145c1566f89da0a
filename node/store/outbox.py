"""The outbox: every transaction of the node's signer, stored before it is sent.

(signer, nonce) and the hash are unique in the schema, so a nonce can't be given away twice and a stored
transaction can't be lost. Writers run inside ``Store.write()``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peewee import fn

from node.domain.records import UNMINED, OutboxTx, TxKind, TxState
from node.store import tables as t


def next_nonce(signer: str) -> int | None:
    """The nonce behind the highest stored one, or None before the first."""
    highest = t.Outbox.select(fn.MAX(t.Outbox.nonce)).where(t.Outbox.signer == signer).scalar()
    return None if highest is None else int(highest) + 1


def add(*, signer: str, nonce: int, kind: TxKind, raw: bytes, tx_hash: str) -> int:
    """Store a signed transaction; answers its id."""
    made = t.Outbox.create(
        signer=signer,
        nonce=nonce,
        kind=kind.value,
        signed_bytes=raw,
        tx_hash=tx_hash,
        state=TxState.SIGNED.value,
    )
    return int(made.id)


def _rows(query: Any) -> list[OutboxTx]:
    columns = (
        t.Outbox.id,
        t.Outbox.signer,
        t.Outbox.nonce,
        t.Outbox.kind,
        t.Outbox.signed_bytes,
        t.Outbox.tx_hash,
        t.Outbox.state,
        t.Outbox.block_number,
        t.Outbox.block_hash,
    )
    return [
        OutboxTx(id_, signer, nonce, TxKind(kind), bytes(raw), tx_hash, TxState(state), number, block)
        for id_, signer, nonce, kind, raw, tx_hash, state, number, block in t.tuples(
            query.select(*columns).order_by(t.Outbox.nonce)
        )
    ]


def in_state(states: Sequence[TxState], limit: int) -> list[OutboxTx]:
    """The first ``limit`` transactions in one of ``states``, in nonce order."""
    query = t.Outbox.select().where(t.Outbox.state.in_([state.value for state in states]))
    return _rows(query.limit(limit))


def oldest_unmined_nonce() -> int | None:
    """The lowest nonce that no block holds yet."""
    found = [t.Outbox.select(fn.MIN(t.Outbox.nonce)).where(t.Outbox.state == state.value).scalar() for state in UNMINED]
    return min((nonce for nonce in found if nonce is not None), default=None)


def mark(tx_ids: Sequence[int], state: TxState) -> None:
    """Move transactions to a state without a block."""
    t.Outbox.update(state=state.value, block_number=None, block_hash=None, mined_hash=None).where(
        t.Outbox.id.in_(list(tx_ids))
    ).execute()


def mark_mined(tx_id: int, state: TxState, block_number: int, block_hash: str, mined_hash: str) -> None:
    """Move a transaction to MINED, FINAL or REVERTED with the block that holds it.

    ``mined_hash`` is the transaction that did its work: itself, or another one that carried the same circ.
    """
    t.Outbox.update(state=state.value, block_number=block_number, block_hash=block_hash, mined_hash=mined_hash).where(
        t.Outbox.id == tx_id
    ).execute()


def send_again() -> int:
    """At start: whatever was sent but is in no block counts as not sent. Answers how many."""
    return int(t.Outbox.update(state=TxState.SIGNED.value).where(t.Outbox.state == TxState.SENT.value).execute())
