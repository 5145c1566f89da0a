"""The index in a SQLite file: one connection for each thread, and an end for all of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

import peewee

from node.errors import IndexUnavailable
from node.store.lead import FileLead, Lead
from node.store.turn import Turn

BUSY_TIMEOUT_SECONDS = 30
PRAGMAS = {
    "journal_mode": "wal",
    "foreign_keys": 1,
    # A commit must survive a power cut: from the commit on, the record can't be lost.
    "synchronous": "full",
    # KiB for each connection, of which every thread has one; another's commit empties it anyway.
    "cache_size": -2_000,
}


class Sqlite(peewee.SqliteDatabase):
    """A Backend whose connections end with ``close_all``, also those of threads that ended without closing theirs.

    Python gives back such a connection whenever it next looks for cycles. Until then the write-ahead log stays beside
    the file, and whoever copies the file alone has an older index.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(
            str(path), pragmas=PRAGMAS, timeout=BUSY_TIMEOUT_SECONDS, lock_type="IMMEDIATE", check_same_thread=False
        )
        self.place = f"index {path}"
        self._path = path
        self.waited = None  # each thread has a connection of its own
        self._open: set[Any] = set()
        self._open_lock = threading.Lock()

    def _connect(self) -> Any:
        made = super()._connect()  # type: ignore[misc]
        with self._open_lock:
            self._open.add(made)
        return made

    def _close(self, conn: Any) -> None:
        with self._open_lock:
            self._open.discard(conn)
        conn.close()

    def close_all(self) -> None:
        """Close every thread's connection."""
        self.close()
        with self._open_lock:
            left, self._open = self._open, set()
        for conn in left:
            conn.close()

    def writing(self) -> AbstractContextManager[Any]:
        """A transaction that has the write lock from its beginning; inside another one, a part of that."""
        return self.atomic()

    def reading(self) -> AbstractContextManager[Any]:
        """A transaction that sees one moment."""
        return self.atomic("DEFERRED")

    def alone(self) -> ExitStack:
        """Nothing: the data directory's own lock is held, and the file is nobody else's."""
        return ExitStack()

    def turn(self) -> Turn:
        """A lock of the system: SQLite lets others look again and again."""
        return Turn(self._path.with_name(f"{self._path.name}.turn"))

    def lead(self, name: str) -> Lead:
        """A lead among the processes of this machine."""
        return FileLead(self._path.with_name(f"{self._path.name}.{name}.lead"))

    def migrating(self) -> AbstractContextManager[Any]:
        """What migrations run in: each has a transaction of its own, and whoever opens the index has a lock."""
        return nullcontext()

    def many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """One statement for each of ``rows``."""
        self.cursor().executemany(sql, rows)  # type: ignore[no-untyped-call]

    def json_text(self, column: str, name: str) -> str:
        """SQL for the text that JSON in a column has under a name."""
        return f"json_extract({column}, '$.{name}')"

    def write_anew(self) -> None:
        """Write the file anew, and empty its log."""
        self.execute_sql("VACUUM")  # type: ignore[no-untyped-call]
        ((busy, _, _),) = self.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # type: ignore[no-untyped-call]
        if busy:
            raise IndexUnavailable("another program reads it")
