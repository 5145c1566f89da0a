"""Circs of a group: what is done for all of them at once leaves the index as if each had been done alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.domain.model import CircType
from node.domain.records import TxKind
from node.domain.roles import Role
from node.errors import VTraceError
from node.flow.plan import Order
from node.store import circs, people
from node.store import tables as t
from node.store.group import Share
from tests.simulator.chain import Simulator

from .simulated import ROLES, World

GOODS = 4
USERS = range(1, len(ROLES) + 1)


@dataclass(frozen=True)
class Asked:
    """A circ that user ``by`` asks for."""

    by: int
    circ_type: CircType
    goods: tuple[int, ...]
    to: str


asked = st.builds(
    Asked,
    st.sampled_from(USERS),
    st.sampled_from(CircType),
    st.sets(st.integers(1, GOODS + 1), min_size=1, max_size=3).map(lambda found: tuple(sorted(found))),
    st.sampled_from(["", "user1", "user2", "user3", "nobody"]),
)


def prepared(lanes: int = 1, actors: Sequence[int] = (1, 2, 3)) -> World:
    """Goods 1 and 2 of user 1, 3 and 4 of user 2; the users in ``actors`` have recorded before, others never."""
    world = World(Simulator(), lanes=lanes)
    world.produce(1, 2)
    world.produce(2, 2)
    if 3 in actors:
        world.record(1, CircType.TRANSFER, [1], "user3")
    if 4 in actors:
        world.record(4, CircType.EXAM, [4])
    return world


def shares(world: World, several: Sequence[Asked], taken: list[bool] | None = None) -> list[Share]:
    """A group of callers. ``taken`` is told of each whether it was done for all at once."""
    recorder = world.flow.recorder

    def of_all(orders: Sequence[Any]) -> Sequence[Any]:
        found = recorder._plain.record(orders)
        if taken is not None:
            taken.extend(each is not None for each in found)
        return found

    def share(one: Asked) -> Share:
        order = Order(world.user(one.by), one.circ_type, one.goods, one.to, b'{"a":1}')
        return Share(lambda: recorder._enrol(order), of_all, order)

    return [share(one) for one in several]


def index(world: World) -> list[object]:
    """All that circs leave behind, but for what is random in each."""
    return [
        circs.custody(range(1, GOODS + 1)),
        *(
            [(c.id, c.circ_type, c.operator, c.to, c.form, c.times, c.status) for c in circs.history(goods_id)]
            for goods_id in range(1, GOODS + 1)
        ),
        list(t.tuples(t.Outbox.select(t.Outbox.id, t.Outbox.nonce, t.Outbox.kind, t.Outbox.state))),
        list(t.tuples(t.Goods.select(t.Goods.id, t.Goods.last_outbox))),
        world.flow.ledger.waiting,
    ]


def told(share: Share) -> object:
    if share.fault is not None:
        assert isinstance(share.fault, VTraceError), share.fault
        return share.fault.reason, str(share.fault)
    return [(each.circ_id, each.goods_ids) for each in share.result]


@settings(max_examples=30, deadline=None)
@given(st.lists(asked, min_size=1, max_size=12), st.sampled_from([(1, 2), (1, 2, 3), (1, 2, 3, 4)]))
def test_a_group_leaves_what_each_alone_would(several: list[Asked], actors: Sequence[int]) -> None:
    world, taken = prepared(actors=actors), list[bool]()
    try:
        group = shares(world, several, taken)
        world.store._write_all(group)
        together = [told(each) for each in group], index(world)
        for one in sorted((one for each in group for one in each.result or []), key=lambda one: one.circ_id):
            for goods_id in one.goods_ids:
                world.told[goods_id].append(one.trans_id)
        world.settle()
        world.check()
    finally:
        world.close()

    # The plain ones came first, then the others, both in their order.
    order = sorted(range(len(several)), key=lambda place: not taken[place])
    world = prepared(actors=actors)
    try:
        alone = shares(world, several)
        for place in order:
            alone[place].of_all = None
            world.store._write_all([alone[place]])
        assert ([told(each) for each in alone], index(world)) == together
    finally:
        world.close()


def test_plain_are_those_of_known_actors_that_nothing_speaks_against() -> None:
    world, taken = prepared(), list[bool]()
    try:
        several = [
            Asked(3, CircType.PROCESS, (1,), ""),
            Asked(1, CircType.PROCESS, (1,), ""),  # not the holder
            Asked(1, CircType.TRANSFER, (2,), "user2"),
            Asked(2, CircType.PROCESS, (2, 3), ""),  # stands on the one before
            Asked(4, CircType.EXAM, (4,), ""),  # no actor yet
            Asked(2, CircType.TRANSFER, (3,), "user4"),  # nor has the receiver one
        ]
        world.store._write_all(shares(world, several, taken))
        assert taken == [True, False, True, True, False, False]
    finally:
        world.close()


def test_what_changed_since_the_caller_was_known_is_not_plain() -> None:
    world, taken = prepared(), list[bool]()
    try:
        group = shares(world, [Asked(1, CircType.PROCESS, (2,), ""), Asked(2, CircType.PROCESS, (3,), "")], taken)
        with world.store.write():
            people.revoke_tokens(1)
            people.change_user(2, role=Role.NORMAL.value)
        world.store._write_all(group)
        assert taken == [False, False]
        assert "revoked" in str(group[0].fault)
        assert "role does not allow" in str(group[1].fault)
    finally:
        world.close()


@pytest.mark.parametrize("lanes", [1, 2])
def test_where_the_backlog_is_nearly_full_each_is_asked_alone(lanes: int) -> None:
    world, taken = prepared(lanes), list[bool]()
    try:
        world.flow.ledger._backlog_max = world.flow.ledger.waiting + 1
        group = shares(world, [Asked(1, CircType.PROCESS, (2,), ""), Asked(2, CircType.PROCESS, (3,), "")], taken)
        world.store._write_all(group)
        assert taken == [False, False]
        assert group[0].fault is None
        assert "limit" in str(group[1].fault)
    finally:
        world.close()


def test_a_group_has_few_statements() -> None:
    world = prepared()
    try:
        said: list[str] = []
        counts = []
        for total in (1, 16, 20):
            several = [Asked(1 + place % 2, CircType.PROCESS, (2 + place % 2,), "") for place in range(total)]
            group = shares(world, several)
            t.database.connection().set_trace_callback(said.append)
            world.store._write_all(group)
            t.database.connection().set_trace_callback(None)
            assert all(each.fault is None for each in group)
            counts.append(sum(1 for _ in groupby(said)))  # each step of a trigger tells its statement again
            said.clear()
        assert counts[0] <= 14, "one by one it would be 10 for each"
        assert counts[2] <= 20
    finally:
        world.close()


def test_many_circs_are_settled_by_their_events(monkeypatch: pytest.MonkeyPatch) -> None:
    world = prepared()
    try:
        for place in range(8):
            world.record(1 + place % 2, CircType.PROCESS, [2 + place % 2])
        asked_for: list[int] = []
        of_chain = world.chain.outcomes
        monkeypatch.setattr(world.chain, "outcomes", lambda hashes: asked_for.append(len(hashes)) or of_chain(hashes))
        world.settle()
        world.check()
        others = t.Outbox.select().where(t.Outbox.kind != TxKind.CIRC.value).count()
        assert sum(asked_for) == 2 * others, "once when they are mined, and once when they are deep"
    finally:
        world.close()
