"""Steps 9 to 11: the order of the circs, custody from holder to holder, and that none is left out."""

from __future__ import annotations

from node.domain import custody
from node.domain.custody import CustodyError
from node.domain.model import CircStatus, Rights
from node.flow.audit.facts import Place
from node.flow.audit.findings import What, actor_name, kind_name, quoted, short
from node.flow.audit.rules.case import Case, Claim
from node.flow.audit.shown import ShownCirc


def check_order(case: Case, taken: list[Claim | ShownCirc]) -> None:
    """Step 9."""
    events, head_times = case.facts.events, case.facts.times
    ranks = None if events is None else {event.place: rank for rank, event in enumerate(events)}
    last: Place | None = None
    waiting: ShownCirc | None = None
    claims = later = 0
    for found in taken:
        if isinstance(found, ShownCirc):
            _check_times(case, found, head_times + later)
            waiting, later = found, later + 1
            continue
        circ, place = found.shown, found.event.place
        _check_times(case, circ, claims if ranks is None else ranks.get(place, claims))
        claims += 1
        if waiting is not None:
            case.differ_circ(
                9,
                What.ORDER,
                circ,
                f"is on the chain, but shown after {short(waiting.trans_id or '')}, which is not",
            )
        elif last is not None and place < last:
            case.differ_circ(
                9, What.ORDER, circ, "is shown after a circ that the chain has later: the order is another"
            )
        last = place if last is None else max(last, place)


def _check_times(case: Case, circ: ShownCirc, want: int) -> None:
    if circ.status == CircStatus.FAILED:
        return  # step 4 has said more
    if circ.times != want:
        case.differ_circ(9, What.TIMES, circ, f"is shown with times {quoted(circ.times)}, the chain has {want}")


def replay(case: Case) -> int | None:
    """Step 10. Answers who holds the goods after the shown circs, None if they can't have happened like that."""
    state = custody.UNHELD
    for claim in case.claims.values():
        on_chain = claim.event.circ
        operator = case.facts.actors.at(on_chain.operator, claim.event.place)
        rights = Rights.NONE if operator is None else operator.rights
        try:
            state = custody.next_state(case.goods_id, state, on_chain.circ_type, on_chain.operator, on_chain.to, rights)
        except CustodyError as fault:
            case.differ_circ(
                10,
                What.CUSTODY,
                claim.shown,
                f"({kind_name(on_chain.circ_type)}) can't follow the circs shown before it: {fault}",
            )
            return None
    return state.holder


def check_count(case: Case, holder: int | None) -> None:
    """Step 11."""
    facts, here = case.facts, len(case.claims)
    for rank, event in enumerate(facts.events or ()):
        if event.place not in case.claims:
            case.differ(
                11,
                What.LEFT_OUT,
                f"circ {short(event.tx_hash)} ({kind_name(event.circ.circ_type)}, times {rank}) is on the chain, "
                "but not shown",
            )
    if here < facts.times:
        left_out = facts.times - here
        what = "1 circ is left out" if left_out == 1 else f"{left_out} circs are left out"
        case.differ(11, What.LEFT_OUT, f"{what}: the contract counts {facts.times}, the node shows {here} of them")
    elif here > facts.times:
        case.differ(11, What.LEFT_OUT, f"{here - facts.times} too many: the contract counts {facts.times}, not {here}")
    if holder is not None and holder != facts.holder:
        case.differ(
            11,
            What.HOLDER,
            f"by the circs shown {actor_name(holder)} holds the goods, by the contract {actor_name(facts.holder)}",
        )
