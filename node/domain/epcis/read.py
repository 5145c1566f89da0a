"""Events as circs: what a captured event asks to be recorded, or every fault for which it can't be.

| action | business step | circ |
| --- | --- | --- |
| ADD | commissioning | produce, again, by the producer who still holds the goods |
| OBSERVE | inspecting, sampling, sensor_reporting | exam |
| OBSERVE | shipping, to a possessing_party that is a user of this node | transfer to it |
| OBSERVE | any other, or none | process |

An event that this or another node told says it outright, as ``vtrace:circ_type``; then ``vtrace:operator`` and
``vtrace:trans_id`` must fit as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from node.domain.epcis import shape
from node.domain.epcis.document import CONTEXT, Given, namespaces_of
from node.domain.epcis.faults import Faults, TooLarge
from node.domain.epcis.hash import event_hash
from node.domain.epcis.ids import Epc, goods_of
from node.domain.epcis.parties import Party, party_named
from node.domain.epcis.vocabulary import (
    EVENT_TYPES,
    EXTENSION,
    OBJECT_EVENT,
    PARTIES,
    STATES,
    STEPS,
    TRANSACTIONS,
    Words,
)
from node.domain.form import FORM_BYTES_MAX, canonical_json, form_fault
from node.domain.limits import GOODS_PER_CALL_MAX
from node.domain.model import CircType
from node.errors import shown

EXAMS = frozenset({"inspecting", "sampling", "sensor_reporting"})
POSSESSION = "possessing_party"
_KINDS = {kind.name.lower(): kind for kind in CircType}
_TRANS_ID = re.compile(r"0x[0-9a-f]{64}")
_HASH_ID = re.compile(r"ni:///sha-256;([0-9A-Fa-f]{64})\?ver=CBV2\.0")
_HASH_SCHEME = "ni:///sha-256;"


@dataclass(frozen=True, slots=True)
class Captured:
    """An event that may become a circ, of a kind, of goods, and to whom. ``parties`` must all be its operator.

    ``hash`` is its eventID by the CBV, ``trans_id`` that of the circ which it says it is already.
    """

    index: int
    circ_type: CircType
    epcs: tuple[Epc, ...]
    parties: tuple[Party, ...]
    to: Party | None
    form: bytes
    hash: str
    trans_id: str | None = None


def read(given: Sequence[Given], base: str) -> list[Captured]:
    """The circs that events ask for; ``base`` is where the private URNs of this node's contract begin.

    Faulty with every fault of every event, TooLarge when they are about too many goods together.
    """
    faults = Faults()
    found = [_one(each, base, faults) for each in given]
    faults.refuse_if_any()
    circs = [one for one in found if one is not None]
    total = sum(len(one.epcs) for one in circs)
    if total > GOODS_PER_CALL_MAX:
        raise TooLarge(f"{total} EPCs, want at most {GOODS_PER_CALL_MAX} in a document")
    return circs


def plain(event: dict[str, Any]) -> dict[str, Any]:
    """An event with every word of the CBV spelled as it is right in JSON."""
    made = dict(event)
    for name, words in (("bizStep", STEPS), ("disposition", STATES)):
        if name in made:
            made[name] = _bare(words, made[name])
    if "persistentDisposition" in made:
        kept = made["persistentDisposition"].items()
        made["persistentDisposition"] = {name: [_bare(STATES, each) for each in some] for name, some in kept}
    for name, words in (("bizTransactionList", TRANSACTIONS), ("sourceList", PARTIES), ("destinationList", PARTIES)):
        if name in made:
            made[name] = [{**one, "type": _bare(words, one["type"])} if "type" in one else one for one in made[name]]
    return made


def _bare(words: Words, value: str) -> str:
    return words.bare(value) or value


def _one(given: Given, base: str, faults: Faults) -> Captured | None:
    event, index, before = given.event, given.index, faults.total
    kind = event.get("type")
    if kind != OBJECT_EVENT:
        only = f": {kind} is not captured here" if kind in EVENT_TYPES else ""
        faults.add(index, "type", kind or "missing", OBJECT_EVENT + only)
        return None
    shape.check(event, index, faults)
    if faults.total > before:
        return None
    event = plain(event)
    own = _own(event, given)
    epcs = _epcs(event, index, base, faults)
    source = _party(event, "sourceList", "source", index, base, faults)
    operator = _operator(own.get("operator"), index, base, faults)
    to = _party(event, "destinationList", "destination", index, base, faults)
    circ_type = _circ_type(event, own.get("circ_type"), to, index, faults)
    trans_id = own.get("trans_id")
    if trans_id is not None and not (isinstance(trans_id, str) and _TRANS_ID.fullmatch(trans_id)):
        faults.add(index, "vtrace:trans_id", trans_id, "0x and 64 hex digits")
    form = _form(given, index, faults)
    if faults.total > before:
        return None
    try:
        made = event_hash(event, namespaces_of(given.contexts))
    except (ValueError, OverflowError) as fault:
        faults.add(index, "", shown(str(fault)), "names whose prefix @context declares, and times of the calendar")
        return None
    if not _is_own_hash(event.get("eventID"), made):
        faults.add(index, "eventID", event["eventID"], f"none, one that is no hash, or the event's own hash {made}")
        return None
    if circ_type is not CircType.TRANSFER:
        source = to = None  # who had the goods before is not for a receiving event's operator to be
    parties = tuple(party for party in (source, operator) if party is not None)
    return Captured(index, circ_type, epcs, parties, to, form, made, trans_id)


def _own(event: dict[str, Any], given: Given) -> dict[str, Any]:
    """What an event says in this project's own namespace, by the local names."""
    known = namespaces_of(given.contexts)
    parts = ((name.partition(":"), value) for name, value in event.items())
    return {local: value for (prefix, _, local), value in parts if known.get(prefix) == EXTENSION}


