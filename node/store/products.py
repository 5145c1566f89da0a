"""Classes, serials and goods in the index. Writers run inside ``Store.write()``."""

from __future__ import annotations

from typing import Any

from peewee import fn

from node.domain.records import Goods, GoodsClass, Serial
from node.store import tables as t

_ROWS_PER_INSERT = 1_000
_ONE_GOODS = (
    "SELECT goods_class.id, name, description, trademark, material_id, goods_class.state, of_class.username, "
    "goods_class.org_id, serial.id, product_time, serial.state, of_serial.username, goods.state, of_goods.username "
    "FROM goods JOIN serial ON serial.id = serial_id JOIN goods_class ON goods_class.id = goods_class_id "
    'JOIN "user" AS of_class ON of_class.id = goods_class.creator_id '
    'JOIN "user" AS of_serial ON of_serial.id = serial.creator_id '
    'JOIN "user" AS of_goods ON of_goods.id = goods.creator_id WHERE goods.id = ?'
)


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
    """A new serial; answers its id."""
    made = t.Serial.create(
        goods_class=class_id, product_time=product_time, state=state, creator=creator_id, created_at=now
    )
    return int(made.id)


def add_goods(*, serial_id: int, creator_id: int, state: str, total: int) -> list[int]:
    """``total`` new goods with neighbouring ids; answers the ids, ascending."""
    last = t.Goods.select(fn.MAX(t.Goods.id)).scalar() or 0
    ids = list(range(last + 1, last + 1 + total))
    fields = [t.Goods.id, t.Goods.serial, t.Goods.creator, t.Goods.state]
    rows = [(goods_id, serial_id, creator_id, state) for goods_id in ids]
    for at in range(0, total, _ROWS_PER_INSERT):
        t.Goods.insert_many(rows[at : at + _ROWS_PER_INSERT], fields=fields).execute()
    return ids


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


def _serial(row: t.Serial) -> Serial:
    return Serial(row.id, _class(row.goods_class), row.product_time, row.state, row.creator.username)


def _goods(row: t.Goods) -> Goods:
    return Goods(row.id, _serial(row.serial), row.state, row.creator.username)


def _classes() -> Any:
    return t.GoodsClass.select(t.GoodsClass, t.User).join(t.User)


def _serials() -> Any:
    by_class = t.User.alias()
    return (
        t.Serial.select(t.Serial, t.User, t.GoodsClass, by_class)
        .join(t.User, on=t.Serial.creator, attr="creator")
        .switch(t.Serial)
        .join(t.GoodsClass)
        .join(by_class, on=t.GoodsClass.creator == by_class.id, attr="creator")
    )


def _all_goods() -> Any:
    by_serial, by_class = t.User.alias(), t.User.alias()
    return (
        t.Goods.select(t.Goods, t.User, t.Serial, by_serial, t.GoodsClass, by_class)
        .join(t.User, on=t.Goods.creator, attr="creator")
        .switch(t.Goods)
        .join(t.Serial)
        .join(by_serial, on=t.Serial.creator == by_serial.id, attr="creator")
        .switch(t.Serial)
        .join(t.GoodsClass)
        .join(by_class, on=t.GoodsClass.creator == by_class.id, attr="creator")
    )


def goods_class(class_id: int) -> GoodsClass | None:
    """The class with this id."""
    row = _classes().where(t.GoodsClass.id == class_id).first()
    return _class(row) if row else None


def serial(serial_id: int) -> Serial | None:
    """The serial with this id, with its class."""
    row = _serials().where(t.Serial.id == serial_id).first()
    return _serial(row) if row else None


def goods(goods_id: int) -> Goods | None:
    """The goods with this id, with its serial and class."""
    row = t.run(_ONE_GOODS, goods_id).fetchone()
    if row is None:
        return None
    *of_class, class_creator, org_id, serial_id, product_time, serial_state, serial_creator, state, creator = row
    class_id, name, description, trademark, material_id, class_state = of_class
    goods_class = GoodsClass(
        *(class_id, name, bytes(description), trademark, material_id, class_state, class_creator, org_id)
    )
    return Goods(goods_id, Serial(serial_id, goods_class, product_time, serial_state, serial_creator), state, creator)


def list_classes(org_id: int, offset: int, limit: int) -> list[GoodsClass]:
    """The classes of an org, by id."""
    rows = _classes().where(t.GoodsClass.org == org_id).order_by(t.GoodsClass.id)
    return [_class(row) for row in rows.offset(offset).limit(limit)]


def list_serials(org_id: int, offset: int, limit: int) -> list[Serial]:
    """The serials of an org, by id."""
    rows = _serials().where(t.GoodsClass.org == org_id).order_by(t.Serial.id)
    return [_serial(row) for row in rows.offset(offset).limit(limit)]


def list_goods(org_id: int, offset: int, limit: int) -> list[Goods]:
    """The goods of an org, by id."""
    rows = _all_goods().where(t.GoodsClass.org == org_id).order_by(t.Goods.id)
    return [_goods(row) for row in rows.offset(offset).limit(limit)]


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
