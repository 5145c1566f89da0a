"""Step 9 for the time of record: it lies between what was there before and the block that holds the circ.

The node says it alone, so it can only be bounded. A circ is recorded before any block holds it, and while none does not
in the auditor's future; not before another that is shown before it, nor long before the contract's first block. An
honest node takes circs while the chain is away for hours: so there is no other bound from below.

A sovereign actor may have sent its circ itself before it gave it to the node: there the block says nothing, unless the
circ came in the node's own transaction, the one of its trans_id.
"""

from __future__ import annotations

from node.domain.form import rfc3339
from node.domain.limits import CLOCKS_APART_MICROS, DEPLOYMENT_WAIT_MICROS
from node.flow.audit.facts import Event, Evidence, Fault
from node.flow.audit.findings import What, short
from node.flow.audit.rules.case import Case
from node.flow.audit.shown import ShownCirc

_SECOND = 1_000_000


def check(case: Case, circ: ShownCirc, evidence: Evidence | None, event: Event | None) -> None:
    """Hold the time of one circ against its bounds; the circs are given in the order in which they are shown.

    A time that can't be is no bound for those after it, so that one lie is one difference.
    """
    at = circ.recorded_at
    if at is None:
        return  # step 3 has said more
    latest, before = _latest(case, circ, evidence, event)
    earliest, after = _earliest(case)
    if at > latest + CLOCKS_APART_MICROS:
        wrong = f"after {before}, {rfc3339(latest)}"
    elif at < earliest - CLOCKS_APART_MICROS:
        wrong = f"before {after}, {rfc3339(earliest)}"
    else:
        if case.recorded is None or at > (case.recorded.recorded_at or 0):
            case.recorded = circ
        return
    case.differ_circ(9, What.RECORDED_AT, circ, f"is shown as recorded at {rfc3339(at)}: that is {wrong}")


def _latest(case: Case, circ: ShownCirc, evidence: Evidence | None, event: Event | None) -> tuple[int, str]:
    """The time at which the circ must have been recorded, in microseconds, and what happened then."""
    number = _block_of(case, circ, evidence, event)
    seconds = None if number is None else case.facts.block_times.get(number)
    if number is None or seconds is None:
        return case.facts.now, "this audit"
    return seconds * _SECOND, f"the block that holds it, {number}"


def _block_of(case: Case, circ: ShownCirc, evidence: Evidence | None, event: Event | None) -> int | None:
    """The block that can't have held the circ before the node had it; None if there is none."""
    if event is not None:
        tx_hash, operator, block = event.tx_hash, event.circ.operator, event.place.block
    elif evidence is None or evidence.call is None or evidence.block is None or evidence.fault is Fault.FORKED_OFF:
        return None
    else:
        tx_hash, operator, block = evidence.tx_hash, evidence.call.operator, evidence.block
    actor = case.facts.actors.now(operator)
    is_own = tx_hash.lower() == (circ.trans_id or "").lower()
    return block if is_own or actor is None or not actor.sovereign else None


def _earliest(case: Case) -> tuple[int, str]:
    """The time before which the circ can't have been recorded, in microseconds, and what happened then."""
    began, former = case.facts.began * _SECOND - DEPLOYMENT_WAIT_MICROS, case.recorded
    if former is None or former.recorded_at is None or former.recorded_at < began:
        return began, "a day before the ledger's first block"
    return former.recorded_at, f"circ {short(former.trans_id or '')}, which is shown before it"
