"""Actors, custody and circs in the index. Writers run inside ``Store.write()``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from peewee import JOIN, Case, fn

from node.domain.custody import GoodsState
from node.domain.model import NOBODY, CircStatus, CircType, Rights
from node.domain.records import Actor, CircRecord, TxState
from node.store import tables as t

_IDS_PER_QUERY = 5_000
_ROWS_PER_INSERT = 5_000
_MINED = (TxState.MINED.value, TxState.FINAL.value, TxState.REVERTED.value)


def _cut(ids: Sequence[int], size: int) -> Iterable[Sequence[int]]:
    return (ids[at : at + size] for at in range(0, len(ids), size))


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
    )


def actor_of(user_id: int) -> tuple[Actor, bytes] | None:
    """A user's actor and its sealed key."""
    row = t.Actor.get_or_none(t.Actor.user == user_id)
    if row is None:
        return None
    return Actor(row.id, row.user_id, row.account, Rights(row.rights)), bytes(row.key_sealed)


def change_rights(actor_id: int, rights: Rights) -> None:
    """Remember the rights that the last transaction gives to an actor."""
    t.Actor.update(rights=int(rights)).where(t.Actor.id == actor_id).execute()


def actor_registered_by(outbox_id: int) -> int | None:
    """The actor id that a registration was expected to get."""
    row = t.Actor.get_or_none(t.Actor.registered_by == outbox_id)
    return int(row.id) if row else None


def custody(goods_ids: Sequence[int]) -> dict[int, tuple[GoodsState, int]]:
    """Holder and times of goods, with the org whose class they are of; unknown goods are left out."""
    found: dict[int, tuple[GoodsState, int]] = {}
    query = (
        t.Goods.select(t.Goods.id, t.Goods.holder, t.Goods.times, t.GoodsClass.org).join(t.Serial).join(t.GoodsClass)
    )
    for some in _cut(goods_ids, _IDS_PER_QUERY):
        for goods_id, holder, times, org_id in t.tuples(query.where(t.Goods.id.in_(list(some)))):
            found[goods_id] = (GoodsState(holder, times), org_id)
    return found


def set_custody(states: Mapping[int, GoodsState]) -> None:
    """Give goods their new holder and times, as the circ that was just stored leaves them."""
    by_state: dict[tuple[int, int], list[int]] = {}
    for goods_id, state in states.items():
        by_state.setdefault((state.holder, state.times), []).append(goods_id)
    for (holder, times), goods_ids in by_state.items():
        for some in _cut(goods_ids, _IDS_PER_QUERY):
            t.Goods.update(holder=holder, times=times).where(t.Goods.id.in_(list(some))).execute()


def add_circ(
    *,
    circ_type: CircType,
    operator: int,
    to: int,
    form: bytes,
    salt: bytes,
    outbox_id: int,
    times: Mapping[int, int],
    now: int,
) -> int:
    """A pending circ of the goods in ``times`` (goods id → times before it); answers the circ's id."""
    made = t.Circ.create(
        circ_type=int(circ_type),
        operator=operator,
        to=to,
        form=form,
        salt=salt,
        status=CircStatus.PENDING.value,
        outbox=outbox_id,
        created_at=now,
    )
    fields = [t.CircGoods.goods_id, t.CircGoods.circ_id, t.CircGoods.times]
    rows = [(goods_id, made.id, before) for goods_id, before in times.items()]
    for at in range(0, len(rows), _ROWS_PER_INSERT):
        t.CircGoods.insert_many(rows[at : at + _ROWS_PER_INSERT], fields=fields).execute()
    return int(made.id)


