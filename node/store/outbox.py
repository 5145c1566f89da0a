"""The outbox: every transaction of the node's signers, stored before it is sent.

A signer is a lane: its transactions go out in the order of their nonces. (signer, nonce) and the hash are unique in
the schema, so a nonce can't be given away twice and a stored transaction can't be lost. Writers run inside
``Store.write()``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import fn

from node.domain.records import UNFINISHED, UNMINED, MinedTx, OutboxTx, TxKind, TxState
from node.store import tables as t

_COLUMNS = "id, signer, nonce, kind, signed_bytes, tx_hash, live_hash, signed_at, state, block_number, block_hash"
NONCE_MAX = 2**63 - 1
_DONE = (TxState.FINAL, TxState.REVERTED)


def _values(states: Iterable[TxState]) -> list[str]:
    return [state.value for state in states]


def next_nonce(signer: str) -> int | None:
    """The nonce behind the highest stored one, or None before the first."""
    ((highest,),) = t.run("SELECT MAX(nonce) FROM outbox WHERE signer = ?", signer).fetchall()
    return None if highest is None else int(highest) + 1


@dataclass(frozen=True, slots=True)
class NewTx:
    """A transaction of a lane to be stored."""

    nonce: int
    raw: bytes
    tx_hash: str


def add(
    *, signer: str, nonce: int, kind: TxKind, raw: bytes, tx_hash: str, now: int, waits_for: Collection[int] = ()
) -> int:
    """Store a signed transaction; answers its id. It is not sent before those in ``waits_for`` are finished."""
    (tx_id,) = add_all(signer=signer, kind=kind, txs=[NewTx(nonce, raw, tx_hash)], now=now)
    if waits_for:
        t.Wait.insert_many([{"outbox_id": tx_id, "waits_for": other} for other in waits_for]).execute()
    return tx_id


def add_all(*, signer: str, kind: TxKind, txs: Sequence[NewTx], now: int) -> list[int]:
    """Store signed transactions of one lane; answers their ids, which ascend with the nonces."""
    state = TxState.SIGNED.value
    ids = dict(
        t.run_rows(
            "INSERT INTO outbox (signer, nonce, kind, signed_bytes, signed_at, tx_hash, state) "
            "VALUES {rows} RETURNING nonce, id",
            [(signer, tx.nonce, kind.value, tx.raw, now, tx.tx_hash, state) for tx in txs],
        )
    )
    return [int(ids[tx.nonce]) for tx in txs]


def _rows(where: str, *values: object) -> list[OutboxTx]:
    rows = t.run(f"SELECT {_COLUMNS} FROM outbox WHERE {where}", *values)
    return [
        OutboxTx(
            id_, signer, nonce, TxKind(kind), bytes(raw), first, live or first, at or 0, TxState(state), number, block
        )
        for id_, signer, nonce, kind, raw, first, live, at, state, number, block in rows
    ]


def in_lane(signer: str, state: TxState, limit: int, *, below_nonce: int = NONCE_MAX) -> list[OutboxTx]:
    """A lane's first transactions in a state, in nonce order, those with a nonce below ``below_nonce``."""
    where = "state = ? AND signer = ? AND nonce < ? ORDER BY nonce LIMIT ?"
    return _rows(where, state.value, signer, below_nonce, limit)


def mined_up_to(block_number: int, limit: int) -> list[OutboxTx]:
    """What is mined, but not final, in blocks up to this one; the lowest blocks first, in the order of recording."""
    where = "state = ? AND block_number <= ? ORDER BY block_number, id LIMIT ?"
    return _rows(where, TxState.MINED.value, block_number, limit)


def lanes_with(states: Sequence[TxState]) -> list[str]:
    """The signers that have a transaction in one of ``states``."""
    where = f"state IN {t.places(len(states))}"
    return sorted(
        str(signer) for (signer,) in t.run(f"SELECT DISTINCT signer FROM outbox WHERE {where}", *_values(states))
    )


