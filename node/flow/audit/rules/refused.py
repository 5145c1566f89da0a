"""Step 11 for what the contract refused: such a circ leaves no event, but its transaction stands in a block.

Anybody can send nonsense, so an attempt counts only if its operator's own key signed it, and if the node must have sent
it: because the actor is custodial, so that nobody but the node has its key, or because the transaction comes from an
account from which the node sends, by the trans_ids that it shows itself.
"""

from __future__ import annotations

from node.domain.form import SALT_BYTES, form_digest
from node.flow.audit.facts import names_goods
from node.flow.audit.findings import What, kind_name, short
from node.flow.audit.rules.case import Case
from node.flow.audit.shown import ShownGoods


def check_hidden(case: Case, shown: ShownGoods) -> None:
    """A difference for each attempt at a circ of the goods that the node shows in no state."""
    facts = case.facts
    if not facts.attempts:
        return
    told = {form_digest(circ.salt, circ.form) for circ in shown.circs if len(circ.salt) == SALT_BYTES}
    told |= {event.circ.form_digest for event in facts.events or ()}
    # A circ with another form than its transaction's has been named by step 6.
    hashes = {tx_hash.lower() for circ in shown.circs for tx_hash in (circ.trans_id, circ.tx_hash) if tx_hash}
    senders = {one.sender for circ in shown.circs if (one := facts.evidence.get((circ.trans_id or "").lower()))}
    for attempt in facts.attempts:
        call = attempt.call
        if call.form_digest in told or attempt.tx_hash in hashes or not names_goods(call, case.goods_id):
            continue
        if not (attempt.custodial or attempt.sender in senders):
            continue
        told.add(call.form_digest)
        case.differ(
            11,
            What.LEFT_OUT,
            f"circ {short(attempt.tx_hash)} ({kind_name(call.circ_type)}) was refused by the contract, but is "
            "not shown as failed",
        )
