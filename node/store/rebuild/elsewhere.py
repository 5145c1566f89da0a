"""Rebuilding an index that lives in PostgreSQL: in a copy of it, in a file, which then takes its place as a whole.

The rebuild needs two indexes and tables of its own beside them, which a file gives at no cost to the server. The index
in the server is changed by one transaction at the end: a process that dies anywhere leaves the one or the other.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from node.errors import IndexUnavailable
from node.store.db import HISTORY, Store, has_index
from node.store.pool import Connection
from node.store.postgres import UNBOUNDED, WRITE, Postgres, said
from node.store.rebuild.files import Places
from node.store.rebuild.old import OldIndex

_ROWS = 2_000
_CONSTRAINTS = """
    SELECT c.relname, k.conname, pg_get_constraintdef(k.oid) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE k.contype = 'f' AND k.connamespace = current_schema()::regnamespace ORDER BY k.oid"""
_NUMBERED = """
    SELECT table_name, column_name, pg_get_serial_sequence(quote_ident(table_name), column_name)
    FROM information_schema.columns WHERE table_schema = current_schema() AND column_default LIKE 'nextval(%'"""


class Elsewhere:
    """The index at a URL, which nobody else has open for as long as this is. SetupError where that can't be."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._had_index = has_index(url)
        if self._had_index:
            Store(url).close()  # brings an older one up to date
        self._database = Postgres(url)
        try:
            self._alone = self._database.alone()
        except BaseException:
            self._database.close_all()
            raise

    def close(self) -> None:
        """Let others open it."""
        self._alone.close()
        self._database.close_all()

    def bring(self, path: Path) -> None:
        """Write what the index holds into a new file; where there is no index, there will be no file."""
        for left in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
            left.unlink(missing_ok=True)
        if not self._had_index:
            return
        part = path.with_name(path.name + ".part")
        part.unlink(missing_ok=True)
        Store(part).close()
        with closing(sqlite3.connect(part, isolation_level=None)) as file:
            file.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN")
            with self._transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as server:
                for table in _tables(file):
                    _bring(server, file, table)
            file.execute("COMMIT")
            file.executescript("PRAGMA journal_mode = WAL")
        os.replace(part, path)

    def put(self, old: OldIndex, places: Places) -> None:
        """Replace all that the index holds by the new one, which is whole; the old one's copy stays as a file."""
        if not self._had_index:
            self._alone.close()
            Store(self._url).close()
            self._alone = self._database.alone()
        with (
            closing(sqlite3.connect(f"{places.new.absolute().as_uri()}?mode=ro", uri=True)) as file,
            self._transaction(WRITE) as server,
        ):
            tables = _tables(file)
            obeyed = server.execute(_CONSTRAINTS).fetchall()
            for table, name, _ in obeyed:
                server.execute(_sql("ALTER TABLE {} DROP CONSTRAINT {}", table, name))
            for table in tables:
                server.execute(_sql("ALTER TABLE {} DISABLE TRIGGER USER", table))
            server.execute(sql.SQL("TRUNCATE {}").format(_listed(tables)))
            for table in tables:
                _put(server, file, table)
                server.execute(_sql("ALTER TABLE {} ENABLE TRIGGER USER", table))
            for table, name, what in obeyed:
                server.execute(_sql("ALTER TABLE {} ADD CONSTRAINT {}", table, name) + sql.SQL(f" {what}"))
            for table, column, sequence in server.execute(_NUMBERED).fetchall():
                ((last,),) = server.execute(_sql("SELECT max({}) FROM {}", column, table)).fetchall()
                server.execute("SELECT setval(%s::regclass, %s, %s)", (sequence, last or 1, last is not None))
            server.execute("ANALYZE")  # so that the first questions are planned well
        old.close()
        if places.index.exists():
            os.replace(places.index, places.before)

    @contextmanager
    def _transaction(self, begins: str) -> Iterator[Connection]:
        with closing(self._database.connected()) as server:
            try:
                server.execute(begins + UNBOUNDED, prepare=False)
                yield server
                server.execute("COMMIT")
            except psycopg.Error as fault:
                raise IndexUnavailable(f"{self._database.place}: {said(fault)}") from fault


def _sql(text: str, *names: str) -> sql.Composed:
    return sql.SQL(text).format(*map(sql.Identifier, names))


def _listed(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _tables(file: sqlite3.Connection) -> list[str]:
    found = file.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    return [name for (name,) in found if name != HISTORY and not name.startswith("sqlite_")]


def _columns(file: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in file.execute(f'PRAGMA table_info("{table}")')]


def _bring(server: Connection, file: sqlite3.Connection, table: str) -> None:
    columns = _columns(file, table)
    names, places = ", ".join(f'"{name}"' for name in columns), ", ".join("?" * len(columns))
    file.execute(f'DELETE FROM "{table}"')  # a row that a migration made
    with server.cursor(name="bring") as cursor:
        cursor.itersize = _ROWS
        cursor.execute(sql.SQL("SELECT {} FROM {}").format(_listed(columns), sql.Identifier(table)))
        while rows := cursor.fetchmany(_ROWS):
            file.executemany(f'INSERT INTO "{table}" ({names}) VALUES ({places})', rows)


def _put(server: Connection, file: sqlite3.Connection, table: str) -> None:
    columns = _columns(file, table)
    what = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), _listed(columns))
    names = ", ".join(f'"{name}"' for name in columns)
    with server.cursor() as cursor, cursor.copy(what) as copy:
        for row in file.execute(f'SELECT {names} FROM "{table}"'):
            copy.write_row(row)