def count(states: Sequence[TxState]) -> int:
    """How many transactions are in one of ``states``."""
    where = f"state IN {t.places(len(states))}"
    return int(t.run(f"SELECT COUNT(*) FROM outbox WHERE {where}", *_values(states)).fetchall()[0][0])


def oldest_at(states: Sequence[TxState]) -> int | None:
    """When the oldest transaction in one of ``states`` was stored, in microseconds since 1970."""
    first = t.Outbox.select(fn.MIN(t.Outbox.id)).where(t.Outbox.state.in_(_values(states))).scalar()
    if first is None:
        return None
    row = t.Outbox.get_by_id(first)
    before = t.Replaced.select(fn.MIN(t.Replaced.signed_at)).where(t.Replaced.outbox_id == first).scalar()
    return int(before if before is not None else row.signed_at or 0)


def known_by(tx_hashes: Collection[str]) -> dict[str, tuple[TxState, list[str]]]:
    """How far transactions are, by the hashes that they were first known by, and all hashes that each has or had."""
    found: dict[str, tuple[TxState, list[str]]] = {}
    for some in t.cut(tx_hashes):
        query = f"SELECT id, tx_hash, live_hash, mined_hash, state FROM outbox WHERE tx_hash IN {t.places(len(some))}"
        rows = t.run(query, *some).fetchall()
        before = replaced([row[0] for row in rows])
        for id_, tx_hash, live, mined, state in rows:
            hashes = [each for each in (mined, live, tx_hash, *before.get(id_, [])) if each]
            found[tx_hash] = TxState(state), list(dict.fromkeys(hashes))
    return found


def has_final() -> bool:
    """Whether anything was ever settled on the chain."""
    return bool(t.Outbox.select().where(t.Outbox.state == TxState.FINAL.value).exists())


# Waiting for other lanes


def unfinished(tx_ids: Collection[int]) -> list[tuple[int, str]]:
    """Those of ``tx_ids`` that are neither final nor reverted, each with its signer, in the order of recording."""
    found: list[tuple[int, str]] = []
    for some in t.cut(tx_ids):
        query = t.Outbox.select(t.Outbox.id, t.Outbox.signer).where(
            t.Outbox.id.in_(some), t.Outbox.state.in_(_values(UNFINISHED))
        )
        found += [(int(tx_id), str(signer)) for tx_id, signer in t.tuples(query)]
    return sorted(found)


def unfinished_by(operator: int) -> list[int]:
    """The unfinished transactions that carry circs of an actor."""
    query = (
        t.Outbox.select(t.Outbox.id)
        .join(t.Circ, on=t.Circ.outbox == t.Outbox.id)
        .where(t.Outbox.state.in_(_values(UNFINISHED)), t.Circ.operator == operator)
    )
    return [int(tx_id) for (tx_id,) in t.tuples(query)]


def waiting(tx_ids: Collection[int]) -> set[int]:
    """Those of ``tx_ids`` that wait for a transaction of another lane which is not finished."""
    found: set[int] = set()
    for some in t.cut(tx_ids):
        query = (
            t.Wait.select(t.Wait.outbox_id)
            .join(t.Outbox, on=t.Wait.waits_for == t.Outbox.id)
            .where(t.Wait.outbox_id.in_(some), t.Outbox.state.not_in(_values(_DONE)))
        )
        found.update(int(tx_id) for (tx_id,) in t.tuples(query))
    return found


# Steps on the way


def mark_sent(tx_ids: Collection[int]) -> None:
    """The chain has taken these. What was found mined in the meantime stays so."""
    for some in t.cut(tx_ids):
        where = f"id IN {t.places(len(some))} AND state = ?"
        t.run(f"UPDATE outbox SET state = ? WHERE {where}", TxState.SENT.value, *some, TxState.SIGNED.value)


def mark_lost(signer: str) -> int:
    """What a lane has sent and no block holds is to be sent again. Answers how many."""
    query = t.Outbox.update(state=TxState.SIGNED.value)
    return int(query.where(t.Outbox.state == TxState.SENT.value, t.Outbox.signer == signer).execute())


