"""Tallies: how many are kept, and that processes which share them count together."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from node.domain.delay import ADDRESS
from node.domain.rates import Rate
from node.errors import VTraceError
from node.flow import tallies
from node.flow.login import Addresses
from node.flow.rates import Rates
from node.flow.tallies import OwnTallies, SharedTables, Tallies, Tally, new_memory, shared_tables

NOW = 10**15
COUNTED = 300
COUNT = f"""
import sys
from node.flow.tallies import shared_tables
tables = shared_tables(int(sys.argv[1]))
for number in range({COUNTED}):
    for key in "ab":
        tables.users.change(key, lambda tally: (1 if tally is None else tally[0] + 1, number))
"""


@pytest.fixture
def memory() -> Iterator[int]:
    file = new_memory()
    yield file
    os.close(file)


@pytest.fixture(params=["own", "shared"])
def some(request: pytest.FixtureRequest, memory: int) -> Tallies:
    return OwnTallies(100) if request.param == "own" else shared_tables(memory).users


def _of(known: Tallies, key: str) -> Tally | None:
    found: list[Tally | None] = []

    def seen(tally: Tally | None) -> Tally | None:
        found.append(tally)
        return tally

    known.change(key, seen)
    return found[0]


def _put(tally: Tally | None) -> Callable[[Tally | None], Tally | None]:
    return lambda _: tally


def test_a_tally_is_kept_until_it_is_dropped(some: Tallies) -> None:
    assert _of(some, "a") is None
    some.change("a", _put((1.5, NOW)))
    some.change("b", _put((2, NOW + 1)))
    assert (_of(some, "a"), _of(some, "b"), _of(some, "c")) == ((1.5, NOW), (2, NOW + 1), None)
    some.change("a", _put(None))
    assert (_of(some, "a"), _of(some, "b")) == (None, (2, NOW + 1))


def test_a_change_that_raises_changes_nothing(some: Tallies) -> None:
    some.change("a", _put((1, NOW)))

    def raises(_: Tally | None) -> Tally | None:
        raise ValueError("no")

    for key in ("a", "b"):
        with pytest.raises(ValueError, match="no"):
            some.change(key, raises)
    assert (_of(some, "a"), _of(some, "b")) == ((1, NOW), None)


def test_shared_memory_forgets_the_oldest(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "GROUPS", 1)
    known = shared_tables(memory).logins
    for number in range(20):
        known.change(str(number), _put((number, NOW + number)))
    left = [number for number in range(20) if _of(known, str(number)) is not None]
    assert left == list(range(20 - tallies.ENTRIES_OF_GROUP, 20))


def test_tables_do_not_touch_each_other(memory: int) -> None:
    tables = shared_tables(memory)
    for place, known in enumerate((tables.users, tables.addresses, tables.logins)):
        known.change("a", _put((place, NOW)))
    assert [_of(known, "a") for known in (tables.users, tables.addresses, tables.logins)] == [
        (0, NOW),
        (1, NOW),
        (2, NOW),
    ]


def test_processes_lose_no_change_of_each_other(memory: int) -> None:
    command = [sys.executable, "-c", COUNT, str(memory)]
    counting = [subprocess.Popen(command, pass_fds=[memory]) for _ in range(2)]
    assert [process.wait(60) for process in counting] == [0, 0]
    users = shared_tables(memory).users
    for key in "ab":
        tally = _of(users, key)
        assert tally is not None
        assert tally[0] == 2 * COUNTED


def test_limits_hold_for_all_processes_together(memory: int) -> None:
    both: list[SharedTables] = [shared_tables(memory), shared_tables(memory)]
    limits = [Rates(lambda: NOW, 1.0, tables.users, tables.addresses) for tables in both]
    for number in range(Rate.LOGIN.user.burst):
        limits[number % 2].from_user(Rate.LOGIN, 7)
    for each in limits:
        with pytest.raises(VTraceError, match="too many logins"):
            each.from_user(Rate.LOGIN, 7)
    failing = [Addresses(lambda: NOW, tables.logins) for tables in both]
    for number in range(ADDRESS.free):
        with failing[number % 2].attempt("203.0.113.7"):
            pass
    for one in failing:
        with pytest.raises(VTraceError, match="too many failed logins"), one.attempt("203.0.113.7"):
            pass
