"""Steps 4 and 5: what the chain made of a circ, and whether that is what the node shows."""

from __future__ import annotations

from node.domain.form import SALT_BYTES, form_digest
from node.domain.model import CircStatus
from node.flow.audit.facts import Event, Evidence, Fault, names_goods
from node.flow.audit.findings import What, short
from node.flow.audit.rules import content
from node.flow.audit.rules.case import Case
from node.flow.audit.shown import ShownCirc


def evidence_of(case: Case, circ: ShownCirc) -> Evidence | None:
    """The evidence of the transaction that was mined for the circ: usually that of its trans_id."""
    return case.facts.evidence.get((circ.tx_hash or circ.trans_id or "").lower())


def event_of(case: Case, circ: ShownCirc, status: CircStatus, evidence: Evidence | None) -> Event | None:
    """The event that the circ is, if it is on the chain; the status must be what the chain made of it."""
    if status is CircStatus.FAILED:
        return _check_failed(case, circ, evidence)
    if status is CircStatus.SUCCESS:
        return _check_success(case, circ, evidence)
    return _check_pending(case, circ, evidence)


def check_first_hash(case: Case, circ: ShownCirc, evidence: Evidence | None, event: Event | None) -> None:
    """Step 5 for a trans_id whose transaction is not the one that was mined for the circ.

    It was outbid by the same nonce with a higher fee, and the chain has forgotten it; or somebody else sent the
    circ first, and it was reverted or still waits. Either way it asks for the same circ.
    """
    first = case.facts.evidence.get((circ.trans_id or "").lower())
    if first is None or circ.tx_hash is None or circ.tx_hash.lower() == first.tx_hash:
        return
    if first.events and first.fault is None:
        case.differ_circ(
            5, What.NOT_ON_CHAIN, circ, f"has the tx_hash {short(circ.tx_hash)}, but its trans_id was mined as well"
        )
        return
    if event is not None:
        want = event.circ.form_digest
    elif evidence is not None and evidence.call is not None:
        want = evidence.call.form_digest
    elif len(circ.salt) == SALT_BYTES:
        want = form_digest(circ.salt, circ.form)
    else:
        return  # step 3 has said more
    if first.call is None or first.call.form_digest != want or not names_goods(first.call, case.goods_id):
        case.differ_circ(
            5,
            What.NOT_ON_CHAIN,
            circ,
            f"has the tx_hash {short(circ.tx_hash)}, but the transaction of its trans_id asks for something else",
        )


def _check_success(case: Case, circ: ShownCirc, evidence: Evidence | None) -> Event | None:
    """A circ that is shown as success."""
    if evidence is None:
        case.differ_circ(4, What.NOT_ON_CHAIN, circ, "is shown as success, but the chain has no such transaction")
    elif evidence.block is None:
        case.differ_circ(4, What.NOT_ON_CHAIN, circ, "is shown as success, but its transaction is not mined")
    elif evidence.block <= case.facts.head:
        if evidence.fault is None:
            return _event_of_goods(case, circ, evidence)
        case.differ_circ(4, What.NOT_ON_CHAIN, circ, f"is shown as success, but its transaction {evidence.fault}")
    return None


def _check_pending(case: Case, circ: ShownCirc, evidence: Evidence | None) -> Event | None:
    """A circ that is shown as pending: it may be on the chain by now."""
    event = _event_of_form(case, circ)
    block = None if evidence is None else evidence.block
    if evidence is not None and block is not None and block <= case.facts.head:
        if evidence.fault is None:
            event = _event_of_goods(case, circ, evidence)
        elif evidence.fault is Fault.REVERTED and event is None:
            _check_attempt(case, circ, evidence)
            _check_late(case, circ, block, "was reverted")
        elif evidence.fault not in (Fault.REVERTED, Fault.FORKED_OFF):
            case.differ_circ(4, What.NOT_ON_CHAIN, circ, f"is shown as pending, but its transaction {evidence.fault}")
    if event is not None:
        _check_late(case, circ, event.place.block, "was mined")
    return event


def _check_late(case: Case, circ: ShownCirc, block: int, what: str) -> None:
    """A node follows the chain, so it can't take a circ for pending for ever."""
    behind = case.facts.head - block
    if behind > case.late_blocks:
        case.differ_circ(4, What.LATE, circ, f"is shown as pending, but its transaction {what} {behind} blocks ago")


def _check_failed(case: Case, circ: ShownCirc, evidence: Evidence | None) -> Event | None:
    """A circ that is shown as failed: what the contract took has not failed."""
    event = _event_of_form(case, circ)
    if evidence is not None and evidence.block is not None and evidence.block <= case.facts.head:
        if evidence.fault is None:
            event = _event_of_goods(case, circ, evidence)
        elif evidence.fault is Fault.REVERTED:
            _check_attempt(case, circ, evidence)
        elif evidence.fault is not Fault.FORKED_OFF:
            case.differ_circ(4, What.NOT_ON_CHAIN, circ, f"is shown as failed, but its transaction {evidence.fault}")
    if event is not None:
        case.differ_circ(4, What.NOT_FAILED, circ, "is shown as failed, but it happened: the contract took it")
    return event


def _check_attempt(case: Case, circ: ShownCirc, evidence: Evidence) -> None:
    """A reverted transaction proves nothing unless its operator wanted just this circ of these goods."""
    call = evidence.call
    if call is None:
        case.differ_circ(
            4, What.NOT_ON_CHAIN, circ, f"is shown as {circ.status}, but its transaction asks the contract for no circ"
        )
        return
    if not content.check_call(case, circ, call):
        return
    # The account may have changed since the circ was signed, which is one way to be reverted.
    accounts = case.facts.actors.accounts(call.operator)
    if evidence.signed_by not in accounts and not accounts & case.facts.contract_accounts:
        case.differ_circ(
            7, What.SIGNATURE, circ, f"was reverted, but its operator, actor {call.operator}, never signed it"
        )


def _event_of_goods(case: Case, circ: ShownCirc, evidence: Evidence) -> Event | None:
    """One transaction may carry several circs, if a contract sends them."""
    ours = [event for event in evidence.events if names_goods(event.circ, case.goods_id)]
    if not ours:
        case.differ_circ(5, What.OTHER_GOODS, circ, "has a transaction whose circ does not name these goods")
        return None
    if len(circ.salt) == SALT_BYTES:
        digest = form_digest(circ.salt, circ.form)
        ours.sort(key=lambda event: event.circ.form_digest != digest)
    return next((event for event in ours if event.place not in case.claims), ours[0])


def _event_of_form(case: Case, circ: ShownCirc) -> Event | None:
    """The event with this circ's digest, where the logs are known. It may have been mined under another hash
    than the node shows, if the fee was bumped; its salt is its own, so the digest is as good as the hash."""
    if case.facts.events is None or len(circ.salt) != SALT_BYTES:
        return None
    digest = form_digest(circ.salt, circ.form)
    for event in case.facts.events:
        if event.circ.form_digest == digest and event.place not in case.claims:
            return event
    return None
