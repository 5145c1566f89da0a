"""Group commit: all that wait share one transaction, and nobody pays for another's fault."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import peewee
import pytest

from node.errors import IndexUnavailable
from node.store import group, tables
from node.store.db import Store
from node.store.group import Share
from tests.support.node import eventually

from . import rows
from .test_transactions import JOIN_SECONDS_MAX, Boom


class Callers:
    """Threads that write together while ``hold`` keeps the index busy, so that they make one group."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.results: dict[int, object] = {}

    def all(self, *works: Callable[[], object]) -> dict[int, object]:
        """What each work gave or raised, by its place."""
        threads = [threading.Thread(target=self._one, args=(place, work)) for place, work in enumerate(works)]
        with self._store.write():
            for place, thread in enumerate(threads):
                thread.start()
                eventually(lambda place=place: len(self._store._group._waiting) == place + 1)
        for thread in threads:
            thread.join(JOIN_SECONDS_MAX)
            assert not thread.is_alive()
        return self.results

    def _one(self, place: int, work: Callable[[], object]) -> None:
        try:
            self.results[place] = self._store.together(work)
        except Exception as fault:  # noqa: BLE001 - that is the result
            self.results[place] = fault
        finally:
            self._store.close_thread()


@pytest.fixture
def commits(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry for each commit of the database."""
    made: list[object] = []
    commit = store._database.commit  # type: ignore[attr-defined]
    monkeypatch.setattr(store._database, "commit", lambda: made.append(commit()))
    return made


def nonces() -> list[int]:
    query = tables.Outbox.select(tables.Outbox.nonce).order_by(tables.Outbox.id)
    return [nonce for (nonce,) in query.tuples()]


def fail() -> None:
    rows.next_transaction()
    raise Boom


def test_those_who_wait_share_one_commit(store: Store, commits: list[object]) -> None:
    results = Callers(store).all(*[rows.next_transaction] * 8)
    assert sorted(results) == list(range(8))
    assert nonces() == list(range(8))
    assert len(commits) == 2  # theirs, and that of the transaction which kept them waiting


def test_a_fault_takes_back_its_own_work_alone(store: Store) -> None:
    results = Callers(store).all(rows.next_transaction, fail, rows.next_transaction, fail)
    assert [type(results[place]) for place in range(4)] == [int, Boom, int, Boom]
    assert results[1] is not results[3]
    assert nonces() == [0, 1]


def test_a_fault_of_the_database_is_everybodys(store: Store) -> None:
    def full() -> None:
        raise peewee.OperationalError("database or disk is full")

    results = Callers(store).all(rows.next_transaction, full, rows.next_transaction)
    assert [type(results[place]) for place in range(3)] == [IndexUnavailable] * 3
    assert nonces() == []
    store.together(rows.next_transaction)
    assert nonces() == [0]


def test_a_group_is_bounded(store: Store, commits: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "GROUP_MAX", 3)
    Callers(store).all(*[rows.next_transaction] * 7)
    assert nonces() == list(range(7))
    assert len(commits) == 1 + 3


def test_waiting_for_another_writer_ends(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "WAIT_SECONDS_MAX", 0.05)
    caller = Callers(store)
    with store.write():
        thread = threading.Thread(target=caller._one, args=(0, rows.next_transaction))
        thread.start()
        thread.join(JOIN_SECONDS_MAX)
    assert isinstance(caller.results[0], IndexUnavailable)
    assert nonces() == []
    monkeypatch.undo()  # what follows may take its time
    assert store.together(rows.next_transaction) == 1


def test_waiting_for_a_group_ends_but_not_that_of_a_group_under_way(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "WAIT_SECONDS_MAX", 0.05)
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> int:
        begun.set()
        assert go_on.wait(JOIN_SECONDS_MAX)
        return rows.next_transaction()

    callers = Callers(store)
    first = threading.Thread(target=callers._one, args=(0, slow))
    first.start()
    assert begun.wait(JOIN_SECONDS_MAX)
    late = threading.Thread(target=callers._one, args=(1, rows.next_transaction))
    late.start()
    late.join(JOIN_SECONDS_MAX)
    go_on.set()
    first.join(JOIN_SECONDS_MAX)
    assert isinstance(callers.results[1], IndexUnavailable)
    assert callers.results[0] == 1
    assert nonces() == [0]


def test_inside_a_transaction_it_is_part_of_that(store: Store) -> None:
    def inner() -> int:
        with pytest.raises(Boom):
            store.together(fail)
        return store.together(rows.next_transaction)

    first = store.together(inner)
    with suppress(Boom), store.write():
        assert store.together(rows.next_transaction) > first
        assert nonces() == [0, 1]
        raise Boom
    assert nonces() == [0]


def test_under_load_everything_is_done_once(store: Store) -> None:
    done: list[int] = []
    lock = threading.Lock()

    def caller() -> None:
        for _ in range(50):
            number = store.together(rows.next_transaction)
            assert tables.Outbox.select().where(tables.Outbox.id == number).exists()  # committed: others see it
            with lock:
                done.append(number)
        store.close_thread()

    threads = [threading.Thread(target=caller) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_SECONDS_MAX)
    assert sorted(done) == list(range(1, 401))
    assert nonces() == list(range(400))


class ForAll:
    """Stores transactions for all that ask, with one note of how many they were; ``left`` are done alone."""

    def __init__(self, *left: object, fails: bool = False) -> None:
        self.groups: list[list[object]] = []
        self._left = left
        self._fails = fails

    def __call__(self, given: Sequence[object]) -> list[object]:
        self.groups.append(list(given))
        done = [None if one in self._left else rows.next_transaction() for one in given]
        if self._fails:
            raise Boom
        return done


def members(total: int, of_all: ForAll) -> list[Share]:
    return [Share(rows.next_transaction, of_all, number) for number in range(total)]


def test_what_can_be_done_for_all_is_and_the_rest_alone(store: Store) -> None:
    of_all = ForAll(1, 3)
    group = [*members(4, of_all), Share(rows.next_transaction), Share(fail)]
    store._write_all(group)
    assert of_all.groups == [[0, 1, 2, 3]]
    order = [share.result for share in group[:5]]
    assert [order.index(each) for each in sorted(order)] == [0, 2, 4, 1, 3]
    assert group[5].result is None
    assert [type(share.fault) for share in group] == [type(None)] * 5 + [Boom]
    assert nonces() == list(range(5))


def test_each_kind_of_work_is_done_for_its_own(store: Store) -> None:
    first, second = ForAll(), ForAll()
    store._write_all([*members(2, first), *members(1, second), *members(1, first)])
    assert (first.groups, second.groups) == ([[0, 1, 0]], [[0]])


def test_a_fault_for_all_is_taken_back_and_each_done_alone(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    group = members(3, ForAll(fails=True))
    store._write_all(group)
    first = group[0].result
    assert [share.result for share in group] == [first, first + 1, first + 2]
    assert all(share.fault is None for share in group)
    assert nonces() == [0, 1, 2]
    assert "3 shares of a group are done one by one" in caplog.text


def test_a_leader_waits_for_a_group_only_where_there_was_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    monkeypatch.setattr(group.time, "sleep", rests.append)
    store.together(rows.next_transaction)
    store.together(rows.next_transaction)
    assert rests == []
    Callers(store).all(*[rows.next_transaction] * 8)
    del rests[:]
    store.together(rows.next_transaction)
    store.together(rows.next_transaction)
    assert rests == [8 * group.GATHER_SECONDS_EACH]
