"""Actors, custody and circs in the index. Writers run inside ``Store.write()``."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import fn

from node.domain.custody import UNHELD, GoodsState
from node.domain.model import Circ, CircStatus, CircType, Rights
from node.domain.records import Actor, CircRecord
from node.store import tables as t

_HISTORY = (
    "SELECT circ.id, circ_type, by_user.username, to_user.username, form, salt, tx_hash, mined_hash, circ_goods.times, "
    "circ.status, circ.created_at, reason, private, erased_digest IS NOT NULL "
    "FROM circ_goods JOIN circ ON circ.id = circ_id "
    'JOIN actor AS by_actor ON by_actor.id = operator_id JOIN "user" AS by_user ON by_user.id = by_actor.user_id '
    'JOIN actor AS to_actor ON to_actor.id = to_id JOIN "user" AS to_user ON to_user.id = to_actor.user_id '
    "JOIN outbox ON outbox.id = outbox_id WHERE goods_id = ? AND circ_id > ? ORDER BY circ_id LIMIT ?"
)
_TYPES = {int(each): each for each in CircType}
_STATUSES = {each.value: each for each in CircStatus}
_GOODS_PER_STATE = 16
"""Where fewer goods than that are in the same state, each row is told its own."""
_HISTORY_ROWS = 64
"""So many circs are in memory at a time, with forms of up to 64 KiB."""


def next_actor() -> int:
    """The id that the contract will give to the next actor."""
    return int(t.Actor.select(fn.MAX(t.Actor.id)).scalar() or 0) + 1


def add_actor(actor: Actor, key_sealed: bytes, outbox_id: int) -> None:
    """An actor whose registration stands in the outbox."""
    t.Actor.create(
        id=actor.id,
        user=actor.user_id,
        account=actor.account,
        key_sealed=key_sealed,
        rights=int(actor.rights),
        registered_by=outbox_id,
        last_outbox=outbox_id,
    )


def actor_of(user_id: int) -> tuple[Actor, bytes] | None:
    """A user's actor and its sealed key, which is empty once the node has none."""
    return next(iter(actors_of([user_id])), None)


def actors_of(user_ids: Sequence[int]) -> list[tuple[Actor, bytes]]:
    """The actors of users, each with its sealed key; users without one are left out."""
    columns = "id, user_id, account, rights, sovereign_by, key_sealed"
    rows = t.run(f"SELECT {columns} FROM actor WHERE user_id IN {t.places(len(user_ids))}", *user_ids)
    return [
        (Actor(actor_id, user_id, account, Rights(rights), sovereign_by is not None), bytes(sealed))
        for actor_id, user_id, account, rights, sovereign_by, sealed in rows
    ]


def change_rights(actor_id: int, rights: Rights, outbox_id: int) -> None:
    """Remember the rights that a transaction gives to an actor."""
    t.Actor.update(rights=int(rights), last_outbox=outbox_id).where(t.Actor.id == actor_id).execute()


def actor_registered_by(outbox_id: int) -> int | None:
    """The actor id that a registration was expected to get."""
    row = t.Actor.get_or_none(t.Actor.registered_by == outbox_id)
    return int(row.id) if row else None


def custody(goods_ids: Sequence[int]) -> dict[int, tuple[GoodsState, int]]:
    """Holder and times of goods, with the org whose class they are of; unknown goods are left out."""
    found: dict[int, tuple[GoodsState, int]] = {}
    for some in t.cut(goods_ids):
        rows = t.run(f"SELECT id, holder, times, org_id FROM goods WHERE id IN {t.places(len(some))}", *some)
        for goods_id, holder, times, org_id in rows:
            found[goods_id] = (GoodsState(holder, times), org_id)
    return found


def stood_on(goods_ids: Sequence[int], actor_ids: Sequence[int]) -> set[int]:
    """The transactions after which goods and actors are as the index has them: the last that changed each."""
    found: set[int] = set()
    for some in t.cut(goods_ids):
        query = t.Goods.select(t.Goods.last_outbox).where(t.Goods.id.in_(some)).distinct()
        found.update(tx_id for (tx_id,) in t.tuples(query) if tx_id is not None)
    of_actors = t.Actor.select(t.Actor.last_outbox).where(t.Actor.id.in_(list(actor_ids)))
    found.update(tx_id for (tx_id,) in t.tuples(of_actors) if tx_id is not None)
    return found


