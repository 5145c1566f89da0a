"""The new index: what only the old one knows is copied, what the chain knows is written as the chain has it.

Everything is one pass over a table or a set-based statement; nothing is held in memory but a batch.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from node.domain.form import NO_SALT, SALT_BYTES, form_digest
from node.store.db import HISTORY, Store
from node.store.rebuild.circs import Circs
from node.store.rebuild.files import Places
from node.store.rebuild.old import OldIndex
from node.store.rebuild.people import People
from node.store.rebuild.products import Products
from node.store.rebuild.times import Times
from node.store.rebuild.transactions import Transactions
from node.store.unsealed import COLUMNS as UNSEALED

_FROM_CHAIN = frozenset({"circ", "circ_goods", "actor", "published", "change", "feed", HISTORY})
_SCRATCH = """
CREATE TABLE scratch.known (
    digest BLOB PRIMARY KEY, salt BLOB, form BLOB, created_at INTEGER, reason TEXT, private INTEGER, erased BLOB);
CREATE TABLE scratch.sent (digest BLOB PRIMARY KEY, outbox_id INTEGER) WITHOUT ROWID;
CREATE TABLE scratch.arrived (
    circ_id INTEGER PRIMARY KEY, digest BLOB, circ_type INTEGER, operator INTEGER, receiver INTEGER, status TEXT,
    state TEXT, block_number INTEGER, block_hash TEXT, tx_hash TEXT, outbox_id INTEGER);