def _circ_type(event: dict[str, Any], said: Any, to: Party | None, index: int, faults: Faults) -> CircType:
    step, is_add = event.get("bizStep"), event["action"] == "ADD"
    if said is not None:
        kind = _KINDS.get(said) if isinstance(said, str) else None
        if kind is None:
            faults.add(index, "vtrace:circ_type", said, " or ".join(_KINDS))
        if kind is CircType.TRANSFER and to is None:
            faults.add(index, "destinationList", "no user of this node", f"a {POSSESSION} to transfer to")
        return CircType.PROCESS if kind is None else kind
    if is_add != (step == "commissioning"):
        want = "commissioning, with which goods come into being" if is_add else "another, or action ADD"
        faults.add(index, "bizStep", step or "missing", want)
    if is_add:
        return CircType.PRODUCE
    if step in EXAMS:
        return CircType.EXAM
    return CircType.TRANSFER if step == "shipping" and to is not None else CircType.PROCESS


def _epcs(event: dict[str, Any], index: int, base: str, faults: Faults) -> tuple[Epc, ...]:
    found: dict[int, Epc] = {}
    for place, uri in enumerate(event["epcList"]):
        try:
            epc = goods_of(uri, base)
        except ValueError as fault:
            faults.add(index, f"epcList[{place}]", uri, str(fault).partition(": ")[2])
            continue
        if epc.goods_id in found:
            faults.add(index, f"epcList[{place}]", uri, f"goods {epc.goods_id} once")
        found[epc.goods_id] = epc
    return tuple(found.values())


def _party(event: dict[str, Any], field: str, name: str, index: int, base: str, faults: Faults) -> Party | None:
    """The user of this node that possesses the goods before or after; None if no such is named."""
    found: list[Party] = []
    for place, one in enumerate(event.get(field, [])):
        if one["type"] != POSSESSION:
            continue
        try:
            party = party_named(one[name], base)
        except ValueError as fault:
            faults.add(index, f"{field}[{place}].{name}", one[name], str(fault))
            continue
        if party is not None and party not in found:
            found.append(party)
    if len(found) > 1:
        faults.add(index, field, f"{len(found)} users of this node", f"one {POSSESSION}")
    return found[0] if found else None


def _operator(said: Any, index: int, base: str, faults: Faults) -> Party | None:
    """The user that an event names as its operator."""
    if said is None:
        return None
    try:
        party = party_named(said, base) if isinstance(said, str) else None
    except ValueError:
        party = None
    if party is None:
        faults.add(index, "vtrace:operator", said, f"{base}:party:ACTOR")
    return party


def _form(given: Given, index: int, faults: Faults) -> bytes:
    """The event as it will be recorded: itself, with the contexts that say what its names mean."""
    contexts = list(given.contexts)
    whole = {**given.event, CONTEXT: contexts[0] if len(contexts) == 1 else contexts}
    form = canonical_json(whole)
    if len(form) > FORM_BYTES_MAX:
        faults.add(index, "", f"{len(form)} bytes", f"at most {FORM_BYTES_MAX}, its @context included")
    elif wrong := form_fault(form):
        faults.add(index, "", shown(wrong), "an event that can be a form")
    return form


def _is_own_hash(event_id: Any, made: str) -> bool:
    if event_id is None or not event_id.lower().startswith(_HASH_SCHEME):
        return True
    found = _HASH_ID.fullmatch(event_id)
    return found is not None and found[1].lower() == _HASH_ID.sub(r"\1", made).lower()