def mark_mined(rows: Sequence[MinedTx]) -> None:
    """Move transactions to MINED, FINAL or REVERTED with the blocks that hold them."""
    t.run_rows(
        "UPDATE outbox SET state = new.column2, block_number = CAST(new.column3 AS BIGINT), block_hash = new.column4, "
        "mined_hash = new.column5 FROM (VALUES {rows}) AS new WHERE outbox.id = new.column1",
        [(row.id, row.state.value, row.block_number, row.block_hash, row.mined_hash) for row in rows],
    )


def send_again() -> int:
    """At start: whatever was sent but is in no block counts as not sent. Answers how many."""
    return int(t.Outbox.update(state=TxState.SIGNED.value).where(t.Outbox.state == TxState.SENT.value).execute())


def replace(tx: OutboxTx, raw: bytes, tx_hash: str, now: int) -> None:
    """A transaction was signed again: the new bytes are to be sent, the old ones are kept.

    Nothing happens if a block was found to hold it meanwhile.
    """
    query = t.Outbox.update(signed_bytes=raw, live_hash=tx_hash, signed_at=now, state=TxState.SIGNED.value)
    if query.where(t.Outbox.id == tx.id, t.Outbox.state.in_(_values(UNMINED))).execute():
        t.Replaced.create(outbox_id=tx.id, tx_hash=tx.live_hash, signed_bytes=tx.raw, signed_at=tx.signed_at)


def replaced(tx_ids: Collection[int]) -> dict[int, list[str]]:
    """The hashes that transactions had before they were signed again, the newest first."""
    found: dict[int, list[str]] = {}
    for some in t.cut(tx_ids):
        query = t.Replaced.select(t.Replaced.outbox_id, t.Replaced.tx_hash).where(t.Replaced.outbox_id.in_(some))
        for tx_id, tx_hash in t.tuples(query.order_by(t.Replaced.id.desc())):
            found.setdefault(int(tx_id), []).append(str(tx_hash))
    return found


# Blocks


def blocks_from(number: int) -> list[tuple[int, str]]:
    """The blocks, from this number on, that hold transactions of ours, the highest first."""
    query = (
        t.Outbox.select(t.Outbox.block_number, t.Outbox.block_hash)
        .where(t.Outbox.block_number >= number)
        .distinct()
        .order_by(t.Outbox.block_number.desc())
    )
    return [(int(height), str(block)) for height, block in t.tuples(query)]


def first_block() -> tuple[int, str] | None:
    """The lowest block that holds a transaction of ours: that of the deployment."""
    found = next(iter(t.tuples(_blocks().order_by(t.Outbox.block_number).limit(1))), None)
    return None if found is None else (int(found[0]), str(found[1]))


def _blocks() -> Any:
    return t.Outbox.select(t.Outbox.block_number, t.Outbox.block_hash).where(t.Outbox.block_number.is_null(False))


def blocks_before(number: int, limit: int) -> list[tuple[int, str]]:
    """The highest blocks below a number that hold transactions of ours."""
    query = (
        t.Outbox.select(t.Outbox.block_number, t.Outbox.block_hash)
        .where(t.Outbox.block_number < number)
        .order_by(t.Outbox.block_number.desc())
    )
    return [(int(height), str(block)) for height, block in t.tuples(query.limit(limit))]


def take_out(blocks: Collection[tuple[int, str]]) -> list[int]:
    """Blocks were forked away: what they held is to be sent again. Answers the transactions."""
    taken: list[int] = []
    for number, block in blocks:
        place = (t.Outbox.block_number == number, t.Outbox.block_hash == block)
        taken += [int(tx_id) for (tx_id,) in t.tuples(t.Outbox.select(t.Outbox.id).where(*place))]
        t.Outbox.update(state=TxState.SIGNED.value, block_number=None, block_hash=None, mined_hash=None).where(
            *place
        ).execute()
    return sorted(taken)
