"""Locks that PostgreSQL keeps for whoever asks by a name, for as long as the asking connection lives."""

from __future__ import annotations

import logging
import threading
from typing import Any, Protocol

import psycopg

from node.errors import IndexUnavailable
from node.store.pool import Connection

CLASS_WRITING = 0x56545243
CLASS_LEAD = 0x56545244
CLASS_USE = 0x56545245
"""Of the two numbers that name a lock; the other is made of the schema, so that indexes in one database don't meet."""
KEEPING = {
    "connect_timeout": 2,
    "keepalives_idle": 1,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 3_000,
}
ANSWER_MILLIS_MAX = 1_000
"""How long the server may take to say that a lock is still held, where it answers at all."""
SERVER_SIDE = (
    f"SET statement_timeout = {ANSWER_MILLIS_MAX}; SET tcp_keepalives_idle = 1; SET tcp_keepalives_interval = 1; "
    "SET tcp_keepalives_count = 3; SET tcp_user_timeout = 3000"
)
"""So that the server lets go of the lock of a machine that vanished."""

log = logging.getLogger(__name__)


def lock_of(function: str, lock_class: int, named: str = "") -> str:
    """SQL that takes a lock of a class by one of PostgreSQL's functions; ``named`` is SQL for the rest of its name."""
    return f"{function}({lock_class}, hashtext(current_schema(){named}))"


_TRY = f"SELECT {lock_of('pg_try_advisory_lock', CLASS_LEAD, ' || %s')}"
_RELEASE = f"SELECT {lock_of('pg_advisory_unlock', CLASS_LEAD, ' || %s')}"


class Connect(Protocol):
    """Makes a connection; IndexUnavailable if it can't."""

    def __call__(self, **parts: Any) -> Connection: ...


class Lead:
    """The lead of one part of the work: at most one process of all that share the database has it.

    It has a connection of its own, and is lost with it.
    """

    def __init__(self, connect: Connect, name: str) -> None:
        self._connect = connect
        self._name = name
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._is_held = False

    def take(self) -> bool:
        """Try once: whether this process has it now, or had it already. False while the server can't be reached."""
        with self._lock:
            if self._is_held:
                return self._answers()
            try:
                if self._connection is None:
                    self._connection = self._connect(**KEEPING)
                    self._connection.execute(SERVER_SIDE)
                found = self._connection.execute(_TRY, [f" {self._name}"]).fetchone()
            except (psycopg.Error, IndexUnavailable) as fault:
                log.warning("the lead of %r can't be asked for: %s", self._name, fault)
                self._drop()
                return False
            self._is_held = found is not None and bool(found[0])
            return self._is_held

    def holds(self) -> bool:
        """Whether it is still this process's; asks the server, since a connection does not feel its own death."""
        with self._lock:
            return self._is_held and self._answers()

    def give_up(self) -> None:
        """Let go of it, if this process has it; whoever asks from then on can have it."""
        with self._lock:
            if self._is_held and self._connection is not None:
                try:
                    # A server that only sees the connection close lets go of it a moment later.
                    self._connection.execute(_RELEASE, [f" {self._name}"])
                except psycopg.Error as fault:
                    log.warning("the lead of %r was lost before it was given up: %s", self._name, fault)
            self._drop()

    def _answers(self) -> bool:
        assert self._connection is not None
        try:
            self._connection.execute("SELECT 1")
        except psycopg.Error as fault:
            log.warning("the lead of %r is lost: %s", self._name, fault)
            self._drop()
            return False
        return True

    def _drop(self) -> None:
        self._is_held = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None
