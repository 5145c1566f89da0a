"""The index in a PostgreSQL database, which any number of processes may share.

*Writers* take one advisory lock at the beginning of their transaction and hold it until the commit, so they run one
after the other over all processes, as with SQLite: what a transaction reads nobody changes before it commits, and
numbers are given in the order of commits (decision 40). They must see what the one before committed, hence READ
COMMITTED: a snapshot would be taken before the lock is had.

*Readers* have a connection for a statement, or for the length of ``reading()``, which is a snapshot. What stands
outside of ``writing()`` can't write: the session is read-only.

A connection that breaks is thrown away, with what was under way on it: IndexUnavailable, and the next call has another.
If that happens at the commit, nobody knows whether it was done (docs/postgresql.md says what follows from it).
"""

from __future__ import annotations

import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import peewee
import psycopg
from psycopg import conninfo
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumperUnknown

from node.errors import IndexUnavailable, SetupError
from node.store.advisory import CLASS_USE, CLASS_WRITING, Lead, lock_of
from node.store.pool import Connection, Pool

NAME = f"vtrace {secrets.token_hex(4)}"
"""Tells the connections of this process from those of others."""
ALONE_SECONDS_MAX = 3.0
"""How long the connections of a process that has just ended may still be seen."""
VERSION_MIN = 140_000
STATEMENT_SECONDS_MAX = 30
LOCK_SECONDS_MAX = 30
IDLE_SECONDS_MAX = 60
"""How long a transaction may rest: a process that hangs in one would hold up all writers."""
CONNECTING: Mapping[str, str | int] = {
    "connect_timeout": 5,
    # A server that vanished is noticed after some 15 s, instead of the hours that TCP has patience for.
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""What a URL need not say."""
SESSION = "; ".join(
    f"SET {name} = {value}"
    for name, value in {
        "statement_timeout": f"'{STATEMENT_SECONDS_MAX}s'",
        "lock_timeout": f"'{LOCK_SECONDS_MAX}s'",
        "idle_in_transaction_session_timeout": f"'{IDLE_SECONDS_MAX}s'",
        # A commit must survive a power cut: from the commit on, the record can't be lost.
        "synchronous_commit": "on",
        "default_transaction_isolation": "'read committed'",
        "default_transaction_read_only": "on",
        "client_encoding": "'UTF8'",
        "standard_conforming_strings": "on",
        "jit": "off",  # compiling takes longer than any query here
    }.items()
)
WRITE = f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT {lock_of('pg_advisory_xact_lock', CLASS_WRITING)}"
READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
UNBOUNDED = "; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
_USE = f"SELECT {lock_of('pg_try_advisory_xact_lock_shared', CLASS_USE)}"
_USE_ALONE = f"SELECT {lock_of('pg_try_advisory_lock', CLASS_USE)}"
_OTHERS = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name LIKE 'vtrace %%' AND application_name <> %s"
)
_DEFINES = ("CREATE TABLE", "ALTER TABLE")
_NUMBER = re.compile(r"\bINTEGER\b")
_TEXT = re.compile(r"\bVARCHAR\([0-9]+\)|\bTEXT\b")
_PORT_MAX = 65_535
_PASSWORD = re.compile(r"(?<=://)([^/@]*?):[^/@]*@|\b(password|sslpassword)=[^&\s]*")

FIELD_TYPES = {**peewee.PostgresqlDatabase.field_types, "INT": "BIGINT", "AUTO": "BIGSERIAL"}

log = logging.getLogger(__name__)


class Text(StrDumperUnknown):
    """Text as PostgreSQL takes it: it has no NUL, which stands in no name, but may in what an endpoint says."""

    def dump(self, obj: str) -> Any:
        """The bytes of a text."""
        return super().dump(obj.replace("\0", "\ufffd"))


class Postgres(peewee.PostgresqlDatabase):
    """A Backend. Whole numbers have 64 bits and texts any length and the order of their bytes, as in SQLite."""

    _state: Any  # peewee's: what this thread has
    field_types = FIELD_TYPES

    def __init__(self, url: str) -> None:
        self._parts = parts_of(url)
        self.place = f"database {shown_of(self._parts)}"
        self._pool = Pool(self.connected)
        self.waited = self._pool.waited
        self._begins = ""  # what else a writing transaction begins with
        self._leads: list[Lead] = []
        self._leads_lock = threading.Lock()
        super().__init__(self.place, prefer_psycopg3=True)

    def connected(self, **parts: Any) -> Connection:
        """A new connection, outside of the pool. IndexUnavailable if the server can't be reached, or refuses."""
        try:
            made = psycopg.connect(**{**CONNECTING, **self._parts, "application_name": NAME, **parts}, autocommit=True)
            try:
                made.adapters.register_dumper(int, Int8Dumper)  # of one width: one prepared statement for all values
                made.adapters.register_dumper(str, Text)
                made.execute(SESSION)
            except BaseException:
                made.close()
                raise
        except psycopg.Error as fault:
            raise IndexUnavailable(f"{self.place}: {said(fault)}") from fault
        return made

    def look(self) -> None:
        """Refuse a server that can't keep an index. SetupError, or IndexUnavailable if there is no answer."""
        rows = self.execute_sql(
            "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), "
            "current_setting('fsync'), pg_is_in_recovery(), current_schema()"
        )
        ((version, encoding, fsync, is_standby, schema),) = rows.fetchall()
        if version < VERSION_MIN:
            raise SetupError(f"{self.place}: PostgreSQL {version // 10_000}; want {VERSION_MIN // 10_000} or newer")
        if encoding != "UTF8":
            raise SetupError(f"{self.place}: its encoding is {encoding}; want one made with ENCODING 'UTF8'")
        if is_standby:
            raise SetupError(f"{self.place}: a standby, which takes no writes; name the primary server")
        if schema is None:
            raise SetupError(f"{self.place}: no schema of its search_path exists, or may be used by this role")
        if fsync != "on":
            log.warning("%s: fsync is off, so a power cut may lose what was answered", self.place)

    # Transactions

    def writing(self) -> AbstractContextManager[Any]:
        """A transaction that no other writer runs beside; inside another one, a part of that."""
        return self.atomic()

    def reading(self) -> AbstractContextManager[Any]:
        """A transaction that sees one moment and can't write."""
        return self.atomic(READ)

    @contextmanager
    def migrating(self) -> Iterator[None]:
        """One transaction for all migrations, since PostgreSQL can take back changes of the schema too."""
        self.look()
        self._begins = UNBOUNDED
        try:
            with self.writing():
                if not self.execute_sql(_USE).fetchone()[0]:
                    raise SetupError(f"{self.place}: another command works on it; run this again when that has ended")
                yield
        finally:
            self._begins = ""

    def alone(self) -> Connection:
        """Let nobody else open the index for as long as this connection is open. SetupError if others have it open."""
        kept = self.connected()
        deadline = time.monotonic() + ALONE_SECONDS_MAX
        try:
            while not (
                kept.execute(_USE_ALONE).fetchall()[0][0] and kept.execute(_OTHERS, [NAME]).fetchall() == [(0,)]
            ):
                if time.monotonic() > deadline:
                    raise SetupError(
                        f"{self.place}: a node or another command uses it; run this again when that has ended"
                    )
                time.sleep(ALONE_SECONDS_MAX / 30)
        except psycopg.Error as fault:
            kept.close()
            raise IndexUnavailable(f"{self.place}: {said(fault)}") from fault
        except BaseException:
            kept.close()
            raise
        return kept

    def begin(self, isolation_level: str | None = None) -> None:
        """Begin a transaction (for peewee, which hands on what ``atomic`` was given)."""
        how = isolation_level or WRITE + self._begins
        lent = self._pool.take()
        try:
            # No parameters, and not prepared: then the statements go, and are answered, together.
            lent.execute(how, prepare=False)
        except BaseException as fault:
            lent.close()
            self._pool.give(lent)
            if isinstance(fault, psycopg.Error):
                raise IndexUnavailable(f"{self.place}: {said(fault)}") from fault
            raise
        self._state.set_connection(lent)

    def commit(self) -> None:
        """End the transaction (for peewee)."""
        try:
            ended = self._run(self._state.conn, lambda cursor: cursor.execute("COMMIT", prepare=False))
            if ended.statusmessage != "COMMIT":  # the server says no more than this of one that had failed
                raise peewee.InternalError("the transaction was taken back, since a statement in it had failed")
        except BaseException:
            self._state.conn.close()
            raise
        finally:
            self._release()

    def rollback(self) -> None:
        """Take back the transaction (for peewee, which also asks for it after a commit that failed)."""
        if self._state.closed:
            return
        try:
            self._state.conn.execute("ROLLBACK", prepare=False)
        except psycopg.Error as fault:
            log.debug("the server takes it back by itself: %s", fault)
            self._state.conn.close()
        finally:
            self._release()

    def _release(self) -> None:
        lent = self._state.conn
        self._state.reset()
        self._pool.give(lent)

    # Statements

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run a statement, in this thread's transaction if there is one. Its rows are read by then."""
        if sql.startswith(_DEFINES):
            sql = _NUMBER.sub("BIGINT", _TEXT.sub('TEXT COLLATE "C"', sql))
        # Without values the driver must not look for placeholders: texts may have a percent sign.
        return self._do(lambda cursor: cursor.execute(sql, params or None))

    def many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """One statement for each of ``rows``, sent together."""
        self._do(lambda cursor: cursor.executemany(sql, rows))

    def _do(self, act: Callable[[Any], object]) -> Any:
        if not self._state.closed:
            return self._run(self._state.conn, act)
        lent = self._pool.take()
        try:
            return self._run(lent, act)
        finally:
            self._pool.give(lent)

    def _run(self, lent: Connection, act: Callable[[Any], object]) -> Any:
        cursor = lent.cursor()
        try:
            act(cursor)
        except psycopg.Error as fault:
            if lent.closed or isinstance(fault, (psycopg.OperationalError, psycopg.InterfaceError)):
                raise IndexUnavailable(f"{self.place}: {said(fault)}") from fault
            with peewee.__exception_wrapper__:  # type: ignore[attr-defined]
                raise
        return cursor

    # The rest of what a Backend does

    def json_text(self, column: str, name: str) -> str:
        """SQL for the text that JSON in a column has under a name."""
        return f"{column}::json->>'{name}'"

    def turn(self) -> None:
        """Nothing: the server lets writers wait for their lock in the order in which they come."""

    def lead(self, name: str) -> Lead:
        """The lead of one part of the work, among all that share the database."""
        made = Lead(self.connected, name)
        with self._leads_lock:
            self._leads.append(made)
        return made

    def write_anew(self) -> None:
        """Write every table anew; the server's write-ahead log and its backups are its operator's."""
        tables = self.get_tables()
        lent = self.connected()
        try:
            lent.execute("SET statement_timeout = 0; SET default_transaction_read_only = off")
            for table in tables:
                lent.execute(f'VACUUM (FULL) "{table}"', prepare=False)
        except psycopg.Error as fault:
            raise IndexUnavailable(f"{self.place}: {said(fault)}") from fault
        finally:
            lent.close()

    def close_all(self) -> None:
        """Close every connection, those under way when they come to their end."""
        self._pool.close()
        with self._leads_lock:
            for lead in self._leads:
                lead.give_up()


def parts_of(url: str) -> dict[str, Any]:
    """What a URL says; SetupError without the password that may be in it."""
    try:
        parts: dict[str, Any] = dict(conninfo.conninfo_to_dict(url))
    except psycopg.Error as fault:
        raise SetupError(f"--db {hidden(url)}: {hidden(str(fault)).strip()}") from fault
    for port in str(parts.get("port", 1)).split(","):
        if not (port.isascii() and port.isdigit() and 0 < int(port) <= _PORT_MAX):
            raise SetupError(f"--db {hidden(url)}: port {port}: want 1 to {_PORT_MAX}")
    return parts


def hidden(text: str) -> str:
    """A text without the passwords of URLs in it."""
    return _PASSWORD.sub(lambda found: f"{found[1]}:…@" if found[1] is not None else f"{found[2]}=…", text)


def shown_of(parts: Mapping[str, Any]) -> str:
    """A database as messages name it."""
    user, host = parts.get("user"), parts.get("host") or parts.get("hostaddr") or "localhost"
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"postgresql://{f'{user}@' if user else ''}{host}{port}/{parts.get('dbname') or ''}"


def said(fault: psycopg.Error) -> str:
    """What a fault says, in a line."""
    return " ".join(hidden(str(fault)).split()) or type(fault).__name__
