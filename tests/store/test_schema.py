"""The migrations, the tables of today, and files that are no index of this version."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import peewee
import pytest
from playhouse.schema_diff import diff_models

from node.errors import SetupError
from node.store import personal, tables
from node.store.db import HISTORY, MIGRATIONS, Store
from node.store.seal import Seal

from . import rows


def _schema(path: Path) -> dict[str, Any]:
    """Columns, indexes and foreign keys of every table, as SQLite has them."""
    found: dict[str, Any] = {}
    with closing(sqlite3.connect(path)) as index:
        names = [name for (name,) in index.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in names:
            if name == HISTORY or name.startswith("sqlite_"):
                continue
            columns = [row[1:] for row in index.execute(f'PRAGMA table_info("{name}")')]
            keys = sorted(row[2:] for row in index.execute(f'PRAGMA foreign_key_list("{name}")'))
            indexes = index.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ?", [name])
            (made,) = index.execute("SELECT sql FROM sqlite_master WHERE name = ?", [name]).fetchone()
            found[name] = (sorted(columns), keys, sorted(indexes), "WITHOUT ROWID" in made)
    return found


@pytest.fixture
def today(tmp_path: Path) -> Iterator[Path]:
    """A database made straight from the tables."""
    path = tmp_path / "today.sqlite3"
    database = peewee.SqliteDatabase(str(path))
    with database.bind_ctx(tables.TABLES):
        database.create_tables(tables.TABLES)
        database.close()
        yield path


def test_migrations_make_the_tables_of_today(tmp_path: Path, today: Path) -> None:
    path = tmp_path / "index.sqlite3"
    Store(path).close()
    assert _schema(path) == _schema(today)


@pytest.mark.usefixtures("store")
def test_no_difference_is_left_between_models_and_index() -> None:
    assert str(diff_models(tables.database.obj, list(tables.TABLES))) == ""


def test_every_table_is_listed() -> None:
    assert set(tables.Table.__subclasses__()) == set(tables.TABLES)


def test_migrations_are_numbered_without_a_gap() -> None:
    numbers = sorted(int(path.name[:4]) for path in MIGRATIONS.glob("[0-9]*.py"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite3"
    first = Store(path)
    rows.prepared(first, 2, 3)
    first.close()
    before = _schema(path)
    again = Store(path)
    assert tables.Goods.select().count() == 3
    again.close()
    assert _schema(path) == before


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite3"
    Store(path).close()
    with closing(sqlite3.connect(path)) as index, index:
        index.execute(f"INSERT INTO {HISTORY} (name, applied) VALUES ('9999_later', '2030-01-01')")
    with pytest.raises(SetupError, match=r"newer VTrace.*9999_later"):
        Store(path)
    with pytest.raises(SetupError, match="newer VTrace"):  # the refusal left nothing open
        Store(path)


def _garbage(path: Path) -> None:
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)


def _cut_short(path: Path) -> None:
    Store(path).close()
    path.write_bytes(path.read_bytes()[:3000])


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE user (name TEXT)")


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [_garbage, _cut_short, _foreign, _folder])
def test_a_file_that_is_no_index_is_refused(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "index.sqlite3"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(SetupError, match=f"index {path}: .*(index of VTrace|another program)"):
        Store(path)
    if make is _garbage:
        assert path.read_bytes() == before


def test_a_nonce_and_a_hash_are_given_once(store: Store) -> None:
    with store.write():
        rows.transaction(7)
        rows.transaction(7, signer="0xother")
    insert = "INSERT INTO outbox (signer, nonce, kind, signed_bytes, tx_hash, state) VALUES (?, ?, 'circ', ?, ?, 's')"
    for signer, nonce, tx_hash in ((rows.SIGNER, 7, "0xnew"), (rows.SIGNER, 8, f"{rows.SIGNER}:7")):
        with pytest.raises(peewee.IntegrityError, match=r"(?i)unique"), store.write():
            tables.run(insert, signer, nonce, b"", tx_hash)


def test_a_phone_is_free_again_after_its_user_is_deleted(store: Store) -> None:
    rows.prepared(store, 2, 1)
    seal = Seal(bytes(32))
    with store.write():
        personal.add(seal, 1, "13800138000")
    with pytest.raises(peewee.IntegrityError, match=r"(?i)unique"), store.write():
        personal.add(seal, 2, "13800138000")
    with store.write():
        personal.release_phone(1)
        personal.add(seal, 2, "13800138000")
    assert personal.user_with_phone(seal, "13800138000") == 2


def test_a_row_can_not_name_what_is_not_there(store: Store) -> None:
    with pytest.raises(peewee.IntegrityError, match=r"(?i)foreign key"), store.write():
        rows.circ(rows.CircType.EXAM, 1, 1, {1: 0})