def history(goods_id: int) -> list[CircRecord]:
    """Every circ of one goods, oldest first."""
    by, receiver, received = t.User.alias(), t.Actor.alias(), t.User.alias()
    rows = (
        t.CircGoods.select(
            t.Circ.id,
            t.Circ.circ_type,
            by.username,
            received.username,
            t.Circ.form,
            t.Circ.salt,
            t.Outbox.tx_hash,
            t.Outbox.state,
            t.CircGoods.times,
            t.Circ.status,
        )
        .join(t.Circ, on=t.CircGoods.circ_id == t.Circ.id)
        .join(t.Actor, on=t.Circ.operator == t.Actor.id)
        .join(by, on=t.Actor.user == by.id)
        .switch(t.Circ)
        .join(receiver, on=t.Circ.to == receiver.id)
        .join(received, on=receiver.user == received.id)
        .switch(t.Circ)
        .join(t.Outbox)
        .where(t.CircGoods.goods_id == goods_id)
        .order_by(t.CircGoods.circ_id)
    )
    return [
        CircRecord(
            id=circ_id,
            goods_id=goods_id,
            circ_type=CircType(circ_type),
            operator=operator,
            to=to,
            form=bytes(form),
            salt=bytes(salt),
            trans_id=trans_id,
            tx_hash=trans_id if state in _MINED else None,
            times=times,
            status=CircStatus(status),
        )
        for circ_id, circ_type, operator, to, form, salt, trans_id, state, times, status in t.tuples(rows)
    ]


def settle(outbox_id: int, status: CircStatus) -> None:
    """A circ's transaction is final: pending becomes success, unless the circ has failed before."""
    t.Circ.update(status=status.value).where(
        t.Circ.outbox == outbox_id, t.Circ.status == CircStatus.PENDING.value
    ).execute()


def fail(outbox_id: int) -> list[int]:
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
    queue = [int(cause.id)]
    while queue:
        circ_id = queue.pop(0)
        if circ_id in failed:
            continue
        failed.append(circ_id)
        goods = _goods_of(circ_id)
        touched.update(goods)
        queue.extend(_later_circs(goods, circ_id))
    t.Circ.update(status=CircStatus.FAILED.value).where(t.Circ.id.in_(failed)).execute()
    t.CircGoods.update(times=None).where(t.CircGoods.circ_id.in_(failed)).execute()
    set_custody({goods_id: _replayed(goods_id) for goods_id in sorted(touched)})
    return failed


def _goods_of(circ_id: int) -> list[int]:
    query = t.CircGoods.select(t.CircGoods.goods_id).where(t.CircGoods.circ_id == circ_id)
    return [int(goods_id) for (goods_id,) in t.tuples(query)]


def _later_circs(goods_ids: Sequence[int], circ_id: int) -> list[int]:
    later: set[int] = set()
    for some in _cut(goods_ids, _IDS_PER_QUERY):
        query = (
            t.CircGoods.select(t.CircGoods.circ_id)
            .join(t.Circ, on=t.CircGoods.circ_id == t.Circ.id)
            .where(
                t.CircGoods.goods_id.in_(list(some)),
                t.CircGoods.circ_id > circ_id,
                t.Circ.status == CircStatus.PENDING.value,
            )
            .distinct()
        )
        later.update(circ for (circ,) in t.tuples(query))
    return sorted(later)


def _replayed(goods_id: int) -> GoodsState:
    """Holder and times of one goods from its circs that have not failed."""
    moves = (CircType.PRODUCE.value, CircType.TRANSFER.value)
    rows = (
        t.CircGoods.select(Case(None, [(t.Circ.circ_type.in_(moves), t.Circ.to)], NOBODY))
        .join(t.Circ, JOIN.INNER, on=t.CircGoods.circ_id == t.Circ.id)
        .where(t.CircGoods.goods_id == goods_id, t.Circ.status != CircStatus.FAILED.value)
        .order_by(t.CircGoods.circ_id)
    )
    holder, times = NOBODY, 0
    for (moved_to,) in t.tuples(rows):
        holder, times = moved_to or holder, times + 1
    return GoodsState(holder, times)


def goods_total() -> int:
    """How many goods the index knows."""
    return int(t.Goods.select(fn.COUNT(t.Goods.id)).scalar())
