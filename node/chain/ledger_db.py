"""The embedded chain's key-value store: one SQLite file, one transaction a block.

py-evm writes a block piecemeal, hundreds of trie nodes and a head at the end. All of it is
gathered in a ``Pending`` in memory and committed at once, so the file stands at the border of a
block at any instant, also when the process is killed. Readers use another connection and see
whole blocks only; what ``Pending`` holds is seen by its owner alone.

A lock file beside the database is held for as long as the store is open: two writers would fork
the chain.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

from eth.db.backends.base import BaseDB

_OPTIONS: Any = {"isolation_level": None, "check_same_thread": False, "timeout": 10}
_SETTINGS = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
"""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entry (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
"""


class LedgerError(Exception):
    """The embedded chain's file can't be used; the message says why and what would help."""


class LedgerStore(BaseDB):
    """The committed entries: bytes to bytes, read-only. Threads may share it.

    Raises LedgerError if another process (or another store in this one) has the file open.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock_file = _hold(path.with_name(path.name + ".lock"))
        self._lock = threading.Lock()
        try:
            self._writer = sqlite3.connect(path, **_OPTIONS)
            try:
                self._writer.executescript(_SETTINGS + _SCHEMA)
                self._reader = sqlite3.connect(path, **_OPTIONS)
            except sqlite3.Error:
                self._writer.close()
                raise
        except sqlite3.Error as error:
            os.close(self._lock_file)
            raise LedgerError(f"the chain's file {path} can't be opened: {error}") from error

    def __getitem__(self, key: bytes) -> bytes:
        with self._lock:
            row = self._reader.execute("SELECT value FROM entry WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        value: bytes = row[0]
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        raise TypeError("the store is written a block at a time, through Pending")

    def __delitem__(self, key: bytes) -> None:
        raise TypeError("the store is written a block at a time, through Pending")

    def _exists(self, key: bytes) -> bool:
        with self._lock:
            row = self._reader.execute("SELECT 1 FROM entry WHERE key = ?", (key,)).fetchone()
        return row is not None

    def meta(self) -> dict[str, str]:
        """What was noted at the first start; empty before the first commit."""
        with self._lock:
            return dict(self._reader.execute("SELECT name, value FROM meta").fetchall())

    def commit(self, pending: Pending, meta: dict[str, str] | None = None) -> None:
        """Make everything in ``pending`` durable, or nothing of it. One writer at a time."""
        written = [(key, value) for key, value in pending.changes.items() if value is not None]
        deleted = [(key,) for key, value in pending.changes.items() if value is None]
        with self._writer:
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.executemany("INSERT OR REPLACE INTO entry VALUES (?, ?)", written)
            self._writer.executemany("DELETE FROM entry WHERE key = ?", deleted)
            self._writer.executemany("INSERT INTO meta VALUES (?, ?)", list((meta or {}).items()))

    def close(self) -> None:
        with self._lock:
            self._reader.close()
        self._writer.close()
        os.close(self._lock_file)


def funded_in(path: Path) -> str | None:
    """The account that owned everything on the chain in a file; None where there is no chain."""
    if not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as found:
            row = found.execute("SELECT value FROM meta WHERE name = 'funded'").fetchone()
    except sqlite3.Error as error:
        raise LedgerError(f"the chain's file {path} can't be read: {error}") from error
    return None if row is None else str(row[0])


class Pending(BaseDB):
    """What one block writes, over the committed entries; None marks a key as deleted. For one thread."""

    def __init__(self, store: LedgerStore) -> None:
        self._store = store
        self.changes: dict[bytes, bytes | None] = {}

    def __getitem__(self, key: bytes) -> bytes:
        if key not in self.changes:
            return self._store[key]
        value = self.changes[key]
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.changes[key] = value

    def __delitem__(self, key: bytes) -> None:
        if not self._exists(key):
            raise KeyError(key)
        self.changes[key] = None

    def _exists(self, key: bytes) -> bool:
        return self.changes[key] is not None if key in self.changes else self._store.exists(key)


def _hold(path: Path) -> int:
    """Take the lock file, or say who has it. The system lets go of it when the process ends."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(handle)
        raise LedgerError(
            f"the chain beside {path} is open in another process (pid {holder}); "
            "end that one, or start this one with another data directory"
        ) from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    return handle
