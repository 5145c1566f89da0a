"""The rules of custody, as the contract has them, without a chain.

The contract decides; these rules foresee its verdict, so that a circ that it would refuse is never sent, and replay
its events, so that anyone can say who holds the goods. They are those of ``circulate`` in ``contracts/IVTrace.sol``,
numbered as there and checked in the same order; a broken one raises `CustodyError` with the name and the arguments of
the contract's error:

1. there is a range; each is neither empty, nor out of bounds, nor does it begin before the last one ended;
2. the kind is known;
3. the operator is registered and not disabled;
4. produce: the operator has the right to produce; process and exam: ``to`` is the operator; transfer: it isn't;
5. ``to`` is registered;
6. the operator's account signed: for keys to decide, not here;
7. of each goods, in ascending order: the operator holds it, or it is unheld and the circ is a produce, or another
   holds it, the circ is an exam and the operator has the right to examine; then its ``times`` is below `TIMES_MAX`, or
   below `EXAM_TIMES_MAX` if another holds it;
8. ``version`` is the sum of ``times`` over all the goods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from node.domain.model import EXAM_TIMES_MAX, GOODS_ID_MAX, NOBODY, TIMES_MAX, Circ, CircType, Range, Rights

_CIRC_TYPES = frozenset(CircType)


@dataclass(frozen=True, slots=True)
class GoodsState:
    """The custody of one goods: who holds it, 0 for nobody, and how many circs it has had."""

    holder: int
    times: int


UNHELD = GoodsState(NOBODY, 0)
"""The state of goods that no circ has named; only a produce can be the first."""


class CustodyError(Exception):
    """A rule of the contract is broken. ``rule`` is the name of the contract's error, ``args_`` its arguments.

    As a string it is what `node.chain.contract.decode_error` makes of the contract's own refusal.
    """

    def __init__(self, rule: str, **args: int) -> None:
        self.rule = rule
        self.args_ = args
        super().__init__(f"{rule}({', '.join(f'{name}={value}' for name, value in args.items())})")


def check_goods(goods: Sequence[Range]) -> None:
    """Rule 1."""
    if not goods:
        raise CustodyError("NoGoods")
    end = 1
    for index, span in enumerate(goods):
        if span.count < 1:
            raise CustodyError("EmptyRange", index=index)
        if span.first < 1 or span.end - 1 > GOODS_ID_MAX:
            raise CustodyError("GoodsIdOutOfBounds", index=index, first=span.first, count=span.count)
        if span.first < end:
            raise CustodyError("RangesNotAscending", index=index)
        end = span.end


def check_parties(circ_type: CircType, operator: int, to: int, rights: Mapping[int, Rights]) -> None:
    """Rules 2 to 5. ``rights`` has every registered actor that the circ names, disabled ones too."""
    if circ_type not in _CIRC_TYPES:
        raise CustodyError("UnknownCircType", circType=circ_type)
    of_operator = rights.get(operator)
    if of_operator is None:
        raise CustodyError("UnknownActor", actor=operator)
    if not of_operator & Rights.CIRCULATE:
        raise CustodyError("ActorDisabled", actor=operator)
    if circ_type is CircType.PRODUCE:
        if not of_operator & Rights.PRODUCE:
            raise CustodyError("MissingRight", actor=operator, right=Rights.PRODUCE.value)
    elif circ_type is CircType.TRANSFER:
        if to == operator:
            raise CustodyError("TransferToSelf", operator=operator)
    elif to != operator:
        raise CustodyError("WrongReceiver", to=to, operator=operator)
    if to not in rights:
        raise CustodyError("UnknownActor", actor=to)


def next_state(
    goods_id: int, state: GoodsState, circ_type: CircType, operator: int, to: int, rights: Rights
) -> GoodsState:
    """Rule 7 for one goods: its state after the circ. ``rights`` are the operator's."""
    holder, limit = state.holder, TIMES_MAX
    if holder != operator:
        if holder == NOBODY:
            allowed = circ_type is CircType.PRODUCE
        else:
            allowed = circ_type is CircType.EXAM and Rights.EXAMINE in rights
        if not allowed:
            raise CustodyError("NotHolder", goodsId=goods_id, holder=holder, operator=operator)
        limit = EXAM_TIMES_MAX
    if state.times >= limit:
        raise CustodyError("TimesExhausted", goodsId=goods_id)
    return GoodsState(holder if circ_type is CircType.EXAM else to, state.times + 1)


def apply(circ: Circ, goods: Mapping[int, GoodsState], rights: Mapping[int, Rights]) -> dict[int, GoodsState]:
    """The states of the circ's goods after it, or CustodyError; goods that ``goods`` lacks are unheld.

    ``rights`` has every registered actor that the circ names, disabled ones too.
    """
    check_goods(circ.goods)
    check_parties(circ.circ_type, circ.operator, circ.to, rights)
    of_operator = rights[circ.operator]
    after: dict[int, GoodsState] = {}
    version = 0
    # Goods of a batch mostly share a state: what becomes of one state is worked out once for all neighbours in it.
    last = successor = None
    for span in circ.goods:
        for goods_id in range(span.first, span.end):
            state = goods.get(goods_id, UNHELD)
            if successor is None or (state is not last and state != last):
                successor = next_state(goods_id, state, circ.circ_type, circ.operator, circ.to, of_operator)
                last = state
            version += state.times
            after[goods_id] = successor
    if circ.version != version:
        raise CustodyError("WrongVersion", given=circ.version, expected=version)
    return after
