"""A consistent copy of a SQLite database that another process writes to, made without holding that one up.

The copy is taken inside one read transaction, whose view stays the same whatever is committed meanwhile; without it
every commit would make the copying begin anew. Writers are never kept waiting, but their log grows until it is done.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from node.errors import SetupError

PAGES_A_STEP = 64
STEPS_A_SYNC = 16
"""What is copied is put on the disk a MiB at a time: else the writer's own syncs would wait for all of it at once."""
REST = 1.0
"""Rests so many times as long as it worked, so it takes at most half of a core and of a disk."""
BUSY_SECONDS = 30

Tell = Callable[[int], None]
"""Hears how many bytes more are done."""


class Snapshot:
    """A database as it was when this was made, until ``close``."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self.bytes = bytes_of(source)
        self._db = _opened(source)
        try:
            self._db.execute("BEGIN")
            self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on the view is fixed
        except sqlite3.Error as fault:
            self._db.close()
            raise SetupError(f"{source}: {fault}") from fault

    def copy(self, target: Path, tell: Tell) -> None:
        """Write it to the new file ``target``, durable. SetupError if it can't be read."""
        target.touch(0o600)
        try:
            with closing(sqlite3.connect(target, isolation_level=None)) as new, open(target, "rb") as written:
                new.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
                (page_bytes,) = self._db.execute("PRAGMA page_size").fetchone()
                pace = _Pace(written.fileno(), int(page_bytes), tell)
                self._db.backup(new, pages=PAGES_A_STEP, progress=pace)
                os.fsync(written.fileno())
        except sqlite3.Error as fault:
            raise SetupError(f"{self._source}: {fault}") from fault

    def close(self) -> None:
        """Let the view go; the writer's log can be emptied again."""
        self._db.close()


def bytes_of(path: Path) -> int:
    """How large a database is, with what its log adds to it at most."""
    log = path.with_name(f"{path.name}-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


def _opened(path: Path) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=rw"  # a reader, too, writes to the index of the log
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS)


class _Pace:
    """Hears of each step of the copying, and makes it gentle."""

    def __init__(self, written: int, page_bytes: int, tell: Tell) -> None:
        self._written = written
        self._page_bytes = page_bytes
        self._tell = tell
        self._left: int | None = None
        self._steps = 0
        self._began = time.monotonic()

    def __call__(self, _status: int, left: int, total: int) -> None:
        self._tell(((total if self._left is None else self._left) - left) * self._page_bytes)
        self._left = left
        self._steps += 1
        if self._steps % STEPS_A_SYNC == 0:
            os.fdatasync(self._written)
        time.sleep(REST * (time.monotonic() - self._began))
        self._began = time.monotonic()
