"""Events as circs: what a captured event asks to be recorded, or every fault for which it can't be.

| action | business step | circ |
| --- | --- | --- |
| ADD | commissioning | produce, again, by the producer who still holds the goods |
| OBSERVE | inspecting, sampling, sensor_reporting | exam |
| OBSERVE | shipping, to a possessing_party that is a user of this node | transfer to it |
| OBSERVE | any other, or none | process |
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
from node.domain.epcis.vocabulary import EVENT_TYPES, OBJECT_EVENT, PARTIES, STATES, STEPS, TRANSACTIONS, Words
from node.domain.form import FORM_BYTES_MAX, canonical_json, form_fault
from node.domain.limits import GOODS_PER_CALL_MAX
from node.domain.model import CircType
from node.errors import shown

EXAMS = frozenset({"inspecting", "sampling", "sensor_reporting"})
POSSESSION = "possessing_party"
_HASH_ID = re.compile(r"ni:///sha-256;([0-9A-Fa-f]{64})\?ver=CBV2\.0")
_HASH_SCHEME = "ni:///sha-256;"


@dataclass(frozen=True, slots=True)
class Captured:
    """An event that may become a circ: its kind and goods, from and to whom. ``hash`` is its eventID by the CBV."""

    index: int
    circ_type: CircType
    epcs: tuple[Epc, ...]
    source: Party | None
    to: Party | None
    form: bytes
    hash: str


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
    epcs = _epcs(event, index, base, faults)
    source = _party(event, "sourceList", "source", index, base, faults)
    to = _party(event, "destinationList", "destination", index, base, faults)
    circ_type = _circ_type(event, to, index, faults)
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
    return Captured(index, circ_type, epcs, source, to if circ_type is CircType.TRANSFER else None, form, made)


def _circ_type(event: dict[str, Any], to: Party | None, index: int, faults: Faults) -> CircType:
    step = event.get("bizStep")
    if event["action"] == "ADD":
        if step != "commissioning":
            faults.add(index, "bizStep", step or "missing", "commissioning: with action ADD goods come into being")
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


def _form(given: Given, index: int, faults: Faults) -> bytes:
    """The event as it will be recorded: itself, with the contexts that say what its names mean."""
    contexts = list(given.contexts)
    whole = {**given.event, CONTEXT: contexts[0] if len(contexts) == 1 else contexts}
    try:
        form = canonical_json(whole)
    except UnicodeEncodeError:
        faults.add(index, "", "text that is no Unicode", "text without lone surrogates")
        return b""
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
