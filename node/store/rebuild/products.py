"""Goods of the index under construction, and what their first produce circs say that they are."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from node.domain.form import NO_SALT, ProduceForm

UNKNOWN = 0
"""The id of the org, class and serial of goods whose produce form is lost: no other row can have it."""


class Products:
    """Rows of orgs, classes, serials and goods."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def first_circs(self) -> Iterator[tuple[int, int, bytes]]:
        """The circs that made goods: id, user id of the operator, and the form, where it was found."""
        query = """
            SELECT c.id, user_id, form FROM main.circ c JOIN main.actor a ON a.id = operator_id
            WHERE salt != ? AND EXISTS (SELECT 1 FROM main.circ_goods WHERE circ_id = c.id AND times = 0)"""
        for circ_id, user_id, form in self._db.execute(query, [NO_SALT]).fetchall():
            yield circ_id, user_id, bytes(form)

    def put(self, made: ProduceForm, product_time: int, user_id: int, state: str) -> None:
        """Class and serial as the form has them; what it does not say stays, or is empty where there was nothing."""
        org, kind, serial = made.org, made.goods_class, made.serial
        self._db.execute(
            "INSERT OR IGNORE INTO main.org (id, name, code, info, owner_id, created_at) VALUES (?, ?, ?, x'', ?, 0)",
            (org.id, org.name, org.code, user_id),
        )
        facts = (kind.name, kind.description.encode(), kind.trademark, kind.material_id, org.id)
        self._db.execute(
            "INSERT INTO main.goods_class (name, description, trademark, material_id, org_id, id, state, creator_id,"
            " created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (id) DO UPDATE SET"
            " (name, description, trademark, material_id, org_id) = (?, ?, ?, ?, ?)",
            (*facts, kind.id, state, user_id, *facts),
        )
        self._db.execute(
            "INSERT INTO main.serial (id, goods_class_id, product_time, state, creator_id, created_at)"
            " VALUES (?, ?, ?, ?, ?, 0) ON CONFLICT (id) DO UPDATE SET (goods_class_id, product_time) = (?, ?)",
            (serial.id, kind.id, product_time, state, user_id, kind.id, product_time),
        )

    def put_goods(self, circ_id: int, serial_id: int, user_id: int, state: str) -> None:
        """The goods that a circ made are of this serial."""
        of_circ = "SELECT goods_id FROM main.circ_goods WHERE circ_id = ? AND times = 0"
        self._db.execute(
            "INSERT OR IGNORE INTO main.goods (id, serial_id, state, creator_id, holder, times)"
            f" SELECT goods_id, ?, ?, ?, 0, 0 FROM ({of_circ})",
            (serial_id, state, user_id, circ_id),
        )
        change = f"UPDATE main.goods SET serial_id = ? WHERE serial_id != ? AND id IN ({of_circ})"
        self._db.execute(change, (serial_id, serial_id, circ_id))

    def hold(self, states: Iterable[tuple[int, int, int]]) -> None:
        """Holder and times of goods: goods id, holder, times."""
        self._db.executemany("INSERT INTO scratch.held VALUES (?, ?, ?)", states)

    def settle(self, state: str) -> int:
        """Give all goods their custody. Goods whose produce form is lost become goods of an unknown serial, since
        their ids must not be given away again; answers how many they are."""
        missing = "SELECT goods_id FROM scratch.held WHERE goods_id NOT IN (SELECT id FROM main.goods)"
        unknown = "main.goods WHERE serial_id = 0"
        (new,) = self._db.execute(f"SELECT count(*) FROM ({missing})").fetchone()
        if new:
            somebody = "SELECT min(id) FROM main.user"
            self._db.execute(
                "INSERT OR IGNORE INTO main.org (id, name, code, info, owner_id, created_at)"
                f" SELECT {UNKNOWN}, 'unknown', '', x'', ({somebody}), 0"
            )
            self._db.execute(
                "INSERT OR IGNORE INTO main.goods_class (id, name, description, trademark, material_id, state, org_id,"
                f" creator_id, created_at) SELECT {UNKNOWN}, 'unknown', x'', '', 0, ?, {UNKNOWN}, ({somebody}), 0",
                [state],
            )
            self._db.execute(
                "INSERT OR IGNORE INTO main.serial (id, goods_class_id, product_time, state, creator_id, created_at)"
                f" SELECT {UNKNOWN}, {UNKNOWN}, 0, ?, ({somebody}), 0",
                [state],
            )
            self._db.execute(
                "INSERT INTO main.goods (id, serial_id, state, creator_id, holder, times)"
                f" SELECT goods_id, {UNKNOWN}, ?, ({somebody}), 0, 0 FROM ({missing})",
                [state],
            )
        self._db.execute(
            "UPDATE main.goods SET (holder, times) = (SELECT h.holder, h.times FROM scratch.held h WHERE goods_id = id)"
            " WHERE id IN (SELECT goods_id FROM scratch.held)"
        )
        whose = "(SELECT org_id FROM main.{0} p WHERE p.id = {0}_id)"
        for table, parent in (("serial", "goods_class"), ("goods", "serial")):
            of_parent = whose.format(parent)
            self._db.execute(f"UPDATE main.{table} SET org_id = {of_parent} WHERE org_id IS NOT {of_parent}")
        return int(self._db.execute(f"SELECT count(*) FROM {unknown}").fetchone()[0])
