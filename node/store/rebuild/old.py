"""The index as it was found: read as far as it can be read, and kept from changing meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from node.errors import SetupError
from node.store.db import HISTORY, MIGRATIONS

BUSY_SECONDS = 10


class OldIndex:
    """An index that may be damaged or not there at all. ``damage`` says what could not be read.

    While it is open nobody else writes to it. SetupError for an index of a newer VTrace, or one in use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: list[str] = []
        self._db: sqlite3.Connection | None = None
        self._columns: dict[str, list[str]] = {}
        if not path.exists():
            return
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
        db.text_factory = lambda value: value.decode("utf-8", "replace")
        try:
            db.execute("BEGIN IMMEDIATE")
            names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for name in names:
                self._columns[name] = [row[1] for row in db.execute(f'PRAGMA table_info("{name}")')]
        except sqlite3.OperationalError as fault:
            db.close()
            if "locked" in str(fault):
                raise SetupError(f"index {path}: another program writes to it; end that one") from fault
            self.damage.append(f"the index can't be opened: {fault}")
            return
        except sqlite3.DatabaseError as fault:
            db.close()
            self.damage.append(f"the index can't be opened: {fault}")
            return
        self._db = db
        self._refuse_newer()

    def _refuse_newer(self) -> None:
        known = {path.stem for path in MIGRATIONS.glob("[0-9]*.py")}
        for (name,) in self.rows(HISTORY, ["name"]):
            if name not in known:
                self.close()
                raise SetupError(f"index {self.path}: made by a newer VTrace (schema {name}); use that version")

    def columns(self, table: str) -> list[str]:
        """The columns of a table; none if there is no such table."""
        return self._columns.get(table, [])

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """The rows of a table; around what is damaged from both ends, so what lies between may be lost."""
        if self._db is None or not set(columns) <= set(self.columns(table)):
            return
        names = ", ".join(f'"{name}"' for name in columns)
        try:
            with closing(self._db.execute(f'SELECT {names} FROM "{table}"')) as found:
                yield from found
            return
        except sqlite3.DatabaseError as fault:
            if self._db is None:
                return  # closed before its reader had all
            self.damage.append(f"table {table}: {fault}")
        try:
            with closing(self._db.execute(f'SELECT {names} FROM "{table}" ORDER BY rowid DESC')) as found:
                yield from found
        except sqlite3.DatabaseError:
            return  # said above

    def check(self) -> None:
        """Look for damage in the whole file."""
        if self._db is None:
            return
        try:
            found = [str(text) for (text,) in self._db.execute("PRAGMA integrity_check(20)")]
        except sqlite3.DatabaseError as fault:
            found = [str(fault)]
        self.damage += [f"the index is damaged: {text.splitlines()[0]}" for text in found if text != "ok"]

    def merge_log(self) -> bool:
        """Let others write again, and write all into the one file; answers whether that could be done."""
        if self._db is None:
            return False
        try:
            self._db.execute("ROLLBACK")
            (busy, _, _) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy
        except sqlite3.DatabaseError:
            return False
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._db is not None:
            self._db.close()
            self._db = None
