"""Steps 6 to 8: what a circ says, who signed it, and whose names stand in it."""

from __future__ import annotations

from node.domain.form import SALT_BYTES, form_digest, name_digest
from node.domain.model import Circ
from node.flow.audit.facts import Event, names_goods
from node.flow.audit.findings import What, kind_name, quoted
from node.flow.audit.rules.case import Case
from node.flow.audit.shown import ShownCirc


def check_call(case: Case, circ: ShownCirc, call: Circ) -> bool:
    """Steps 5, 6 and 8 for what a transaction asks for. Answers whether it is about these goods."""
    if not names_goods(call, case.goods_id):
        case.differ_circ(5, What.OTHER_GOODS, circ, "has a transaction whose circ does not name these goods")
        return False
    check_content(case, circ, call)
    check_names(case, circ, call)
    return True


def check_content(case: Case, circ: ShownCirc, on_chain: Circ) -> bool:
    """Step 6. Answers whether the form is the one that the chain has."""
    if circ.circ_type != on_chain.circ_type:
        case.differ_circ(
            6,
            What.KIND,
            circ,
            f"is shown as {kind_name(circ.circ_type)}, the chain has {kind_name(on_chain.circ_type)}",
        )
    if len(circ.salt) != SALT_BYTES:
        return False
    if form_digest(circ.salt, circ.form) == on_chain.form_digest:
        return True
    case.differ_circ(
        6, What.FORM, circ, f"({kind_name(on_chain.circ_type)}): form and salt differ from their digest on the chain"
    )
    return False


def check_signature(case: Case, circ: ShownCirc, event: Event) -> None:
    """Step 7."""
    evidence = case.facts.evidence.get(event.tx_hash)
    if evidence is None:
        return  # found by its digest among the contract's events: a success must name its transaction later
    if evidence.call is None:
        return  # called by another contract: the log of the known code is the proof
    operator = case.facts.actors.at(event.circ.operator, event.place)
    # An account with code says itself what it has signed (EIP-1271). The contract asked it when it took the
    # circ; that can't be repeated for a past block, so the contract's verdict is accepted.
    if operator is not None and operator.account in (evidence.signed_by, *case.facts.contract_accounts):
        return
    account = "no account" if operator is None else operator.account
    case.differ_circ(
        7, What.SIGNATURE, circ, f"is not signed by its operator, actor {event.circ.operator} with {account}"
    )


def check_names(case: Case, circ: ShownCirc, on_chain: Circ) -> None:
    """Step 8."""
    actors = case.facts.actors
    for role, said, actor in (
        ("operator", circ.operator, on_chain.operator),
        ("from", circ.origin, on_chain.operator),
        ("to", circ.to, on_chain.to),
    ):
        check_unambiguous(case, circ, said)
        digest = None if said is None else name_digest(said)
        if digest is not None and digest == actors.name_digest(actor):
            continue
        others = () if digest is None else actors.called(digest)
        if digest is not None and not others and actors.name_digest(actor) is None:
            continue  # neither the name nor the actor is registered up to the audited block
        known = f"the name of actor {others[0]}" if others else "nobody's name on the chain"
        shown = "no username" if said is None else f"{quoted(said)}, {known}"
        case.differ_circ(8, What.NAME, circ, f"shows as {role} {shown}; the chain has actor {actor}")


def check_unambiguous(case: Case, circ: ShownCirc, said: str | None) -> None:
    """Step 8: a name that two actors have says nothing of who it was."""
    if said is None or said in case.ambiguous:
        return
    owners = case.facts.actors.called(name_digest(said))
    if len(owners) > 1:
        case.ambiguous.add(said)
        which = ", ".join(str(actor) for actor in owners)
        case.differ_circ(8, What.NAME, circ, f"shows the username {quoted(said)}, which several actors have: {which}")
