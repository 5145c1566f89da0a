"""The index's database: opening, migrating, transactions, and what it belongs to."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import peewee
from playhouse.migrations import Runner

from node import calling
from node.errors import IndexUnavailable, SetupError
from node.later import Later
from node.measures import SECONDS, Histogram
from node.store import tables
from node.store.backend import Closing, Where, opened
from node.store.group import Group, OfAll, Share
from node.store.lead import Lead
from node.store.tables import Setting

MIGRATIONS = Path(__file__).parent / "migrations"
HISTORY = "schema_migration"

T = TypeVar("T")

log = logging.getLogger(__name__)


class Store:
    """One open index. Reads run anywhere; writes run one at a time inside ``write()``, or ``together``.

    A process has one index open at a time, since the tables are bound to it. ``shared`` says that other processes
    write as often as this one. ``commits`` counts what was done ``together`` by how long its callers waited for it.
    """

    def __init__(self, where: Where, *, shared: bool = False) -> None:
        if tables.database.obj is not None:
            raise AssertionError("this process has an index open already")
        self._held: list[Closing] = []
        self._database = opened(where)
        self._turn = self._database.turn() if shared else None
        self._write_lock = self._turn or threading.RLock()
        self._group = Group(self._write_lock, self._write_all)
        self.group_sizes, self.write_waits = self._group.sizes, self._group.waits
        self.commits = Histogram(SECONDS)
        self.connection_waits = self._database.waited
        tables.database.initialize(self._database)
        try:
            with self._database.migrating():
                self._migrate()
        except peewee.DatabaseError as fault:
            self.close()
            place = self._database.place
            raise SetupError(f"{place}: {fault}; it is not an index of VTrace or is damaged") from fault
        except (SetupError, IndexUnavailable):
            self.close()
            raise

    def _migrate(self) -> None:
        runner, place = Runner(self._database, str(MIGRATIONS), table_name=HISTORY), self._database.place
        if not runner.applied() and set(self._database.get_tables()) - {HISTORY}:
            raise SetupError(f"{place}: the database of another program; name another --data-dir or --db")
        unknown = [row.name for row in runner.status() if row.path is None]
        if unknown:
            raise SetupError(f"{place}: made by a newer VTrace (schema {unknown[-1]}); start that version")
        runner.up()

    @contextmanager
    def write(self) -> Iterator[None]:
        """One database transaction: all that is written inside becomes durable together, or nothing does."""
        began = time.time_ns()
        with self._write_lock, _available(), self._database.writing():
            yield
        calling.has_committed(began, time.time_ns())

    def together(self, work: Callable[[], T], of_all: OfAll | None = None, given: Any = None) -> T:
        """Do ``work`` as inside ``write()``, in one transaction with the work of others that wait as well.

        Durable when this returns, or when the outer transaction ends if there is one. What ``work`` raises takes
        back its own writes alone. It runs on another thread, so it must not look at thread-locals. ``of_all`` may do
        it instead, for all that gave the same one, from what each has ``given``.
        """
        return self.begin(work, of_all, given).wait()

    def begin(self, work: Callable[[], T], of_all: OfAll | None = None, given: Any = None) -> Later[T]:
        """``together``, for who does not wait: durable once it is over, unless there is an outer transaction."""
        if self._database.in_transaction():
            done: Later[T] = Later()
            with self.write():
                done.result = work()
            done.end()
            return done
        began = time.time_ns()

        def committed(result: T) -> T:
            ended = time.time_ns()
            self.commits.observe((ended - began) / 1e9)
            calling.has_committed(began, ended)
            return result

        return self._group.begin(work, of_all, given).made(committed)

    def _write_all(self, shares: Sequence[Share[Any]]) -> None:
        with calling.instead(None), _available(), self._database.writing():
            for share in self._left(shares):
                with _savepoint() as faults, calling.instead(share.calling):
                    share.result = share.work()
                share.fault = next(iter(faults), None)

    def _left(self, shares: Sequence[Share[Any]]) -> list[Share[Any]]:
        """Do what can be done of several shares at once; answers those that are to be done alone."""
        left = [share for share in shares if share.of_all is None]
        for of_all in dict.fromkeys(share.of_all for share in shares if share.of_all is not None):
            some = [share for share in shares if share.of_all == of_all]
            results: Sequence[Any] = [None] * len(some)
            with _savepoint() as faults:
                results = of_all([share.given for share in some])
            for fault in faults:
                log.error("%d shares of a group are done one by one", len(some), exc_info=fault)
            for share, result in zip(some, results, strict=True):
                share.result = result
                if result is None:
                    left.append(share)
        return left

    @contextmanager
    def read(self) -> Iterator[None]:
        """One consistent view of the index for several queries."""
        if self._database.in_transaction():
            yield
            return
        with _available(), self._database.reading():
            yield

    def lead(self, name: str) -> Lead:
        """The lead of a part of the work, for one of all processes that have this index open."""
        return self._database.lead(name)

    def close_thread(self) -> None:
        """Close this thread's connection, at the end of the thread."""
        self._database.close()

    def hold(self, lock: Closing) -> None:
        """Keep a lock for as long as the index is open."""
        self._held.append(lock)

    def hold_alone(self) -> None:
        """Let nobody else open the index for as long as it is open here. SetupError if others have."""
        self.hold(self._database.alone())

    def close(self) -> None:
        """Close the index, for all threads, once what waits to be written is."""
        self._group.stop()
        self._database.close_all()
        tables.database.initialize(None)
        if self._turn is not None:
            self._turn.close()
        for lock in self._held:
            lock.close()

    def settings(self) -> dict[str, str]:
        """Everything that ``claim`` remembered."""
        rows = tables.tuples(Setting.select(Setting.name, Setting.value))
        return {str(name): str(value) for name, value in rows}

    def remember(self, **values: str) -> None:
        """Keep settings of this data directory, whatever they were before (inside ``write()``)."""
        rows = [{"name": name, "value": value} for name, value in values.items()]
        Setting.insert_many(rows).on_conflict(conflict_target=[Setting.name], preserve=[Setting.value]).execute()

    def forget(self, name: str) -> None:
        """Keep a setting no longer (inside ``write()``)."""
        Setting.delete().where(Setting.name == name).execute()

    def write_anew(self) -> None:
        """Leave no byte in the index's files of what was deleted: they are written anew.

        Takes as long as copying the index. IndexUnavailable while another program uses it.
        """
        with self._write_lock, _available():
            self._database.write_anew()


