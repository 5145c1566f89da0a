"""What the page of goods reads of the index beside their history. Reads only."""

from __future__ import annotations

from collections.abc import Collection

from node.domain.model import CircStatus
from node.domain.trace import Party, Placed
from node.store import tables as t

_PLACED = (
    "SELECT circ.id, circ.created_at, block_number, block_hash FROM circ_goods JOIN circ ON circ.id = circ_id "
    "JOIN outbox ON outbox.id = outbox_id WHERE goods_id = ? AND circ.status <> ?"
)
_PARTIES = (
    'SELECT username, nickname, deleted, actor.id, mined_hash FROM actor JOIN "user" ON "user".id = user_id '
    "JOIN outbox ON outbox.id = registered_by_id WHERE username IN"
)


def placed(goods_id: int) -> dict[int, Placed]:
    """Of each circ of one goods that has not failed: when it was recorded, and its block."""
    rows = t.run(_PLACED, goods_id, CircStatus.FAILED.value).fetchall()
    return {circ_id: Placed(at, number, block_hash) for circ_id, at, number, block_hash in rows}


def parties(usernames: Collection[str]) -> dict[str, Party]:
    """These users, as far as the contract knows them. Who deleted their account has no nickname any more."""
    rows = t.run(f"{_PARTIES} {t.places(len(usernames))}", *usernames).fetchall() if usernames else ()
    return {
        username: Party(username, "" if deleted else nickname, actor, registered)
        for username, nickname, deleted, actor, registered in rows
    }
