"""Classes, serials and goods in the index. Writers run inside ``Store.write()``."""

from __future__ import annotations

from typing import Any

from node.domain.records import Goods, GoodsClass, Serial
from node.store import tables as t

_NEW_GOODS = (
    "WITH RECURSIVE new (id) AS (SELECT CAST(? AS INTEGER) UNION ALL SELECT id + 1 FROM new WHERE id < ?) "
    "INSERT INTO goods (id, serial_id, state, creator_id, holder, times, org_id) "
    "SELECT new.id, serial.id, ?, ?, 0, 0, org_id FROM new CROSS JOIN serial WHERE serial.id = ?"
)
_SERIAL = (
    "goods_class.id, name, description, trademark, material_id, goods_class.state, of_class.username, "
    "goods_class.org_id, serial.id, product_time, serial.state, of_serial.username"
)
_OF_SERIAL = (
    "JOIN serial ON serial.id = some.id JOIN goods_class ON goods_class.id = goods_class_id "
    'JOIN "user" AS of_class ON of_class.id = goods_class.creator_id '
    'JOIN "user" AS of_serial ON of_serial.id = serial.creator_id'
)
_GOODS = f"{_SERIAL}, goods.id, goods.state, of_goods.username"
_OF_GOODS = (
    "JOIN goods ON goods.id = some.id JOIN serial ON serial.id = serial_id "
    "JOIN goods_class ON goods_class.id = goods_class_id "
    'JOIN "user" AS of_class ON of_class.id = goods_class.creator_id '
    'JOIN "user" AS of_serial ON of_serial.id = serial.creator_id '
    'JOIN "user" AS of_goods ON of_goods.id = goods.creator_id'
)
_THIS = "(SELECT CAST(? AS INTEGER) AS id) AS some"
# Rows to skip are counted in the index alone, and only those of the page are looked up.
_PAGE = "(SELECT id FROM {table} WHERE org_id = ? AND id > ? ORDER BY id LIMIT ? OFFSET ?) AS some"


def add_class(
    *,
    name: str,
    description: bytes,
    trademark: str,
    material_id: int,
    state: str,
    org_id: int,
    creator_id: int,
    now: int,
) -> int:
    """A new class; answers its id."""
    made = t.GoodsClass.create(
        name=name,
        description=description,
        trademark=trademark,
        material_id=material_id,
        state=state,
        org=org_id,
        creator=creator_id,
        created_at=now,
    )
    return int(made.id)


def add_serial(*, class_id: int, product_time: int, state: str, creator_id: int, now: int) -> int:
    """A new serial of a class; answers its id."""
    rows = t.run(
        "INSERT INTO serial (goods_class_id, product_time, state, creator_id, created_at, org_id) "
        "SELECT id, ?, ?, ?, ?, org_id FROM goods_class WHERE id = ? RETURNING id",
        *(product_time, state, creator_id, now, class_id),
    )
    ((serial_id,),) = rows.fetchall()
    return int(serial_id)


def add_goods(*, serial_id: int, creator_id: int, state: str, total: int) -> list[int]:
    """``total`` new goods of a serial with neighbouring ids; answers the ids, ascending."""
    first = int(t.run("SELECT MAX(id) FROM goods").fetchone()[0] or 0) + 1
    t.run(_NEW_GOODS, first, first + total - 1, state, creator_id, serial_id)
    return list(range(first, first + total))


def _classes() -> Any:
    return t.GoodsClass.select(t.GoodsClass, t.User).join(t.User)


def _class(row: t.GoodsClass) -> GoodsClass:
    return GoodsClass(
        row.id,
        row.name,
        bytes(row.description),
        row.trademark,
        row.material_id,
        row.state,
        row.creator.username,
        row.org_id,
    )


def _serials(some: str, *values: object) -> list[Serial]:
    return [_serial(row) for row in t.run(f"SELECT {_SERIAL} FROM {some} {_OF_SERIAL} ORDER BY serial.id", *values)]


def _serial(row: tuple[Any, ...]) -> Serial:
    *of_class, class_creator, org_id, serial_id, product_time, state, creator = row
    class_id, name, description, trademark, material_id, class_state = of_class
    goods_class = GoodsClass(
        *(class_id, name, bytes(description), trademark, material_id, class_state, class_creator, org_id)
    )
    return Serial(serial_id, goods_class, product_time, state, creator)


def _all_goods(some: str, *values: object) -> list[Goods]:
    rows = t.run(f"SELECT {_GOODS} FROM {some} {_OF_GOODS} ORDER BY goods.id", *values)
    return [Goods(goods_id, _serial(tuple(of_serial)), state, creator) for *of_serial, goods_id, state, creator in rows]


def goods_class(class_id: int) -> GoodsClass | None:
    """The class with this id."""
    row = _classes().where(t.GoodsClass.id == class_id).first()
    return _class(row) if row else None


def serial(serial_id: int) -> Serial | None:
    """The serial with this id, with its class."""
    return next(iter(_serials(_THIS, serial_id)), None)


def goods(goods_id: int) -> Goods | None:
    """The goods with this id, with its serial and class."""
    return next(iter(_all_goods(_THIS, goods_id)), None)


def list_classes(org_id: int, after: int, offset: int, limit: int) -> list[GoodsClass]:
    """The classes of an org behind class ``after``, by id."""
    rows = _classes().where(t.GoodsClass.org == org_id, t.GoodsClass.id > after).order_by(t.GoodsClass.id)
    return [_class(row) for row in rows.offset(offset).limit(limit)]


def list_serials(org_id: int, after: int, offset: int, limit: int) -> list[Serial]:
    """The serials of an org behind serial ``after``, by id."""
    return _serials(_PAGE.format(table="serial"), org_id, after, limit, offset)


def list_goods(org_id: int, after: int, offset: int, limit: int) -> list[Goods]:
    """The goods of an org behind goods ``after``, by id."""
    return _all_goods(_PAGE.format(table="goods"), org_id, after, limit, offset)


def goods_of(serial_id: int, first: int, limit: int) -> tuple[list[int], int]:
    """Ids of a serial's goods from ``first`` on, ascending, at most ``limit``, and how many there are of those.

    Goods whose first circ failed are left out.
    """
    rows = t.Goods.select(t.Goods.id).where(t.Goods.serial == serial_id, t.Goods.id >= first, t.Goods.times > 0)
    return [goods_id for (goods_id,) in t.tuples(rows.order_by(t.Goods.id).limit(limit))], rows.count()


def class_has_goods(class_id: int) -> bool:
    """Whether goods of this class exist, so that its facts are on the chain."""
    query = t.Goods.select(t.Goods.id).join(t.Serial).where(t.Serial.goods_class == class_id)
    return bool(query.exists())


def serial_has_goods(serial_id: int) -> bool:
    """Whether goods of this serial exist, so that its facts are on the chain."""
    return bool(t.Goods.select(t.Goods.id).where(t.Goods.serial == serial_id).exists())


def change_class(class_id: int, **columns: object) -> None:
    """Set columns of a class."""
    t.GoodsClass.update(**columns).where(t.GoodsClass.id == class_id).execute()


def change_serial(serial_id: int, **columns: object) -> None:
    """Set columns of a serial."""
    t.Serial.update(**columns).where(t.Serial.id == serial_id).execute()


def change_goods(goods_id: int, **columns: object) -> None:
    """Set columns of one goods."""
    t.Goods.update(**columns).where(t.Goods.id == goods_id).execute()