CREATE INDEX scratch.arrived_outbox ON arrived (outbox_id);
CREATE TABLE scratch.used (outbox_id INTEGER PRIMARY KEY);
CREATE TABLE scratch.carried (outbox_id INTEGER PRIMARY KEY, circ_id INTEGER, tx_hash TEXT);
CREATE TABLE scratch.chain (circ_id INTEGER PRIMARY KEY, digest BLOB);
CREATE TABLE scratch.moved (before INTEGER PRIMARY KEY, number INTEGER);
CREATE TABLE scratch.held (goods_id INTEGER PRIMARY KEY, holder INTEGER, times INTEGER);
CREATE TABLE scratch.forgotten (circ_id INTEGER PRIMARY KEY);
CREATE TABLE scratch.block (number INTEGER PRIMARY KEY, seconds INTEGER);
CREATE TABLE scratch.kept (cid TEXT PRIMARY KEY, size INTEGER);
CREATE TABLE scratch.old_actor AS SELECT * FROM main.actor WHERE 0;
CREATE UNIQUE INDEX scratch.old_actor_id ON old_actor (id);
"""
_ASIDE = """
    SELECT type, name, sql FROM main.sqlite_master
    WHERE type = 'trigger' AND sql LIKE '%INSERT INTO change %' OR name = 'outbox_state_signer_nonce'"""
"""What is made again at the end. Of the feed nobody has a cursor yet, so it tells nothing of what is built here; and an
index of states costs least when these have settled."""


@dataclass(frozen=True, slots=True)
class KnownForm:
    """A form with its salt, when it was recorded, why its circ failed and whether it is private, as far as is known.

    What an old index has in these columns may be anything.
    """

    salt: Any
    form: Any
    created_at: Any = None
    reason: Any = None
    private: Any = None


class Rebuild:
    """An index under construction. Its rows obey no foreign keys until ``finish`` has looked."""

    def __init__(self, places: Places) -> None:
        places.clear()
        Store(places.new).close()
        self._path = places.new
        self.db = sqlite3.connect(places.new.absolute().as_uri(), uri=True, isolation_level=None)
        self.db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -64000;")
        self.db.execute("ATTACH ? AS scratch", [str(places.scratch)])
        self.db.executescript("PRAGMA scratch.journal_mode = OFF; PRAGMA scratch.synchronous = OFF;" + _SCRATCH)
        self.db.execute("BEGIN")
        self._aside = self.ask(_ASIDE)
        for kind, name, _ in self._aside:
            self.db.execute(f'DROP {kind} main."{name}"')
        self.transactions = Transactions(self.db)
        self.circs = Circs(self.db, self.transactions)
        self.people = People(self.db)
        self.products = Products(self.db)
        self.times = Times(self.db)

    def close(self) -> None:
        """Let go of the files."""
        self.db.close()

    def copy(self, old: OldIndex, tell: Callable[[int], None]) -> None:
        """Take over every table that the chain says nothing of, and note what the others may be needed for."""
        tables = self.db.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            if table not in _FROM_CHAIN and not table.startswith("sqlite_"):
                self._copy(old, table, f'main."{table}"')
        self._copy(old, "actor", "scratch.old_actor")
        self.db.executemany("INSERT OR IGNORE INTO scratch.kept VALUES (?, ?)", old.rows("published", ["cid", "size"]))
        self._copy_unsealed(old)
        self._know_erased(old)
        more = [column for column in ("reason", "private") if column in old.columns("circ")]
        rows = _told(old.rows("circ", ["salt", "form", "created_at", *more]), tell)
        self.know_forms(
            KnownForm(salt, form, at, **dict(zip(more, others, strict=True)))  # the older the index, the fewer columns
            for salt, form, at, *others in rows
        )
        self.db.execute("UPDATE main.goods SET holder = 0, times = 0")

    def _copy(self, old: OldIndex, table: str, target: str) -> None:
        schema, _, name = target.partition(".")
        own = [row[1] for row in self.db.execute(f"PRAGMA {schema}.table_info({name})")]
        columns = [column for column in own if column in old.columns(table)]
        if columns:
            names, places = ", ".join(f'"{column}"' for column in columns), ", ".join("?" * len(columns))
            insert = f"INSERT OR IGNORE INTO {target} ({names}) VALUES ({places})"
            self.db.executemany(insert, old.rows(table, columns))

    def _copy_unsealed(self, old: OldIndex) -> None:
        """What the old index, of an older version, keeps open waits to be sealed, as the migration leaves it."""
        for table, (before, columns) in UNSEALED.items():
            for place in (table, before):
                rows = list(islice(old.rows(place, columns), 1))
                if rows:
                    self.db.execute(f"CREATE TABLE main.{table} ({', '.join(columns)})")
                    self.db.executemany(
                        f"INSERT INTO main.{table} VALUES ({', '.join('?' * len(columns))})", old.rows(place, columns)
                    )
                    break

    def _know_erased(self, old: OldIndex) -> None:
        """Circs whose form was forgotten on purpose: whoever still has it must not bring it back."""
        rows = old.rows("circ", ["erased_digest", "created_at", "reason"])
        self.db.executemany(
            "INSERT OR IGNORE INTO scratch.known VALUES (?, NULL, NULL, ?, ?, 1, ?)",
            ((digest, at, reason, digest) for digest, at, reason in rows if isinstance(digest, bytes)),
        )

    def know_forms(self, forms: Iterable[KnownForm]) -> None:
        """Salts and forms that may belong to circs of the chain: their digests will tell."""
        rows = (
            (
                form_digest(one.salt, one.form),
                one.salt,
                one.form,
                one.created_at,
                one.reason,
                1 if one.private else None,
            )
            for one in forms
            if isinstance(one.salt, bytes)
            and isinstance(one.form, bytes)
            and len(one.salt) == SALT_BYTES
            and one.salt != NO_SALT
        )
        self.db.executemany("INSERT OR IGNORE INTO scratch.known VALUES (?, ?, ?, ?, ?, ?, NULL)", rows)

    def settings(self) -> dict[str, str]:
        """What the data directory belongs to, as the old index remembers it."""
        return dict(self.db.execute("SELECT name, value FROM main.setting"))

    def set_settings(self, values: dict[str, str]) -> None:
        """What the data directory belongs to."""
        self.db.executemany("INSERT OR REPLACE INTO main.setting (name, value) VALUES (?, ?)", list(values.items()))

    def signers(self) -> set[str]:
        """The accounts that sign the node's transactions."""
        lanes = {signer for (signer,) in self.db.execute("SELECT signer FROM main.lane")}
        return lanes | {self.settings()["signer"]}

    def sealed_keys(self) -> set[str]:
        """The names of the node's own keys."""
        return {name for (name,) in self.db.execute("SELECT name FROM main.sealed_key")}

    def keep_key(self, name: str, sealed: bytes) -> None:
        """Keep a key of the node itself."""
        self.db.execute("INSERT OR REPLACE INTO main.sealed_key (name, sealed) VALUES (?, ?)", (name, sealed))

    def faults(self) -> list[str]:
        """Rows that name what is not there."""
        found = self.db.execute("PRAGMA main.foreign_key_check").fetchmany(20)
        return [f"{table} {row} names a {parent} that is not there" for table, row, parent, _ in found]

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a question."""
        return self.db.execute(query, values).fetchall()

    def finish(self) -> None:
        """Make the new index durable; nothing more can be written."""
        for _, _, sql in self._aside:
            self.db.execute(sql)
        self.db.execute("COMMIT")
        self.db.close()
        handle = os.open(self._path, os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _told(rows: Iterator[tuple[Any, ...]], tell: Callable[[int], None]) -> Iterator[tuple[Any, ...]]:
    for done, row in enumerate(rows):
        if not done % 1_000:
            tell(done)
        yield row
