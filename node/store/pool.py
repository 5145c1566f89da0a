"""Connections to a PostgreSQL server that many threads share: a few, lent for a statement or a transaction."""

from __future__ import annotations

import logging
import select
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from node.errors import IndexUnavailable
from node.measures import SECONDS, Histogram

CONNECTIONS_MAX = 10
"""Of one process, beside one for each lead. A server takes 100 by default, each costing it some megabytes."""
WAIT_SECONDS_MAX = 10.0
"""How long a thread waits for a connection when all are lent."""

Connection = psycopg.Connection[tuple[Any, ...]]

log = logging.getLogger(__name__)


class Pool:
    """``connect`` makes a connection. Whoever has one lent must not ask for a second, or all could wait for all."""

    def __init__(self, connect: Callable[[], Connection], size: int = CONNECTIONS_MAX) -> None:
        self._connect = connect
        self._size = size
        self._changed = threading.Condition(threading.Lock())
        self._idle: list[Connection] = []  # the last one given back is lent first, so that few are kept busy
        self._total = 0
        self._is_closed = False
        self.waits = 0
        """How often a thread had to wait since the start."""
        self.waited = Histogram(SECONDS)
        """How long each that wanted a connection waited."""

    def take(self) -> Connection:
        """A connection without a transaction. IndexUnavailable if there is none within WAIT_SECONDS_MAX."""
        found = self._place()
        while found is not None:
            if _is_alive(found):
                return found
            found.close()
            found = self._spare()
        try:
            return self._connect()
        except BaseException:
            self._forget()
            raise

    def give(self, lent: Connection) -> None:
        """Give back what was lent. What is broken, or still in a transaction, is closed: the server takes that back."""
        with self._changed:
            if not self._is_closed and not lent.closed and lent.info.transaction_status == TransactionStatus.IDLE:
                self._idle.append(lent)
                self._changed.notify()
                return
        lent.close()
        self._forget()

    def close(self) -> None:
        """Close the idle ones now, those that are lent when they are given back, and lend no more."""
        with self._changed:
            self._is_closed = True
            idle, self._idle = self._idle, []
            self._changed.notify_all()
        for one in idle:
            one.close()

    def _place(self) -> Connection | None:
        """An idle connection, or None for the right to make one."""
        began = time.perf_counter()
        try:
            return self._place_in_time()
        finally:
            self.waited.observe(time.perf_counter() - began)

    def _place_in_time(self) -> Connection | None:
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        with self._changed:
            while not self._is_closed:
                if self._idle:
                    return self._idle.pop()
                if self._total < self._size:
                    self._total += 1
                    return None
                self.waits += 1
                if not self._changed.wait(deadline - time.monotonic()):
                    raise IndexUnavailable(
                        f"all {self._size} connections to the database were in use for {WAIT_SECONDS_MAX:g} s"
                    )
        raise IndexUnavailable("the index is closed")

    def _spare(self) -> Connection | None:
        """Another idle connection in place of one that is broken."""
        with self._changed:
            if not self._idle:
                return None
            self._total -= 1
            return self._idle.pop()

    def _forget(self) -> None:
        with self._changed:
            self._total -= 1
            self._changed.notify()


def _is_alive(idle: Connection) -> bool:
    """Whether the server still has it: where there is something to read on an idle connection, the server ended it."""
    if idle.closed:
        return False
    looked = select.poll()
    looked.register(idle.fileno(), select.POLLIN)
    return not looked.poll(0)
