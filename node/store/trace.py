"""What the page of goods reads of the index beside their history. Reads only."""

from __future__ import annotations

from collections.abc import Collection

from node.domain.model import CircStatus
from node.domain.trace import Party, Placed
from node.store import tables as t


def placed(goods_id: int) -> dict[int, Placed]:
    """Of each circ of one goods that has not failed: when it was recorded, and its block."""
    rows = (
        t.CircGoods.select(t.Circ.id, t.Circ.created_at, t.Outbox.block_number, t.Outbox.block_hash)
        .join(t.Circ, on=t.CircGoods.circ_id == t.Circ.id)
        .join(t.Outbox)
        .where(t.CircGoods.goods_id == goods_id, t.Circ.status != CircStatus.FAILED.value)
    )
    return {circ_id: Placed(at, number, block_hash) for circ_id, at, number, block_hash in t.tuples(rows)}


def parties(usernames: Collection[str]) -> dict[str, Party]:
    """These users, as far as the contract knows them. Who deleted their account has no nickname any more."""
    rows = (
        t.Actor.select(t.User.username, t.User.nickname, t.User.deleted, t.Actor.id, t.Outbox.mined_hash)
        .join(t.User)
        .switch(t.Actor)
        .join(t.Outbox, on=t.Actor.registered_by == t.Outbox.id)
        .where(t.User.username.in_(list(usernames)))
    )
    return {
        username: Party(username, "" if deleted else nickname, actor, registered)
        for username, nickname, deleted, actor, registered in t.tuples(rows)
    }
