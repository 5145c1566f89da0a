"""The fields of an ObjectEvent in JSON, and what stands in each (EPCIS 2.0, its JSON schema)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from node.domain.epcis import sensors
from node.domain.epcis.faults import Faults
from node.domain.epcis.vocabulary import (
    ENDING_STEPS,
    PARTIES,
    STATES,
    STEPS,
    TRANSACTIONS,
    Words,
    is_own_word,
    is_uri,
)
from node.domain.shapes import YEAR_MAX, YEAR_MIN
from node.errors import shown

ACTIONS = ("ADD", "OBSERVE", "DELETE")
ACTION_WANT = f"ADD or OBSERVE, or DELETE with bizStep {' or '.join(ENDING_STEPS)}"
Check = Callable[[Any, str, "Event"], None]

_OFFSET = re.compile(r"[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00)")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
_HASH = re.compile(r"ni:///[^\s/]{1,1000}", re.IGNORECASE)
_UNIT = re.compile(r"[A-Z0-9]{2,3}")


class Event:
    """An event that is looked at: its place in the document, and where its faults go."""

    def __init__(self, index: int, faults: Faults) -> None:
        self.index = index
        self.faults = faults

    def refuse(self, at: str, value: Any, want: str) -> None:
        """Note a fault of this event."""
        self.faults.add(self.index, at, value, want)


def check(event: dict[str, Any], index: int, faults: Faults) -> None:
    """Note everything that is wrong with the fields of an ObjectEvent."""
    seen = Event(index, faults)
    for name in _REQUIRED - event.keys():
        seen.refuse(name, "missing", _REQUIRED_AS[name])
    if event.get("action") == "DELETE" and not _is_end(event.get("bizStep")):
        seen.refuse("action", "DELETE", ACTION_WANT)
    for name, value in event.items():
        known = _FIELDS.get(name)
        if known is not None:
            known(value, name, seen)
        elif ":" not in name:
            seen.refuse(shown(name), "unknown", f"a field of ObjectEvent: {', '.join(_FIELDS)}, or one with a prefix")
    if "ilmd" in event and event.get("action") != "ADD":
        seen.refuse("ilmd", event["ilmd"], "none: only an event with action ADD has it")


def _is_end(step: Any) -> bool:
    return isinstance(step, str) and STEPS.bare(step) in ENDING_STEPS


def _text(want: str, fits: Callable[[str], Any]) -> Check:
    def look(value: Any, at: str, event: Event) -> None:
        if not (isinstance(value, str) and fits(value)):
            event.refuse(at, value, want)

    return look


def _word(words: Words, what: str) -> Check:
    want = f"{what} of the CBV, or the URI of another"
    return _text(want, lambda value: words.bare(value) is not None or is_own_word(value))


def _sensed(words: frozenset[str], what: str) -> Check:
    return _text(f"{what} or the URI of another", lambda value: sensors.is_word(words, value))


def _list(one: Check, *, least: int = 0, distinct: bool = False) -> Check:
    def look(value: Any, at: str, event: Event) -> None:
        if not isinstance(value, list) or len(value) < least:
            event.refuse(at, value, f"an array of {least} or more")
            return
        for place, each in enumerate(value):
            one(each, f"{at}[{place}]", event)
        if distinct and len({str(each) for each in value}) < len(value):
            event.refuse(at, value, "each once")

    return look


def _object(needs: set[str], own: bool = False, /, **fields: Check) -> Check:
    """An object with some fields; ``own`` ones, with a prefix, may stand beside them."""

    def look(value: Any, at: str, event: Event) -> None:
        if not isinstance(value, dict):
            event.refuse(at, value, "an object")
            return
        for name in sorted(needs - value.keys()):
            event.refuse(f"{at}.{name}", "missing", "it")
        for name, each in value.items():
            if name in fields:
                fields[name](each, f"{at}.{name}", event)
            elif not (own and ":" in name):
                event.refuse(f"{at}.{shown(name)}", "unknown", f"one of {', '.join(fields)}" if fields else "a prefix")

    return look


def _context(_: Any, __: str, ___: Event) -> None:
    """It was looked at with the document."""


def _number(value: Any, at: str, event: Event) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        event.refuse(at, value, "a number")


def _flag(value: Any, at: str, event: Event) -> None:
    if not isinstance(value, bool):
        event.refuse(at, value, "true or false")


def _uris(value: Any, at: str, event: Event) -> None:
    if isinstance(value, list):
        _list(_URI)(value, at, event)
    else:
        _URI(value, at, event)


def _no_correction(value: Any, at: str, event: Event) -> None:
    event.refuse(at, value, "none: what was recorded can't be taken back; record what is true as a new event")


def is_time(text: str) -> bool:
    """Whether a text is a time with its offset, that the calendar has, within sane years."""
    if not _TIME.fullmatch(text) or not YEAR_MIN <= int(text[:4]) < YEAR_MAX:
        return False
    whole, _, rest = text.partition(".")
    zone = rest.lstrip("0123456789") if rest else ""
    try:
        datetime.fromisoformat(whole + zone)
    except ValueError:
        return False
    return True


def _persistent(value: Any, at: str, event: Event) -> None:
    if value == {}:
        event.refuse(at, value, "set, unset or both")
    some = _list(_DISPOSITION, least=1, distinct=True)
    _object(set(), set=some, unset=some)(value, at, event)


_STRING = _text("text", lambda _: True)
_URI = _text("a URI", is_uri)
_TIMES = _text("a time such as 2026-05-01T08:00:00.000+08:00", is_time)
_DISPOSITION = _word(STATES, "a disposition")
_QUANTITY = _object({"epcClass"}, epcClass=_URI, quantity=_number, uom=_text("a unit such as KGM", _UNIT.fullmatch))
_PLACE = _object({"id"}, True, id=_URI)
_TAKEN = {"time": _TIMES, "deviceID": _URI, "deviceMetadata": _URI, "rawData": _URI, "dataProcessingMethod": _URI}
_REPORT = _object(
    {"type"},
    True,
    **_TAKEN,
    type=_sensed(sensors.MEASUREMENTS, "what is measured, such as Temperature,"),
    exception=_sensed(sensors.ALERTS, " or ".join(sorted(sensors.ALERTS)) + ","),
    component=_sensed(sensors.COMPONENTS, "a component such as x"),
    **dict.fromkeys(("microorganism", "chemicalSubstance", "coordinateReferenceSystem", "uriValue"), _URI),
    **dict.fromkeys(("value", "minValue", "maxValue", "meanValue", "sDev", "percRank", "percValue"), _number),
    **dict.fromkeys(("stringValue", "uom"), _STRING),
    booleanValue=_flag,
    hexBinaryValue=_text("hex digits", re.compile(r"[0-9A-Fa-f]+").fullmatch),
)
_METADATA = _object(set(), True, **_TAKEN, startTime=_TIMES, endTime=_TIMES, bizRules=_URI)

_FIELDS: dict[str, Check] = {
    "@context": _context,
    "type": _text("ObjectEvent", lambda value: value == "ObjectEvent"),
    "eventID": _text("a URI", lambda value: is_uri(value) or _HASH.fullmatch(value)),
    "eventTime": _TIMES,
    "eventTimeZoneOffset": _text("an offset such as +08:00", _OFFSET.fullmatch),
    "recordTime": _TIMES,
    "certificationInfo": _uris,
    "errorDeclaration": _no_correction,
    "action": _text(ACTION_WANT, lambda value: value in ACTIONS),
    "epcList": _list(_URI, least=1, distinct=True),
    "quantityList": _list(_QUANTITY),
    "bizStep": _word(STEPS, "a business step"),
    "disposition": _DISPOSITION,
    "persistentDisposition": _persistent,
    "readPoint": _PLACE,
    "bizLocation": _PLACE,
    "bizTransactionList": _list(
        _object({"bizTransaction"}, type=_word(TRANSACTIONS, "a kind of transaction"), bizTransaction=_URI)
    ),
    "sourceList": _list(_object({"type", "source"}, type=_word(PARTIES, "a kind of source"), source=_URI)),
    "destinationList": _list(
        _object({"type", "destination"}, type=_word(PARTIES, "a kind of destination"), destination=_URI)
    ),
    "sensorElementList": _list(
        _object({"sensorReport"}, True, sensorMetadata=_METADATA, sensorReport=_list(_REPORT, least=1)), least=1
    ),
    "ilmd": _object(set(), True),
}
_REQUIRED_AS = {
    "eventTime": "when it happened",
    "eventTimeZoneOffset": "an offset such as +08:00",
    "action": ACTION_WANT,
    "epcList": "the goods, one or more",
}
_REQUIRED = _REQUIRED_AS.keys()
