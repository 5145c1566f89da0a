"""A copy of a database that others write to all the time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from node.backup import snapshot
from node.errors import SetupError

ROWS = 2_000


def test_it_is_as_it_was_at_the_beginning_and_never_begins_anew(tmp_path: Path) -> None:
    """A commit between any two steps would make a copy without a fixed view begin anew, for ever."""
    source, target = tmp_path / "a.sqlite3", tmp_path / "b.sqlite3"
    with closing(sqlite3.connect(source, isolation_level=None)) as db:
        db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;")
        db.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, content BLOB)")
        db.executemany("INSERT INTO row (content) VALUES (?)", [(bytes(1_000),)] * ROWS)
        done: list[int] = []

        def write_meanwhile(step: int) -> None:
            assert step >= 0
            done.append(step)
            db.execute("INSERT INTO row (content) VALUES (x'01')")
            db.execute("UPDATE row SET content = x'02' WHERE id = ?", [len(done)])
            db.execute("DELETE FROM row WHERE id = ?", [ROWS - len(done)])

        with closing(snapshot.Snapshot(source)) as view:
            db.execute("DELETE FROM row WHERE id = ?", [ROWS])
            view.copy(target, write_meanwhile)
        size = target.stat().st_size
        assert len(done) == -(-size // (4_096 * snapshot.PAGES_A_STEP)) > 5
        assert sum(done) <= size <= snapshot.bytes_of(source)
        with closing(sqlite3.connect(target)) as copied:
            found = copied.execute("SELECT count(*), sum(length(content)) FROM row").fetchone()
            assert found == (ROWS, ROWS * 1_000)
            assert copied.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert target.stat().st_mode & 0o777 == 0o600


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"no database" * 1_000)
    with pytest.raises(SetupError, match="not a database"):
        snapshot.Snapshot(tmp_path / "a")