def set_custody(states: Mapping[int, GoodsState], outbox_id: int | None = None) -> None:
    """Give goods their new holder and times, as the circ that was just stored with ``outbox_id`` leaves them."""
    last = () if outbox_id is None else (outbox_id,)
    by_state: dict[tuple[int, int], list[int]] = {}
    for goods_id, state in states.items():
        by_state.setdefault((state.holder, state.times), []).append(goods_id)
    if len(by_state) * _GOODS_PER_STATE > len(states):
        also = ", last_outbox = new.column4" if last else ""
        t.run_rows(
            f"UPDATE goods SET holder = new.column2, times = new.column3{also} "
            "FROM (VALUES {rows}) AS new WHERE goods.id = new.column1",
            [(goods_id, state.holder, state.times, *last) for goods_id, state in states.items()],
        )
        return
    columns = "holder = ?, times = ?" + (", last_outbox = ?" if last else "")
    for (holder, times), goods_ids in by_state.items():
        for some in t.cut(goods_ids):
            t.run(f"UPDATE goods SET {columns} WHERE id IN {t.places(len(some))}", holder, times, *last, *some)


def move(states: Mapping[int, tuple[GoodsState, int]]) -> None:
    """Give each goods its own new holder and times, with the transaction that did it last."""
    t.run_rows(
        "UPDATE goods SET holder = new.column2, times = new.column3, last_outbox = CAST(new.column4 AS BIGINT) "
        "FROM (VALUES {rows}) AS new WHERE goods.id = new.column1",
        [(goods_id, state.holder, state.times, last) for goods_id, (state, last) in states.items()],
    )


@dataclass(frozen=True, slots=True)
class NewCirc:
    """A circ to be stored; ``times`` has the times of its goods before it."""

    circ_type: CircType
    operator: int
    to: int
    form: bytes
    salt: bytes
    outbox_id: int
    times: Mapping[int, int]
    private: bool = False

    @classmethod
    def of(
        cls, circ: Circ, form: bytes, salt: bytes, outbox_id: int, times: Mapping[int, int], private: bool
    ) -> NewCirc:
        """A circ as it was signed, with what the chain does not have of it."""
        return cls(circ.circ_type, circ.operator, circ.to, form, salt, outbox_id, times, private)


def add(new: Sequence[NewCirc], now: int) -> list[int]:
    """Store pending circs; answers their ids."""
    status = CircStatus.PENDING.value
    ids = dict(
        t.run_rows(
            "INSERT INTO circ (circ_type, operator_id, to_id, form, salt, status, outbox_id, created_at, private) "
            "VALUES {rows} RETURNING outbox_id, id",
            [
                (
                    *(int(each.circ_type), each.operator, each.to, each.form, each.salt),
                    *(status, each.outbox_id, now, each.private or None),
                )
                for each in new
            ],
        )
    )
    t.run_rows(
        "INSERT INTO circ_goods (goods_id, circ_id, times) VALUES {rows}",
        [(goods_id, ids[each.outbox_id], before) for each in new for goods_id, before in each.times.items()],
    )
    return [int(ids[each.outbox_id]) for each in new]


def history(goods_id: int, after: int = 0) -> Iterator[CircRecord]:
    """The circs of one goods behind circ ``after``, oldest first, read as they are asked for."""
    while True:
        rows = t.run(_HISTORY, goods_id, after, _HISTORY_ROWS).fetchall()
        for row in rows:
            yield _record(goods_id, row)
        if len(rows) < _HISTORY_ROWS:
            return
        after = rows[-1][0]


def _record(goods_id: int, row: tuple[Any, ...]) -> CircRecord:
    circ_id, circ_type, operator, to, form, salt, trans_id, mined_hash, times, status, at, reason, private, erased = row
    kept = b"" if erased else bytes(salt)
    kind, state, hidden = _TYPES[circ_type], _STATUSES[status], bool(private)
    return CircRecord(
        circ_id, goods_id, kind, operator, to, bytes(form), kept,
        trans_id, mined_hash, times, state, at, reason or "", hidden, bool(erased),
    )  # fmt: skip


def succeed(outbox_ids: Sequence[int]) -> None:
    """The circs of these transactions were taken by the contract, deep enough.

    A circ that had failed was taken after all if a deep fork took out what made the contract refuse it.
    """
    for some in t.cut(outbox_ids):
        of_these = f"outbox_id IN {t.places(len(some))} AND status"
        revived = t.run(f"SELECT id FROM circ WHERE {of_these} = ?", *some, CircStatus.FAILED.value)
        ids = [int(circ_id) for (circ_id,) in revived.fetchall()]
        done = CircStatus.SUCCESS.value
        t.run(f"UPDATE circ SET status = ?, reason = NULL WHERE {of_these} <> ?", done, *some, done)
        if ids:
            _number_again(sorted({goods_id for circ_id in ids for goods_id in _goods_of(circ_id)}))


