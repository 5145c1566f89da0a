"""Playing the contract's events again: what follows, and what is noticed when some are missing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.domain.custody import UNHELD, CustodyError, GoodsState, apply
from node.domain.model import ACTOR_MAX, TIMES_MAX, Circ, CircType, Range, Rights, ranges_of
from node.domain.replay import Holdings, RegisteredActor, Replay, Unexplained

RIGHTS = {1: Rights(7), 2: Rights(7), 3: Rights.CIRCULATE}


def replay() -> Replay:
    made = Replay()
    for actor, rights in RIGHTS.items():
        made.register(RegisteredActor(actor, f"0x{actor}", rights, bytes([actor])))
    return made


@st.composite
def histories(draw: st.DrawFn) -> list[Circ]:
    """Circs that the contract takes one after the other, of a few goods, some at the borders of pages."""
    goods: dict[int, GoodsState] = {}
    taken: list[Circ] = []
    pool = [1, 2, 3, 1023, 1024, 1025, 2**31 - 1]
    for _ in range(draw(st.integers(1, 12))):
        ids = draw(st.lists(st.sampled_from(pool), min_size=1, unique=True))
        kind = draw(st.sampled_from(list(CircType)))
        operator = draw(st.sampled_from(list(RIGHTS)))
        to = draw(st.sampled_from(list(RIGHTS))) if kind in (CircType.PRODUCE, CircType.TRANSFER) else operator
        version = sum(goods.get(goods_id, UNHELD).times for goods_id in ids)
        circ = Circ(ranges_of(ids), kind, operator, to, bytes(32), version)
        try:
            goods.update(apply(circ, goods, RIGHTS))
        except CustodyError:
            continue
        taken.append(circ)
    return taken


@settings(max_examples=150, deadline=None)
@given(histories())
def test_a_replay_gives_what_the_rules_give(circs: list[Circ]) -> None:
    goods: dict[int, GoodsState] = {}
    again = replay()
    for circ in circs:
        before = {goods_id: goods.get(goods_id, UNHELD).times for span in circ.goods for goods_id in span}
        goods.update(apply(circ, goods, RIGHTS))
        assert dict(again.take(circ)) == before
    assert dict(again.goods) == goods
    assert list(again.goods) == sorted(goods)
    assert len(again.goods) == len(goods)


@settings(max_examples=150, deadline=None)
@given(histories(), st.data())
def test_a_missing_circ_is_noticed_at_the_next_of_its_goods(circs: list[Circ], data: st.DataObject) -> None:
    if len(circs) < 2:
        return
    gone = data.draw(st.integers(0, len(circs) - 2))
    missing = {goods_id for span in circs[gone].goods for goods_id in span}
    again = replay()
    for number, circ in enumerate(circs):
        if number == gone:
            continue
        if number > gone and missing & {goods_id for span in circ.goods for goods_id in span}:
            with pytest.raises(Unexplained):
                again.take(circ)
            return
        again.take(circ)


def test_the_largest_state_fits() -> None:
    held = Holdings()
    held.update({2**31 - 1: GoodsState(ACTOR_MAX, TIMES_MAX)})
    assert dict(held) == {2**31 - 1: GoodsState(ACTOR_MAX, TIMES_MAX)}
    assert held.get(2**31 - 2) == UNHELD
    with pytest.raises(KeyError):
        held[5]


def test_actors_follow_their_events() -> None:
    made = replay()
    made.change_rights(1, Rights.NONE)
    made.change_account(2, "0xnew", sovereign=True)
    assert made.actors[1].rights == Rights.NONE
    assert (made.actors[2].account, made.actors[2].sovereign) == ("0xnew", True)
    produce = Circ((Range(1, 1),), CircType.PRODUCE, 1, 1, bytes(32), 0)
    with pytest.raises(Unexplained, match="ActorDisabled"):
        made.take(produce)
    made.take(replace(produce, operator=2, to=2))
    for wrong in (lambda: made.change_rights(9, Rights.NONE), lambda: made.register(made.actors[1])):
        with pytest.raises(Unexplained):
            wrong()
