"""A node must answer everybody alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from node.flow.audit import AuditImpossible, Auditor, Report, ShownGoods, Unanswered, Unreadable, What
from node.flow.audit.callers import RETRY_SECONDS, ROUNDS
from tests.audit.world import PROCESS, View, World


def audited(world: World, first: View, second: View, goods: list[int] | None = None) -> Report:
    auditor = Auditor(first, world.chain, world.address, second=second, pause=lambda _: None)
    return auditor.audit_all() if goods is None else auditor.audit(goods)


def _form(view: View) -> None:
    view.change(1, 2, form=b'{"cup_score": 91.0}')


def _left_out(view: View) -> None:
    view.show(1, view.circs(1)[:-1])


def _class(view: View) -> None:
    shown = view.goods[1].goods_class
    assert shown is not None
    view.goods[1] = replace(view.goods[1], goods_class=replace(shown, name="Geisha"))


def _hidden(view: View) -> None:
    del view.goods[1]


LIES: dict[str, tuple[Callable[[View], None], str]] = {
    "another form": (_form, r"differently: circ 0x[0-9a-f]{12}… with another form$"),
    "a circ less": (_left_out, "differently: 8 circs and 7$"),
    "another class": (_class, "differently: with another goods_class$"),
    "no goods": (_hidden, "differently: a history of the goods and that it does not know the goods$"),
}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("goods", [None, [1, 2]], ids=["all", "named"])
def test_a_node_that_tells_the_second_caller_a_lie(
    world: World, view: View, name: str, goods: list[int] | None
) -> None:
    """What the first is told is right, so it is the only difference."""
    lie, words = LIES[name]
    lie(view)
    (found,) = audited(world, world.view, view, goods).differences
    assert (found.goods_id, found.what, found.step) == (1, What.TWO_ANSWERS, 15)
    assert re.search("the node answers two callers " + words, found.detail)


def test_a_node_that_tells_the_first_caller_a_lie(world: World, view: View) -> None:
    """That it is none to the second does not excuse it."""
    _form(view)
    found = audited(world, view, world.view).differences
    assert [(each.goods_id, each.what) for each in found] == [(1, What.FORM), (1, What.TWO_ANSWERS)]


def test_a_node_that_answers_both_alike(world: World) -> None:
    first, second = world.view.copy(), world.view.copy()
    assert audited(world, first, second).differences == ()
    assert (first.asked, second.asked) == (7, 7)


class Moving(View):
    """A node that has recorded one circ more whenever it is asked."""

    def __init__(self, world: World, moves: int) -> None:
        super().__init__()
        self._world = world
        self._moves = moves

    def history(self, goods_id: int) -> ShownGoods | None:
        self.asked += 1
        if self.asked <= self._moves:
            self._world.circulate([1], PROCESS, "coop", form=b'{"n": %d}' % self.asked)
        return self._world.view.history(goods_id)


@pytest.mark.parametrize("moves", [1, 2, 3, 5])
def test_a_node_that_records_between_two_answers_is_honest(own: World, moves: int) -> None:
    """A circ may come between any two questions, not only once."""
    view = Moving(own, moves)
    assert audited(own, view, view, [1]).differences == ()
    assert view.asked >= 2


def test_a_node_that_changes_for_the_second_caller_only_is_asked_so_often(world: World, view: View) -> None:
    _left_out(view)
    asked = view.asked
    audited(world, world.view, view, [1])
    assert view.asked - asked == 2 * ROUNDS, "once more, when the goods are looked at again"


class Silent(View):
    """A node that does not answer for some goods, or for any; or not at first."""

    def __init__(self, view: View, fault: Exception, refused: set[int] | None = None, times: int = 10**9) -> None:
        super().__init__(view.goods)
        self._fault = fault
        self._refused = refused
        self._times = times

    def history(self, goods_id: int) -> ShownGoods | None:
        self.asked += 1
        if self._times and (self._refused is None or goods_id in self._refused):
            self._times -= 1
            raise self._fault
        return self.goods.get(goods_id)


BUSY = Unanswered("the node can't be asked: UNAVAILABLE: busy")


def test_a_second_caller_that_is_never_answered(world: World) -> None:
    """Perhaps it is its own fault: nothing is said of the node."""
    with pytest.raises(AuditImpossible, match=r"a second caller gets no answer: .*UNAVAILABLE"):
        audited(world, world.view, Silent(world.view, BUSY))


def test_a_second_caller_that_is_not_answered_for_some_goods(world: World) -> None:
    (found,) = audited(world, world.view, Silent(world.view, BUSY, {4})).differences
    assert (found.goods_id, found.what) == (4, What.TWO_ANSWERS)
    assert found.detail.startswith("the node answers one caller, but not another: the node can't be asked")


def test_a_second_caller_may_have_to_wait(world: World) -> None:
    pauses: list[float] = []
    second = Silent(world.view, BUSY, {4}, times=len(RETRY_SECONDS))
    auditor = Auditor(world.view, world.chain, world.address, second=second, pause=pauses.append)
    assert auditor.audit_all().differences == ()
    assert pauses == list(RETRY_SECONDS)


def test_what_neither_can_read_is_one_difference(world: World) -> None:
    silent: dict[str, Any] = {"fault": Unreadable("7 bytes"), "refused": {4}}
    (found,) = audited(world, Silent(world.view, **silent), Silent(world.view, **silent)).differences
    assert found.what is What.UNREADABLE
    found_by_one = audited(world, world.view, Silent(world.view, **silent)).differences
    assert [each.what for each in found_by_one] == [What.TWO_ANSWERS]
    assert "a history of the goods and no history of goods (7 bytes)" in found_by_one[0].detail
