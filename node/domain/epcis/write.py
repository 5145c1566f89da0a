"""A circ as an event of EPCIS 2.0. Every event is an ObjectEvent, and follows from the circ alone: asked again it is
the same, with the same hash, whichever node is asked and however the chain forked meanwhile.

What a form says in EPCIS's own words is taken over where it is well-formed: ``eventTime`` with ``eventTimeZoneOffset``,
``bizStep``, ``disposition``, ``readPoint``, ``bizLocation``, ``bizTransactionList``, ``sourceList``,
``destinationList``. Anybody may record any form, so what isn't well-formed counts as not said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from node.domain.epcis.hash import event_hash, is_moment, utc_millis
from node.domain.epcis.ids import Item, epc_of, party_of
from node.domain.epcis.vocabulary import (
    CONTEXT,
    ENDING_STEPS,
    NAMESPACES,
    OBJECT_EVENT,
    PARTIES,
    STATE_OF_RESULT,
    STATE_OF_STEP,
    STATE_OTHERWISE,
    STATES,
    STEP_OF_KIND,
    STEP_OF_WORD,
    STEPS,
    TRANSACTIONS,
    Words,
    is_own_word,
    is_uri,
)
from node.domain.form import NO_SALT, ProduceForm, form_digest
from node.domain.model import CircType
from node.domain.trace import Alarm, alarm_of, members_of

LIST_LENGTH_MAX = 100
"""Transactions, sources and destinations that are taken from one form."""
_OFFSET = re.compile(r"[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00)")

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A circ with all its goods (ascending), as an event needs it. ``operator`` and ``to`` are actors, ``recorded_at``
    microseconds since 1970; ``is_first`` says that it made the goods."""

    id: int
    circ_type: CircType
    operator: int
    to: int
    form: bytes
    salt: bytes
    trans_id: str
    recorded_at: int
    items: tuple[Item, ...]
    is_first: bool


def event_of(circ: Recorded, base: str) -> Event:
    """The event of a circ. ``base`` is the beginning of the contract's private URNs (``ids.base_of``)."""
    said = members_of(circ.form) or {}
    step = _step(circ, said)
    event: Event = {
        "type": OBJECT_EVENT,
        "eventID": "",
        **_times(circ, said),
        "epcList": [epc_of(item.goods_id, item.gtin, base) for item in circ.items],
        "action": _action(circ, step),
        "bizStep": step,
        "disposition": _disposition(circ, said, step),
    }
    for place in ("readPoint", "bizLocation"):
        where = _place(said.get(place))
        if where is not None:
            event[place] = {"id": where}
    transactions = _pairs(said.get("bizTransactionList"), "bizTransaction", TRANSACTIONS)
    sources = _pairs(said.get("sourceList"), "source", PARTIES)
    destinations = _pairs(said.get("destinationList"), "destination", PARTIES)
    if circ.circ_type is CircType.TRANSFER:
        party = "possessing_party"
        sources = sources or [{"type": party, "source": party_of(circ.operator, base)}]
        destinations = destinations or [{"type": party, "destination": party_of(circ.to, base)}]
    lists = {"bizTransactionList": transactions, "sourceList": sources, "destinationList": destinations}
    event |= {name: found for name, found in lists.items() if found}
    event |= _ilmd(circ)
    event |= _extension(circ, base)
    # A captured event is told by the hash of what is told of it; by this whoever gave it finds it again.
    given = said.get("eventID") if said.get("type") == OBJECT_EVENT else None
    if isinstance(given, str) and is_uri(given):
        event["vtrace:captured_event"] = given
    event["eventID"] = event_hash(event, NAMESPACES)
    return event


def context() -> list[Any]:
    """The ``@context`` of every document."""
    return [CONTEXT, dict(NAMESPACES)]


def query_document(events: Sequence[Event], now: int) -> dict[str, Any]:
    """The answer of a query at ``now``, in microseconds since 1970."""
    results = {"queryName": "SimpleEventQuery", "resultsBody": {"eventList": list(events)}}
    return {**head("EPCISQueryDocument", now), "epcisBody": {"queryResults": results}}


def head(document_type: str, now: int) -> dict[str, Any]:
    """What a document begins with."""
    return {"@context": context(), "type": document_type, "schemaVersion": "2.0", "creationDate": moment(now)}


