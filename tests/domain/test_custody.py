"""The rules of custody alone; tests/contract/test_machine.py holds them to the contract."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.domain.custody import UNHELD, CustodyError, GoodsState, apply, next_state
from node.domain.model import EXAM_TIMES_MAX, GOODS_ID_MAX, TIMES_MAX, Circ, CircType, Range, Rights

ALL = Rights.CIRCULATE | Rights.PRODUCE | Rights.EXAMINE
RIGHTS = {1: ALL, 2: Rights.CIRCULATE, 3: Rights.CIRCULATE | Rights.EXAMINE, 4: Rights.PRODUCE}
GOODS = {5: GoodsState(1, 2), 6: GoodsState(1, 3), 7: GoodsState(2, 1), 8: GoodsState(1, TIMES_MAX)}
GOODS |= {9: GoodsState(1, EXAM_TIMES_MAX), 10: GoodsState(1, EXAM_TIMES_MAX - 1)}
PRODUCE, PROCESS, TRANSFER, EXAM = CircType.PRODUCE, CircType.PROCESS, CircType.TRANSFER, CircType.EXAM

CIRC = Circ((Range(5, 2),), PROCESS, 1, 1, bytes(32), 5)


def test_process_keeps_the_holder_and_counts() -> None:
    assert apply(CIRC, GOODS, RIGHTS) == {5: GoodsState(1, 3), 6: GoodsState(1, 4)}


def test_transfer_hands_over_even_to_a_disabled_actor() -> None:
    circ = replace(CIRC, circ_type=TRANSFER, to=4)
    assert apply(circ, GOODS, RIGHTS) == {5: GoodsState(4, 3), 6: GoodsState(4, 4)}


def test_an_examiner_needs_no_custody() -> None:
    circ = Circ((Range(5, 3),), EXAM, 3, 3, bytes(32), 6)
    assert apply(circ, GOODS, RIGHTS) == {5: GoodsState(1, 3), 6: GoodsState(1, 4), 7: GoodsState(2, 2)}


def test_an_examiner_leaves_circs_to_the_holder() -> None:
    last = Circ((Range(10, 1),), EXAM, 3, 3, bytes(32), EXAM_TIMES_MAX - 1)
    assert apply(last, GOODS, RIGHTS) == {10: GoodsState(1, EXAM_TIMES_MAX)}
    by_holder = Circ((Range(9, 1),), EXAM, 1, 1, bytes(32), EXAM_TIMES_MAX)
    assert apply(by_holder, GOODS, RIGHTS) == {9: GoodsState(1, EXAM_TIMES_MAX + 1)}


def test_a_holder_needs_no_right_to_examine() -> None:
    circ = Circ((Range(7, 1),), EXAM, 2, 2, bytes(32), 1)
    assert apply(circ, GOODS, RIGHTS) == {7: GoodsState(2, 2)}


def test_produce_takes_what_is_unheld_or_ones_own() -> None:
    circ = Circ((Range(4, 3),), PRODUCE, 1, 2, bytes(32), 5)
    assert apply(circ, GOODS, RIGHTS) == {4: GoodsState(2, 1), 5: GoodsState(2, 3), 6: GoodsState(2, 4)}


def test_the_given_states_are_left_alone() -> None:
    before = dict(GOODS)
    apply(CIRC, GOODS, RIGHTS)
    assert before == GOODS


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"goods": ()}, "NoGoods()"),
        ({"goods": (Range(5, 1), Range(6, 0))}, "EmptyRange(index=1)"),
        ({"goods": (Range(0, 2),)}, "GoodsIdOutOfBounds(index=0, first=0, count=2)"),
        (
            {"goods": (Range(GOODS_ID_MAX, 2),)},
            f"GoodsIdOutOfBounds(index=0, first={GOODS_ID_MAX}, count=2)",
        ),
        ({"goods": (Range(5, 2), Range(6, 1))}, "RangesNotAscending(index=1)"),
        ({"circ_type": 2}, "UnknownCircType(circType=2)"),
        ({"operator": 9}, "UnknownActor(actor=9)"),
        ({"operator": 4}, "ActorDisabled(actor=4)"),
        ({"operator": 2, "circ_type": PRODUCE}, "MissingRight(actor=2, right=2)"),
        ({"to": 2}, "WrongReceiver(to=2, operator=1)"),
        ({"circ_type": EXAM, "to": 2}, "WrongReceiver(to=2, operator=1)"),
        ({"circ_type": TRANSFER}, "TransferToSelf(operator=1)"),
        ({"circ_type": TRANSFER, "to": 9}, "UnknownActor(actor=9)"),
        ({"goods": (Range(5, 3),)}, "NotHolder(goodsId=7, holder=2, operator=1)"),
        ({"goods": (Range(4, 2),)}, "NotHolder(goodsId=4, holder=0, operator=1)"),
        ({"goods": (Range(8, 1),)}, "TimesExhausted(goodsId=8)"),
        (
            {"goods": (Range(4, 2),), "circ_type": EXAM, "operator": 3, "to": 3},
            "NotHolder(goodsId=4, holder=0, operator=3)",
        ),
        ({"goods": (Range(9, 1),), "circ_type": EXAM, "operator": 3, "to": 3}, "TimesExhausted(goodsId=9)"),
        ({"version": 4}, "WrongVersion(given=4, expected=5)"),
    ],
)
def test_refusals(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(CustodyError) as refusal:
        apply(replace(CIRC, **changes), GOODS, RIGHTS)  # type: ignore[arg-type]
    assert str(refusal.value) == expected
    assert expected.startswith(f"{refusal.value.rule}(")


def test_a_refusal_carries_its_arguments() -> None:
    with pytest.raises(CustodyError) as refusal:
        next_state(7, GOODS[7], PROCESS, 1, 1, ALL)
    assert refusal.value.args_ == {"goodsId": 7, "holder": 2, "operator": 1}


def test_a_life_is_replayed_goods_by_goods() -> None:
    state = UNHELD
    for circ_type, operator, to in ((PRODUCE, 1, 1), (TRANSFER, 1, 2), (EXAM, 3, 3), (PROCESS, 2, 2)):
        state = next_state(5, state, circ_type, operator, to, RIGHTS[operator])
    assert state == GoodsState(2, 4)