def has_index(where: Where) -> bool:
    """Whether there is an index in a database. IndexUnavailable if the database does not answer."""
    database = opened(where)
    try:
        return HISTORY in database.get_tables()
    finally:
        database.close_all()


@contextmanager
def _savepoint() -> Iterator[list[Exception]]:
    """A part of a transaction that is taken back by itself if it fails. Gives the fault, once it is over."""
    faults: list[Exception] = []
    tables.run("SAVEPOINT share")
    try:
        yield faults
    except (peewee.OperationalError, IndexUnavailable):
        raise  # the database's fault, which may have ended the transaction
    except Exception as fault:  # noqa: BLE001 - for whoever asked for the part
        faults.append(fault)
        tables.run("ROLLBACK TO SAVEPOINT share")
    tables.run("RELEASE SAVEPOINT share")


@contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except peewee.OperationalError as fault:
        raise IndexUnavailable(f"the index can't be used now: {fault}") from fault


def claim(store: Store, wanted: dict[str, str]) -> None:
    """Refuse a data directory that belongs to another chain or contract.

    ``wanted`` names what the chain says (such as chain_id and genesis); each that the index remembers
    must be the same.
    """
    hold_against(store.settings(), wanted)


def hold_against(known: dict[str, str], wanted: dict[str, str]) -> None:
    """The same for settings that were read already."""
    for name, value in wanted.items():
        if name in known and known[name] != value:
            raise SetupError(
                f"this data directory belongs to {name} {known[name]}, but the chain has {value}: "
                "name the chain that it was made with (--chain), or another --data-dir"
            )
