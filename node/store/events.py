"""Circs with all their goods, in the order of their ids, as events are made of them. Reads only."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from node.domain.epcis.ids import Item
from node.domain.gs1 import gtin_of
from node.domain.model import CircStatus, CircType
from node.store import tables as t


@dataclass(frozen=True, slots=True)
class Row:
    """A circ without its goods. ``operator`` and ``to`` are actors; ``is_first`` says that it made its goods."""

    id: int
    circ_type: CircType
    operator: int
    to: int
    form: bytes
    salt: bytes
    status: CircStatus
    recorded_at: int
    trans_id: str
    is_first: bool


_LATER = "EXISTS (SELECT 1 FROM circ_goods WHERE circ_id = circ.id AND times <> 0)"
_COLUMNS = f"circ.id, circ_type, operator_id, to_id, form, salt, status, circ.created_at, outbox.tx_hash, {_LATER}"
_JOINED = "circ JOIN outbox ON outbox.id = circ.outbox_id"


def rows(after: int, total: int, goods_ids: Collection[int] | None, since: int | None, until: int | None) -> list[Row]:
    """At most ``total`` circs behind circ ``after``: of these goods, or of all; recorded from ``since`` and before
    ``until``. Failed ones are left out."""
    values: list[object] = [after, CircStatus.FAILED.value]
    narrowed = ""
    for column, bound in ((">=", since), ("<", until)):
        if bound is not None:
            narrowed += f" AND circ.created_at {column} ?"
            values.append(bound)
    if goods_ids is not None:
        narrowed += f" AND circ.id IN (SELECT circ_id FROM circ_goods WHERE goods_id IN {t.places(len(goods_ids))})"
        values += goods_ids
    found = t.run(
        f"SELECT {_COLUMNS} FROM {_JOINED} WHERE circ.id > ? AND status <> ?{narrowed} ORDER BY circ.id LIMIT ?",
        *values,
        total,
    )
    return [
        Row(
            id=circ_id,
            circ_type=CircType(kind),
            operator=operator,
            to=to,
            form=bytes(form),
            salt=bytes(salt),
            status=CircStatus(status),
            recorded_at=at,
            trans_id=trans_id,
            is_first=CircType(kind) is CircType.PRODUCE and not is_later,
        )
        for circ_id, kind, operator, to, form, salt, status, at, trans_id, is_later in found.fetchall()
    ]


def of_org(circ_ids: Collection[int], org_id: int) -> set[int]:
    """Which of these circs have goods of this org."""
    found: set[int] = set()
    for some in t.cut(circ_ids):
        found.update(
            circ_id
            for (circ_id,) in t.run(
                "SELECT DISTINCT circ_id FROM circ_goods JOIN goods ON goods.id = goods_id "
                f"WHERE org_id = ? AND circ_id IN {t.places(len(some))}",
                org_id,
                *some,
            ).fetchall()
        )
    return found


def sizes(circ_ids: Collection[int]) -> dict[int, int]:
    """How many goods each of these circs has."""
    found: dict[int, int] = {}
    for some in t.cut(circ_ids):
        counted = t.run(
            f"SELECT circ_id, COUNT(*) FROM circ_goods WHERE circ_id IN {t.places(len(some))} GROUP BY circ_id", *some
        )
        found |= dict(counted.fetchall())
    return found


def items(circ_ids: Collection[int]) -> dict[int, list[Item]]:
    """The goods of each of these circs, ascending."""
    found: dict[int, list[tuple[int, int]]] = {}
    serials: set[int] = set()
    for some in t.cut(circ_ids):
        goods = t.run(
            "SELECT circ_id, goods_id, serial_id FROM circ_goods JOIN goods ON goods.id = goods_id "
            f"WHERE circ_id IN {t.places(len(some))} ORDER BY circ_id, goods_id",
            *some,
        )
        for circ_id, goods_id, serial_id in goods.fetchall():
            found.setdefault(circ_id, []).append((goods_id, serial_id))
            serials.add(serial_id)
    known = _gtins(serials)
    return {
        circ_id: [Item(goods_id, known[serial_id], serial_id) for goods_id, serial_id in goods]
        for circ_id, goods in found.items()
    }


def gtins_of_goods(goods_ids: Collection[int]) -> dict[int, str | None]:
    """The GTIN of each of these goods, None for those whose class has none; unknown goods are left out."""
    found: dict[int, int] = {}
    for some in t.cut(goods_ids):
        found |= dict(t.run(f"SELECT id, serial_id FROM goods WHERE id IN {t.places(len(some))}", *some).fetchall())
    known = _gtins(set(found.values()))
    return {goods_id: known[serial_id] for goods_id, serial_id in found.items()}


def last_id() -> int:
    """The newest circ's id, 0 if there is none."""
    ((newest,),) = t.run("SELECT COALESCE(MAX(id), 0) FROM circ").fetchall()
    return int(newest)


def _gtins(serial_ids: Iterable[int]) -> dict[int, str | None]:
    known: dict[int, str | None] = {}
    for some in t.cut(sorted(serial_ids)):
        described = t.run(
            "SELECT serial.id, description FROM serial JOIN goods_class ON goods_class.id = goods_class_id "
            f"WHERE serial.id IN {t.places(len(some))}",
            *some,
        )
        known |= {serial_id: gtin_of(bytes(description)) for serial_id, description in described.fetchall()}
    return known
