"""Steps 3 to 8 for one circ, one after the other, and step 9 for its time of record."""

from __future__ import annotations

from node.domain.form import SALT_BYTES
from node.domain.model import CircStatus
from node.flow.audit.facts import Evidence, Fault
from node.flow.audit.findings import What, quoted
from node.flow.audit.rules import content, recorded, settled, waiting
from node.flow.audit.rules.case import Case, Claim
from node.flow.audit.shown import ShownCirc, is_hash

_STATUSES = frozenset(CircStatus)


def take(case: Case, index: int, circ: ShownCirc) -> Claim | ShownCirc | None:
    """A claim if the circ is on the chain, the circ itself if it waits, else None."""
    status = _check_shape(case, index, circ)
    if status is None:
        return None
    if case.is_repeated((circ.trans_id or "").lower()):
        case.differ_circ(5, What.SHOWN_TWICE, circ, "is shown twice")
        return None
    evidence = settled.evidence_of(case, circ)
    event = settled.event_of(case, circ, status, evidence)
    settled.check_first_hash(case, circ, evidence, event)
    recorded.check(case, circ, evidence, event)
    if event is None:
        return _wait(case, circ, status, evidence)
    if event.place in case.claims:
        case.differ_circ(5, What.SHOWN_TWICE, circ, "is shown twice")
        return None
    # The chain's event is what happened; the node must show the same.
    if circ.is_withheld:
        case.erased += 1
    form_holds = content.check_content(case, circ, event.circ)
    content.check_signature(case, circ, event)
    content.check_names(case, circ, event.circ)
    claim = Claim(circ, event, form_holds)
    case.claims[event.place] = claim
    trans_id = (circ.trans_id or "").lower()
    if trans_id != event.tx_hash and trans_id not in case.facts.evidence:
        case.unproven += 1
    return claim


def _wait(case: Case, circ: ShownCirc, status: CircStatus, evidence: Evidence | None) -> ShownCirc | None:
    """What can be said of a circ that no event is known of; answers it if it waits for one."""
    block = None if evidence is None else evidence.block
    is_settled = block is not None and block <= case.facts.head
    unsettled = not is_settled or (evidence is not None and evidence.fault is Fault.FORKED_OFF)
    if status is CircStatus.SUCCESS and (block is None or is_settled):
        return None
    if status is CircStatus.FAILED and not unsettled:
        return None
    if unsettled:
        if evidence is None or evidence.call is None:
            if evidence is not None and circ.tx_hash is None:
                what = evidence.fault or "asks the contract for no circ"
                case.differ_circ(4, What.NOT_ON_CHAIN, circ, f"is shown as {status}, but its transaction {what}")
            waiting.check_alone(case, circ)
        else:
            content.check_call(case, circ, evidence.call)
    if evidence is not None and evidence.fault is Fault.REVERTED:
        case.doomed.add(circ.trans_id or "")
    if status is CircStatus.FAILED:
        case.unsettled += 1  # the chain has yet to say that it failed
        return None
    case.waiting.append(circ)
    return circ


def _check_shape(case: Case, index: int, circ: ShownCirc) -> CircStatus | None:
    """Step 3. Answers the status, or None for a circ of which nothing more can be said."""
    if circ.trans_id is None or not is_hash(circ.trans_id):
        found = quoted(circ.trans_id)
        case.differ(3, What.MISSHAPEN, f"circ number {index + 1}: trans_id is {found}, want 0x and 64 hex digits")
        return None
    if circ.status not in _STATUSES:
        case.differ_circ(
            3, What.MISSHAPEN, circ, f"has the status {quoted(circ.status)}, want pending, failed or success"
        )
        return None
    status = CircStatus(circ.status)
    if circ.goods_id != case.goods_id:
        case.differ_circ(3, What.OTHER_GOODS, circ, f"is shown as one of goods {quoted(circ.goods_id)}")
    if circ.tx_hash is not None and not is_hash(circ.tx_hash):
        case.differ_circ(3, What.MISSHAPEN, circ, f"has the tx_hash {quoted(circ.tx_hash)}, want 0x and 64 hex digits")
        return None
    if circ.tx_hash is None and status is CircStatus.SUCCESS:
        case.differ_circ(3, What.MISSHAPEN, circ, "is shown as success without its tx_hash")
    if circ.erased and not circ.is_withheld:
        case.differ_circ(3, What.MISSHAPEN, circ, "is shown as forgotten, but with a salt or a form")
    elif len(circ.salt) != SALT_BYTES and not circ.is_withheld:
        case.differ_circ(3, What.MISSHAPEN, circ, f"has a salt of {len(circ.salt)} bytes, want {SALT_BYTES}")
    if circ.recorded_at is None:
        case.differ_circ(3, What.MISSHAPEN, circ, "is shown without its time of record")
    if status is CircStatus.FAILED and circ.times is not None:
        case.differ_circ(3, What.TIMES, circ, f"is shown as failed, but with times {circ.times}: it counts for nothing")
    return status
