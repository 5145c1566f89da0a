"""Transactions of the index: all or nothing, one writer at a time, one view for a reader."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from node.errors import SetupError
from node.store import outbox, products, tables
from node.store.backend import Where
from node.store.db import Store, claim
from node.store.sqlite import Sqlite

from . import rows

JOIN_SECONDS_MAX = 60


class Boom(Exception):
    pass


def _in_threads(store: Store, *jobs: Callable[[], None]) -> None:
    """Run jobs at the same time; the first fault of any is raised here."""
    faults: list[BaseException] = []

    def run(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as fault:  # noqa: BLE001 - raised below
            faults.append(fault)
        finally:
            store.close_thread()

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_SECONDS_MAX)
        assert not thread.is_alive()
    for fault in faults:
        raise fault


def _said(store: Store) -> tuple[object, ...]:
    if isinstance(store._database, Sqlite):
        names = ("journal_mode", "foreign_keys", "synchronous")
        return tuple(tables.run(f"PRAGMA {name}").fetchone()[0] for name in names)
    names = ("synchronous_commit", "transaction_read_only", "statement_timeout", "lock_timeout")
    return tuple(tables.run(f"SHOW {name}").fetchone()[0] for name in names)


def test_every_connection_is_durable_and_bounded(store: Store) -> None:
    def look() -> None:
        assert _said(store) in (("wal", 1, 2), ("on", "on", "30s", "30s"))

    look()
    _in_threads(store, look, look)


def test_an_error_takes_everything_back(store: Store) -> None:
    with suppress(Boom), store.write():
        rows.actors(2)
        with store.write():
            rows.goods(3)
        raise Boom
    kept = {table: table.select().count() for table in tables.TABLES if table is not tables.Feed}
    assert not any(kept.values())


def test_an_inner_error_that_is_caught_takes_back_the_inner_part_alone(store: Store) -> None:
    with store.write():
        rows.actors(1)
        with suppress(Boom), store.write():
            rows.goods(3)
            raise Boom
    assert (tables.Actor.select().count(), tables.Goods.select().count()) == (1, 0)


def test_writers_never_get_the_same_nonce(store: Store) -> None:
    writers, each = 4, 25
    at_once = threading.Barrier(writers)

    def write() -> None:
        at_once.wait(JOIN_SECONDS_MAX)
        for _ in range(each):
            with store.write():
                rows.next_transaction()

    _in_threads(store, *[write] * writers)
    nonces = [nonce for (nonce,) in tables.Outbox.select(tables.Outbox.nonce).order_by(tables.Outbox.id).tuples()]
    assert nonces == list(range(writers * each))


def test_writers_never_get_the_same_goods(store: Store) -> None:
    rows.prepared(store, 1, 1)
    at_once, got = threading.Barrier(3), []

    def write() -> None:
        at_once.wait(JOIN_SECONDS_MAX)
        for _ in range(10):
            with store.write():
                got.extend(products.add_goods(serial_id=1, creator_id=1, state="s", total=7))

    _in_threads(store, *[write] * 3)
    assert sorted(got) == list(range(2, 2 + 3 * 10 * 7))


def test_a_reader_sees_one_moment_while_a_writer_commits(store: Store) -> None:
    reading, written = threading.Event(), threading.Event()

    def read() -> None:
        with store.read():
            before = outbox.next_nonce(rows.SIGNER)
            reading.set()
            assert written.wait(JOIN_SECONDS_MAX)
            assert outbox.next_nonce(rows.SIGNER) == before is None
        assert outbox.next_nonce(rows.SIGNER) == 1

    def write() -> None:
        assert reading.wait(JOIN_SECONDS_MAX)
        with store.write():
            rows.next_transaction()
        written.set()

    _in_threads(store, read, write)


def test_a_reader_does_not_see_what_is_not_committed(store: Store) -> None:
    with store.write():
        rows.next_transaction()
        _in_threads(store, lambda: _expect(outbox.next_nonce(rows.SIGNER) is None))
    _in_threads(store, lambda: _expect(outbox.next_nonce(rows.SIGNER) == 1))


def _expect(holds: bool) -> None:
    assert holds


BELONGS = {"chain_id": "7", "genesis": "0xaa", "signer": "0xbb"}


def test_an_index_of_nobody_is_anybodys(store: Store) -> None:
    claim(store, BELONGS)
    assert store.settings() == {}


def test_an_index_is_claimed_again_by_its_own_chain(store: Store, where: Where) -> None:
    with store.write():
        store.remember(**BELONGS)
    store.close()
    again = Store(where)
    claim(again, BELONGS)
    assert again.settings() == BELONGS
    again.close()


@pytest.mark.parametrize("name", BELONGS)
def test_an_index_refuses_another(store: Store, name: str) -> None:
    with store.write():
        store.remember(**BELONGS)
    with pytest.raises(SetupError, match=f"belongs to {name} {BELONGS[name]}, but the chain has other: .*--data-dir"):
        claim(store, BELONGS | {name: "other"})
