"""A reverted circ takes with it exactly the circs that the contract refuses for its sake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.domain import custody
from node.domain.custody import UNHELD, CustodyError, GoodsState
from node.domain.model import Circ, CircStatus, CircType, Rights, ranges_of
from node.store import circs, tables
from node.store.db import Store

from . import rows

ACTORS, GOODS = 3, 4
RIGHTS = {actor: Rights(7) for actor in range(1, ACTORS + 1)}


class Undo(Exception):
    pass


@contextmanager
def undone(store: Store) -> Iterator[None]:
    """A transaction that is taken back at its end."""
    with suppress(Undo), store.write():
        yield
        raise Undo
        raise Undo


@dataclass(frozen=True)
class Stored:
    """A circ of the index."""

    circ: Circ
    circ_id: int
    outbox_id: int
    goods: tuple[int, ...]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    path: Path = tmp_path_factory.mktemp("cascade") / "index.sqlite3"
    opened = Store(path)
    assert rows.prepared(opened, ACTORS, GOODS) == list(range(1, GOODS + 1))
    yield opened
    opened.close()


_ACTOR = st.integers(1, ACTORS)
_ATTEMPT = st.tuples(
    st.sampled_from(CircType), _ACTOR, _ACTOR, st.frozensets(st.integers(1, GOODS), min_size=1, max_size=GOODS)
)


def _record(attempts: list[tuple[CircType, int, int, frozenset[int]]]) -> list[Stored]:
    """Store each attempt that the contract would take after those before it."""
    states: dict[int, GoodsState] = {}
    stored = []
    for circ_type, operator, receiver, goods in attempts:
        to = receiver if circ_type in (CircType.TRANSFER, CircType.PRODUCE) else operator
        times = {goods_id: states.get(goods_id, UNHELD).times for goods_id in sorted(goods)}
        circ = Circ(ranges_of(goods), circ_type, operator, to, bytes(32), sum(times.values()))
        try:
            after = custody.apply(circ, states, RIGHTS)
        except CustodyError:
            continue
        stored.append(Stored(circ, *rows.circ(circ_type, operator, to, times), tuple(times)))
        circs.set_custody(after)
        states |= after
    return stored


def _on_chain(stored: list[Stored], reverted: Stored) -> tuple[dict[int, dict[int, int]], dict[int, GoodsState]]:
    """What a contract does that refuses one circ: the times of each circ that it takes, and the goods at the end."""
    states: dict[int, GoodsState] = {}
    taken: dict[int, dict[int, int]] = {}
    for each in stored:
        if each is reverted:
            continue
        try:
            after = custody.apply(each.circ, states, RIGHTS)
        except CustodyError:
            continue
        taken[each.circ_id] = {goods_id: states.get(goods_id, UNHELD).times for goods_id in each.goods}
        states |= after
    return taken, states


@settings(deadline=None, max_examples=150)
@given(st.lists(_ATTEMPT, min_size=1, max_size=14), st.data())
def test_the_index_goes_back_to_what_the_contract_says(
    store: Store, attempts: list[tuple[CircType, int, int, frozenset[int]]], data: st.DataObject
) -> None:
    with undone(store):
        stored = _record(attempts)
        if stored:
            _check(stored, data.draw(st.sampled_from(stored)))


def _check(stored: list[Stored], cause: Stored) -> None:
    for each in stored[: stored.index(cause)]:
        circs.succeed([each.outbox_id])
    failed = circs.fail(cause.outbox_id, "why")
    taken, states = _on_chain(stored, cause)

    assert failed[0] == cause.circ_id
    assert set(failed) == {each.circ_id for each in stored} - taken.keys()
    for each in stored:
        status = tables.Circ.get_by_id(each.circ_id).status
        if each.circ_id in failed:
            assert status == "failed"
        else:
            assert status == ("success" if each.circ_id < cause.circ_id else "pending")
        shown = tables.CircGoods.select(tables.CircGoods.goods_id, tables.CircGoods.times)
        times = dict(shown.where(tables.CircGoods.circ_id == each.circ_id).tuples())
        assert times == taken.get(each.circ_id, dict.fromkeys(each.goods))
    known = circs.custody(range(1, GOODS + 1))
    assert {goods_id: state for goods_id, (state, _) in known.items()} == {
        goods_id: states.get(goods_id, UNHELD) for goods_id in range(1, GOODS + 1)
    }
    assert circs.fail(cause.outbox_id, "why") == []


def test_the_reason_is_told(store: Store) -> None:
    with undone(store):
        made, after = _record([(CircType.PRODUCE, 1, 1, frozenset({1})), (CircType.PROCESS, 1, 1, frozenset({1}))])
        circs.fail(made.outbox_id, "NotHolder(…)")
        first, second = circs.history(1)
        assert (first.status, first.times, first.tx_hash, first.reason) == (
            CircStatus.FAILED, None, None, "NotHolder(…)"
        )  # fmt: skip
        assert second.circ_type is after.circ.circ_type
        assert second.reason == f"it stood on a circ that the chain refused: {first.trans_id}"


@settings(deadline=None, max_examples=100)
@given(st.lists(_ATTEMPT, min_size=1, max_size=14), st.data())
def test_what_a_fork_brings_back_is_as_if_it_had_never_failed(
    store: Store, attempts: list[tuple[CircType, int, int, frozenset[int]]], data: st.DataObject
) -> None:
    """What made the contract refuse a circ may be gone after a fork: then it and all that stood on it are taken."""
    with undone(store):
        stored = _record(attempts)
        if not stored:
            return
        before = circs.custody(range(1, GOODS + 1)), [[*circs.history(goods_id)] for goods_id in range(1, GOODS + 1)]
        circs.fail(data.draw(st.sampled_from(stored)).outbox_id, "why")
        everything = [each.outbox_id for each in stored]
        circs.succeed(data.draw(st.permutations(everything)))
        circs.unsettle(everything)
        assert (circs.custody(range(1, GOODS + 1)), [[*circs.history(n)] for n in range(1, GOODS + 1)]) == before


def test_many_goods_at_once(store: Store) -> None:
    with undone(store):
        ids = rows.products.add_goods(serial_id=1, creator_id=1, state="s", total=10_000)
        circ_id, outbox_id = rows.circ(CircType.PRODUCE, 1, 1, dict.fromkeys(ids, 0))
        circs.set_custody(dict.fromkeys(ids, GoodsState(1, 1)))
        assert {state for state, _ in circs.custody(ids).values()} == {GoodsState(1, 1)}
        assert circs.fail(outbox_id, "why") == [circ_id]
        assert {state for state, _ in circs.custody(ids).values()} == {UNHELD}


@pytest.mark.usefixtures("store")
def test_a_transaction_without_a_circ_fails_nothing() -> None:
    assert circs.fail(10_000, "why") == []
