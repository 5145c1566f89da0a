"""The connections to an index's file: one for each thread, and an end for all of them."""

from __future__ import annotations

import threading
from typing import Any

import peewee


class Connections(peewee.SqliteDatabase):
    """SQLite whose connections end with ``close_all``, also those of threads that ended without closing theirs.

    Python gives back such a connection whenever it next looks for cycles. Until then the write-ahead log stays beside
    the file, and whoever copies the file alone has an older index.
    """

    def __init__(self, database: str, **options: Any) -> None:
        super().__init__(database, check_same_thread=False, **options)
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
