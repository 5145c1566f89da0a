"""Circs that wait for the chain: steps 3, 8 and 10, as far as they can be held against it already."""

from __future__ import annotations

from node.domain import custody
from node.domain.custody import CustodyError
from node.domain.form import name_digest
from node.domain.model import ACTOR_MAX, NOBODY, CircType, Rights
from node.flow.audit.findings import What, kind_name, quoted
from node.flow.audit.rules.case import Case
from node.flow.audit.rules.content import check_unambiguous
from node.flow.audit.shown import ShownCirc

_KINDS = frozenset(CircType)
_ANY_RIGHTS = Rights.CIRCULATE | Rights.PRODUCE | Rights.EXAMINE


def check_alone(case: Case, circ: ShownCirc) -> None:
    """Steps 3 and 8 for a circ of which the chain has no transaction that could be read."""
    if circ.circ_type not in _KINDS:
        case.differ_circ(3, What.KIND, circ, f"is shown as {kind_name(circ.circ_type)}, which is none")
    for role, said in (("operator", circ.operator), ("from", circ.origin), ("to", circ.to)):
        if not said:
            case.differ_circ(3, What.NAME, circ, f"shows as {role} no username")
        else:
            check_unambiguous(case, circ, said)
    if circ.operator and circ.origin and circ.operator != circ.origin:
        case.differ_circ(
            8, What.NAME, circ, f"shows as from {quoted(circ.origin)}, its operator is {quoted(circ.operator)}"
        )


def replay(case: Case) -> None:
    """Step 10 for the circs that wait, from the holder that the contract names.

    Rights may be on their way too, so every actor is taken to have them all. After a circ that was reverted, and
    that the node still shows as pending, nothing can be said: what stood on it will fail as well.
    """
    numbers: dict[bytes, int] = {}
    state = custody.GoodsState(case.facts.holder, case.facts.times)
    for circ in case.waiting:
        if (circ.trans_id or "") in case.doomed or circ.circ_type not in _KINDS:
            return
        if not circ.operator or not circ.to:
            return
        kind = CircType(circ.circ_type)
        operator, to = (_number(case, name, numbers) for name in (circ.operator, circ.to))
        fault = None
        if kind is CircType.TRANSFER and to == operator:
            fault = "its operator hands the goods to nobody else"
        elif kind in (CircType.PROCESS, CircType.EXAM) and to != operator:
            fault = f"a {kind_name(kind)} goes to nobody"
        elif state.holder == NOBODY and kind is not CircType.PRODUCE:
            fault = "nobody has produced the goods"
        else:
            try:
                state = custody.next_state(case.goods_id, state, kind, operator, to, _ANY_RIGHTS)
            except CustodyError:
                fault = f"its operator {quoted(circ.operator)} does not hold the goods"
        if fault is not None:
            case.differ_circ(
                10, What.CUSTODY, circ, f"({kind_name(kind)}) can't follow the circs shown before it: {fault}"
            )
            return


def _number(case: Case, name: str, numbers: dict[bytes, int]) -> int:
    """The actor of a name; names of nobody yet get a number that no actor can have, each its own."""
    digest = name_digest(name)
    known = case.facts.actors.called(digest)
    return known[0] if known else numbers.setdefault(digest, ACTOR_MAX + 1 + len(numbers))