def moment(micros: int) -> str:
    """A time in microseconds since 1970 as events have it: in UTC, cut to milliseconds."""
    when = datetime.fromtimestamp(micros // 1_000_000, UTC).replace(microsecond=micros % 1_000_000, tzinfo=None)
    return when.isoformat(timespec="milliseconds") + "Z"


def _times(circ: Recorded, said: Mapping[str, Any]) -> dict[str, str]:
    recorded = moment(circ.recorded_at)
    at, offset = said.get("eventTime"), said.get("eventTimeZoneOffset")
    happened, zone = recorded, "+00:00"
    if isinstance(at, str) and isinstance(offset, str) and _OFFSET.fullmatch(offset) and is_moment(at):
        try:
            happened, zone = utc_millis(at), offset
        except (ValueError, OverflowError):
            happened = recorded
    return {"eventTime": happened, "recordTime": recorded, "eventTimeZoneOffset": zone}


def _step(circ: Recorded, said: Mapping[str, Any]) -> str:
    if circ.is_first:
        return STEP_OF_KIND[CircType.PRODUCE]
    named = _word(said.get("bizStep"), STEPS)
    if named is not None:
        return named
    if circ.circ_type is CircType.PROCESS and isinstance(said.get("step"), str):
        word = re.split(r"[\s,;:，；：_-]", said["step"].strip().lower(), maxsplit=1)[0]
        return STEP_OF_WORD.get(word, STEP_OF_KIND[CircType.PROCESS])
    return STEP_OF_KIND[circ.circ_type]


def _action(circ: Recorded, step: str) -> str:
    if circ.is_first:
        return "ADD"
    return "DELETE" if step in ENDING_STEPS else "ADD" if step == "commissioning" else "OBSERVE"


def _disposition(circ: Recorded, said: dict[str, Any], step: str) -> str:
    named = _word(said.get("disposition"), STATES)
    if named is not None:
        return named
    if alarm_of(circ.circ_type, said) is Alarm.RECALL:
        return "recalled"
    result = said.get("result")
    if circ.circ_type is CircType.EXAM and isinstance(result, str):
        verdict = STATE_OF_RESULT.get(result.strip(" \t\r\n").lower())
        if verdict is not None:
            return verdict
    return STATE_OF_STEP.get(step, STATE_OTHERWISE)


def _word(value: Any, words: Words) -> str | None:
    """A word of CBV in any of its forms as the bare term, or a word of somebody's own as its URI."""
    if not isinstance(value, str):
        return None
    term = words.bare(value.strip())
    return term if term is not None else value.strip() if is_own_word(value.strip()) else None


def _place(value: Any) -> str | None:
    """A place: a URI, or an object with one as ``id``."""
    where = value.get("id") if isinstance(value, dict) else value
    return where if isinstance(where, str) and is_uri(where) else None


def _pairs(value: Any, name: str, words: Words) -> list[dict[str, str]]:
    """A list of types and URIs, all of it or none."""
    if not isinstance(value, list) or len(value) > LIST_LENGTH_MAX:
        return []
    found: list[dict[str, str]] = []
    for each in value:
        uri = each.get(name) if isinstance(each, dict) else None
        if not isinstance(uri, str) or not is_uri(uri) or not each.keys() <= {"type", name}:
            return []
        kind = _word(each.get("type"), words)
        if kind is None:
            return []
        found.append({"type": kind, name: uri})
    return found


def _ilmd(circ: Recorded) -> dict[str, Any]:
    """The lot of the goods and its date, as the circ that made them has anchored them."""
    if not circ.is_first:
        return {}
    try:
        serial = ProduceForm.from_bytes(circ.form).serial
    except ValueError:
        return {}
    ilmd = {"cbvmda:lotNumber": str(serial.id)}
    if is_moment(serial.product_time):
        ilmd["cbvmda:productionDate"] = serial.product_time[:10]
    return {"ilmd": ilmd}


def _extension(circ: Recorded, base: str) -> dict[str, str]:
    extension = {
        "vtrace:trans_id": circ.trans_id,
        "vtrace:circ_type": circ.circ_type.name.lower(),
        "vtrace:operator": party_of(circ.operator, base),
    }
    if circ.salt != NO_SALT:
        extension["vtrace:form_digest"] = f"0x{form_digest(circ.salt, circ.form).hex()}"
    return extension
