"""What an index says otherwise than the one that was built from the chain, circ by circ."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from node.domain.form import NO_SALT, SALT_BYTES, form_digest
from node.domain.model import CircStatus, CircType

_NAMES = ("kind", "operator", "to", "status", "trans_id", "tx_hash")


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def compare(new: sqlite3.Connection, index: Path) -> Iterator[Difference]:
    """Hold the index in the file ``index`` against ``new``, whose scratch tables know the chain's digests."""
    new.execute("COMMIT")
    new.execute("ATTACH ? AS old", [f"{index.absolute().as_uri()}?mode=ro"])
    yield from _circs(new)
    yield from _order(new)
    yield from _failed(new)
    yield from _rows(new)


def _circs(db: sqlite3.Connection) -> Iterator[Difference]:
    """Every goods and times has the same circ in both."""
    for there, gone, what in (
        ("main", "old", "is left out of the index"),
        ("old", "main", "never happened"),
    ):
        query = f"""
            SELECT circ_type, tx_hash, min(t.goods_id), count(*), t.times FROM {there}.circ_goods t
            LEFT JOIN {there}.circ c ON c.id = t.circ_id LEFT JOIN {there}.outbox x ON x.id = c.outbox_id
            WHERE t.times IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM {gone}.circ_goods g WHERE g.goods_id = t.goods_id AND g.times = t.times)
            GROUP BY t.circ_id"""
        for kind, tx_hash, goods_id, total, times in db.execute(query):
            yield Difference(_goods(goods_id, total), f"{_kind(kind)} {times} ({tx_hash}) {what}")
    query = """
        SELECT n.circ_id, o.circ_id, min(n.goods_id), count(*), n.times
        FROM main.circ_goods n JOIN old.circ_goods o ON o.goods_id = n.goods_id AND o.times = n.times
        GROUP BY n.circ_id, o.circ_id"""
    for ours, theirs, goods_id, total, times in db.execute(query):
        where = _goods(goods_id, total)
        built, found = _circ(db, "main", ours), _circ(db, "old", theirs)
        if built is None or found is None:
            yield Difference(where, f"circ {times} has no row")
            continue
        is_behind = found[3] == CircStatus.PENDING and built[3] == CircStatus.SUCCESS
        for name, want, has in zip(_NAMES, built, found, strict=False):
            if want != has and not (is_behind and name in ("status", "tx_hash")):
                yield Difference(where, f"circ {times} has {name} {_shown(name, has)}, the chain {_shown(name, want)}")
        (digest,) = db.execute("SELECT digest FROM scratch.chain WHERE circ_id = ?", [ours]).fetchone()
        salt, form = found[6], found[7]
        if not (_gives(salt, form, digest) or _is_erased(db, theirs, digest)):
            yield Difference(where, f"circ {times}: form and salt do not give the digest on chain")
        elif found[8] != built[8]:
            yield Difference(where, f"circ {times} has created_at {found[8]}, which can't be: want {built[8]}")


def _is_erased(db: sqlite3.Connection, circ_id: int, digest: bytes) -> bool:
    """Whether the index says that it forgot this very form on purpose. An index of an older version never did."""
    if "erased_digest" not in [row[1] for row in db.execute("PRAGMA old.table_info(circ)")]:
        return False
    query = "SELECT 1 FROM old.circ WHERE id = ? AND erased_digest = ? AND salt = ? AND form = x''"
    return db.execute(query, (circ_id, digest, NO_SALT)).fetchone() is not None


def _gives(salt: object, form: object, digest: bytes) -> bool:
    if not isinstance(salt, bytes) or not isinstance(form, bytes) or len(salt) != SALT_BYTES:
        return False
    return form_digest(salt, form) == digest


def _circ(db: sqlite3.Connection, schema: str, circ_id: int) -> tuple[object, ...] | None:
    query = f"""
        SELECT circ_type, operator_id, to_id, status, tx_hash, mined_hash, salt, form, created_at
        FROM {schema}.circ c LEFT JOIN {schema}.outbox x ON x.id = outbox_id WHERE c.id = ?"""
    found: tuple[object, ...] | None = db.execute(query, [circ_id]).fetchone()
    return found


def _order(db: sqlite3.Connection) -> Iterator[Difference]:
    """In both, later circs of goods have the larger times."""
    query = """
        SELECT goods_id, times FROM (
            SELECT goods_id, times, lag(times) OVER (PARTITION BY goods_id ORDER BY circ_id) AS before
            FROM old.circ_goods WHERE times IS NOT NULL)
        WHERE before >= times"""
    for goods_id, times in db.execute(query):
        yield Difference(_goods(goods_id, 1), f"circ {times} stands behind a later one")


def _failed(db: sqlite3.Connection) -> Iterator[Difference]:
    """The circs that failed are the same."""
    rows = """
        SELECT goods_id, tx_hash FROM {0}.circ_goods g JOIN {0}.circ c ON c.id = circ_id
        JOIN {0}.outbox x ON x.id = outbox_id WHERE times IS NULL"""
    for there, gone, what in (
        ("main", "old", "failed, which the index does not show"),
        ("old", "main", "did not fail"),
    ):
        query = f"SELECT tx_hash, min(goods_id), count(*) FROM ({rows.format(there)} EXCEPT {rows.format(gone)})"
        for tx_hash, goods_id, total in db.execute(f"{query} GROUP BY tx_hash"):
            yield Difference(_goods(goods_id, total), f"circ {tx_hash} {what}")


_TABLES = {
    "goods": ("goods", ("id", "holder", "times", "serial_id")),
    "actor": ("actor", ("id", "user_id", "account", "rights")),
    "class": ("goods_class", ("id", "name", "description", "trademark", "material_id", "org_id")),
    "serial": ("serial", ("id", "goods_class_id", "product_time")),
}


def _rows(db: sqlite3.Connection) -> Iterator[Difference]:
    """Rows whose every value follows from the chain and the forms."""
    for name, (table, columns) in _TABLES.items():
        listed = ", ".join(columns)
        query = f"SELECT {listed} FROM main.{table} EXCEPT SELECT {listed} FROM old.{table}"
        for want in db.execute(query):
            has = db.execute(f"SELECT {listed} FROM old.{table} WHERE id = ?", [want[0]]).fetchone()
            if has is None:
                yield Difference(f"{name} {want[0]}", "is missing in the index")
                continue
            for column, is_, should in zip(columns, has, want, strict=True):
                if is_ != should:
                    yield Difference(f"{name} {want[0]}", f"{column} is {is_!r}, the chain has {should!r}")
        for (id_,) in db.execute(f"SELECT id FROM old.{table} EXCEPT SELECT id FROM main.{table}"):
            yield Difference(f"{name} {id_}", "is in the index alone")


def _goods(goods_id: int, total: int) -> str:
    return f"goods {goods_id}" if total == 1 else f"goods {goods_id} and {total - 1} more"


def _kind(number: object) -> str:
    return next((kind.name.lower() for kind in CircType if kind == number), f"circ of kind {number}")


def _shown(name: str, value: object) -> str:
    return _kind(value) if name == "kind" else str(value)
