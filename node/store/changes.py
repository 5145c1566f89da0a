"""The feed of changes: reading it from a place on, and dropping what is old. Triggers write it (migration 0009).

Numbers grow in the order of the commits, since SQLite has one writer at a time: who has seen a change has seen all with
smaller numbers that there will ever be.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from node.domain.changes import Change, ChangeKind, Cursor, Kept
from node.domain.model import CircType
from node.store import tables as t

NEAR = 200
"""So few changes are looked at one by one; behind more of them it is the goods' circs that are looked through."""
SCAN = 500
_OF_ORG = (
    "SELECT 1 FROM circ_goods JOIN goods ON goods.id = goods_id "
    "WHERE circ_goods.circ_id = change.circ_id AND org_id = ?"
)


def epoch() -> str:
    """The feed's name; an index that was rebuilt, where circs may have other ids, has another."""
    ((name,),) = t.run("SELECT epoch FROM feed").fetchall()
    return str(name)


def kept() -> Kept:
    """What the feed has now."""
    name = epoch()
    # Two queries: SQLite finds one end of a key at once, but not both.
    first = t.run("SELECT MIN(id) FROM change").fetchone()[0]
    last = head()
    return Kept(Cursor(name, last if first is None else first - 1), Cursor(name, last))


def head() -> int:
    """The newest change's number, 0 before the first."""
    return int(t.run("SELECT MAX(id) FROM change").fetchone()[0] or 0)


def of_goods(goods_ids: Collection[int], after: int, limit: int) -> list[Change]:
    """The first changes behind ``after`` of circs of these goods, each with those of its goods."""
    last, ids = head(), list(goods_ids)
    if last <= after:
        return []
    places = t.places(len(ids))
    if last - after <= NEAR:
        where = f"EXISTS (SELECT 1 FROM circ_goods g WHERE g.circ_id = change.circ_id AND g.goods_id IN {places})"
        numbers = t.run(f"SELECT id FROM change WHERE id > ? AND {where} ORDER BY id LIMIT ?", after, *ids, limit)
    else:
        query = f"SELECT DISTINCT circ_id FROM circ_goods WHERE goods_id IN {places}"
        numbers = t.run(
            f"SELECT id FROM change WHERE circ_id IN ({query}) AND +id > ? ORDER BY +id LIMIT ?", *ids, after, limit
        )
    found = [number for (number,) in numbers]
    return _changes(found, f"goods_id IN {places}", ids)


def of_org(org_id: int, after: int, limit: int, scan_max: int) -> tuple[list[Change], int]:
    """The first changes behind ``after`` of circs of an org's goods, and up to where was looked.

    At most ``scan_max`` changes of all are looked at.
    """
    last = min(head(), after + scan_max)
    found: list[int] = []
    while after < last and len(found) < limit:
        upto = min(last, after + SCAN)
        query = f"SELECT id FROM change WHERE id > ? AND id <= ? AND EXISTS ({_OF_ORG}) ORDER BY id LIMIT ?"
        numbers = [number for (number,) in t.run(query, after, upto, org_id, limit - len(found))]
        found += numbers
        after = numbers[-1] if len(found) == limit else upto
    return of_org_numbered(org_id, found), after


def of_org_between(org_id: int, after: int, upto: int) -> list[Change]:
    """All changes of circs of an org's goods behind ``after`` and up to ``upto``."""
    query = f"SELECT id FROM change WHERE id > ? AND id <= ? AND EXISTS ({_OF_ORG}) ORDER BY id"
    return of_org_numbered(org_id, [number for (number,) in t.run(query, after, upto, org_id)])


def of_org_numbered(org_id: int, numbers: list[int]) -> list[Change]:
    """The changes with these numbers, each with its goods of the org."""
    of_org = "EXISTS (SELECT 1 FROM goods WHERE goods.id = circ_goods.goods_id AND org_id = ?)"
    return _changes(numbers, of_org, [org_id])


def touched_goods(after: int, upto: int) -> set[int]:
    """The goods that changes behind ``after`` and up to ``upto`` are about."""
    circs = "SELECT circ_id FROM change WHERE id > ? AND id <= ?"
    rows = t.run(f"SELECT DISTINCT goods_id FROM circ_goods WHERE circ_id IN ({circs})", after, upto)
    return {goods_id for (goods_id,) in rows}


def touched_orgs(after: int, upto: int) -> set[int]:
    """The orgs whose goods changes behind ``after`` and up to ``upto`` are about."""
    circs = "SELECT circ_id FROM change WHERE id > ? AND id <= ?"
    rows = t.run(
        f"SELECT DISTINCT org_id FROM circ_goods JOIN goods ON goods.id = goods_id WHERE circ_id IN ({circs})",
        after,
        upto,
    )
    return {org_id for (org_id,) in rows}


def forget_older(than: int, limit: int) -> int:
    """Drop the oldest changes, at most ``limit``, of those from before ``than``; the newest stays. Answers how many."""
    oldest = "SELECT id, at FROM change WHERE id < (SELECT MAX(id) FROM change) ORDER BY id LIMIT ?"
    upto = 0
    for number, at in t.run(oldest, limit):
        if at >= than:
            break
        upto = number
    return int(t.run("DELETE FROM change WHERE id <= ?", upto).rowcount) if upto else 0


def _changes(numbers: list[int], which_goods: str, values: Iterable[Any]) -> list[Change]:
    if not numbers:
        return []
    rows = t.run(
        "SELECT change.id, change.kind, change.circ_id, circ_type, outbox.tx_hash, change.tx_hash, change.reason, at "
        "FROM change JOIN circ ON circ.id = circ_id JOIN outbox ON outbox.id = outbox_id "
        f"WHERE change.id IN {t.places(len(numbers))} ORDER BY change.id",
        *numbers,
    ).fetchall()
    circs = sorted({row[2] for row in rows})
    goods: dict[int, list[int]] = {}
    query = f"SELECT circ_id, goods_id FROM circ_goods WHERE circ_id IN {t.places(len(circs))} AND {which_goods}"
    for circ_id, goods_id in t.run(query + " ORDER BY circ_id, goods_id", *circs, *values):
        goods.setdefault(circ_id, []).append(goods_id)
    return [
        Change(
            number,
            ChangeKind(kind),
            circ_id,
            CircType(circ_type),
            tuple(goods.get(circ_id, ())),
            trans_id,
            tx_hash or "",
            reason or "",
            at,
        )
        for number, kind, circ_id, circ_type, trans_id, tx_hash, reason, at in rows
    ]