def unsettle(outbox_ids: Sequence[int]) -> None:
    """A fork took these transactions out: their successful circs are pending again."""
    for some in t.cut(outbox_ids):
        t.Circ.update(status=CircStatus.PENDING.value).where(
            t.Circ.outbox.in_(some), t.Circ.status == CircStatus.SUCCESS.value
        ).execute()


def fail(outbox_id: int, reason: str) -> list[int]:
    """A circ's transaction was reverted: it fails with every later circ of its goods, and custody goes back.

    A later circ stood on the failed one if it shares goods with it, or with another circ that fails for
    that reason; all of them name a sum of times that the chain does not have. Answers the ids of all
    circs that failed, the cause first.
    """
    cause = t.Circ.get_or_none(t.Circ.outbox == outbox_id)
    if cause is None or cause.status == CircStatus.FAILED.value:
        return []
    failed: list[int] = []
    touched: set[int] = set()
    waiting, seen = [int(cause.id)], {int(cause.id)}
    while waiting:
        # In the order of their ids: whatever stood on goods comes behind the first circ that spoiled them.
        circ_id = heapq.heappop(waiting)
        failed.append(circ_id)
        spoiled = [goods_id for goods_id in _goods_of(circ_id) if goods_id not in touched]
        touched.update(spoiled)
        for later in _later_circs(spoiled, circ_id):
            if later not in seen:
                seen.add(later)
                heapq.heappush(waiting, later)
    stood = f"it stood on a circ that the chain refused: {cause.outbox.tx_hash}"
    t.Circ.update(status=CircStatus.FAILED.value, reason=reason).where(t.Circ.id == cause.id).execute()
    for some in t.cut(failed):
        t.Circ.update(status=CircStatus.FAILED.value, reason=stood).where(
            t.Circ.id.in_(some), t.Circ.id != cause.id
        ).execute()
        t.CircGoods.update(times=None).where(t.CircGoods.circ_id.in_(some)).execute()
    for some in t.cut(sorted(touched)):
        set_custody(_replayed(some))
    return failed


def _number_again(goods_ids: Sequence[int]) -> None:
    """Holder and times of goods, and the times of their circs, from all circs that have not failed."""
    for goods_id in goods_ids:
        rows = (
            t.CircGoods.select(t.CircGoods.circ_id)
            .join(t.Circ, on=t.CircGoods.circ_id == t.Circ.id)
            .where(t.CircGoods.goods_id == goods_id, t.Circ.status != CircStatus.FAILED.value)
            .order_by(t.CircGoods.circ_id)
        )
        for times, (circ_id,) in enumerate(list(t.tuples(rows))):
            t.CircGoods.update(times=times).where(
                t.CircGoods.goods_id == goods_id, t.CircGoods.circ_id == circ_id
            ).execute()
    for some in t.cut(goods_ids):
        set_custody(_replayed(some))


def _goods_of(circ_id: int) -> list[int]:
    query = t.CircGoods.select(t.CircGoods.goods_id).where(t.CircGoods.circ_id == circ_id)
    return [int(goods_id) for (goods_id,) in t.tuples(query)]


def _later_circs(goods_ids: Sequence[int], circ_id: int) -> list[int]:
    later: set[int] = set()
    for some in t.cut(goods_ids):
        query = (
            t.CircGoods.select(t.CircGoods.circ_id)
            .join(t.Circ, on=t.CircGoods.circ_id == t.Circ.id)
            .where(
                t.CircGoods.goods_id.in_(some),
                t.CircGoods.circ_id > circ_id,
                t.Circ.status == CircStatus.PENDING.value,
            )
            .distinct()
        )
        later.update(circ for (circ,) in t.tuples(query))
    return sorted(later)


def _replayed(goods_ids: Sequence[int]) -> dict[int, GoodsState]:
    """Holder and times of goods from their circs that have not failed."""
    states = dict.fromkeys(goods_ids, UNHELD)
    rows = (
        t.CircGoods.select(t.CircGoods.goods_id, t.Circ.circ_type, t.Circ.to)
        .join(t.Circ, on=t.CircGoods.circ_id == t.Circ.id)
        .where(t.CircGoods.goods_id.in_(list(goods_ids)), t.Circ.status != CircStatus.FAILED.value)
        .order_by(t.CircGoods.goods_id, t.CircGoods.circ_id)
    )
    for goods_id, circ_type, to in t.tuples(rows):
        before = states[goods_id]
        moves = circ_type in (CircType.PRODUCE, CircType.TRANSFER)
        states[goods_id] = GoodsState(to if moves else before.holder, before.times + 1)
    return states
