"""The event hash of CBV 2.0, section 8.9.2: what makes two events the same, whoever wrote them down and how.

The pre-hash string has the event's fields in the standard's order, values in canonical form, lists sorted, and the
extensions of other namespaces last. ``recordTime``, ``eventID``, ``errorDeclaration`` and comments are no part of it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from node.domain.epcis.ids import canonical
from node.domain.epcis.vocabulary import CBV, PARTIES, STATES, STEPS, TRANSACTIONS, Words

VERSION = "CBV2.0"


def _names(text: str) -> list[str]:
    return text.split()


_ORDER = _names(
    "eventTime eventTimeZoneOffset certificationInfo epcList parentID inputEPCList childEPCs quantityList "
    "childQuantityList inputQuantityList outputEPCList outputQuantityList action transformationID bizStep disposition "
    "persistentDisposition readPoint bizLocation bizTransactionList sourceList destinationList sensorElementList ilmd"
)
_ITEMS = {
    "epcList": "epc",
    "inputEPCList": "epc",
    "childEPCs": "epc",
    "outputEPCList": "epc",
    "quantityList": "quantityElement",
    "childQuantityList": "quantityElement",
    "inputQuantityList": "quantityElement",
    "outputQuantityList": "quantityElement",
    "bizTransactionList": "",
    "sourceList": "",
    "destinationList": "",
    "sensorElementList": "sensorElement",
    "sensorReport": "sensorReport",
    "set": "set",
    "unset": "unset",
}
"""A list → what each of its items is called; pairs of type and value have no name."""
_WITHIN = {
    "quantityList": "epcClass quantity uom",
    "childQuantityList": "epcClass quantity uom",
    "inputQuantityList": "epcClass quantity uom",
    "outputQuantityList": "epcClass quantity uom",
    "persistentDisposition": "set unset",
    "readPoint": "id",
    "bizLocation": "id",
    "bizTransactionList": "type bizTransaction",
    "sourceList": "type source",
    "destinationList": "type destination",
    "sensorElementList": "sensorMetadata sensorReport",
    "sensorMetadata": "time startTime endTime deviceID deviceMetadata rawData dataProcessingMethod bizRules",
    "sensorReport": "type exception deviceID deviceMetadata rawData dataProcessingMethod time microorganism "
    "chemicalSubstance value component stringValue booleanValue hexBinaryValue uriValue minValue maxValue meanValue "
    "sDev percRank percValue uom coordinateReferenceSystem",
}
"""A field with fields → their order."""
_BARE = {"certificationInfo", "persistentDisposition", "set", "unset", "sensorReport"}
"""Lists within a field, of which only the items are named."""
_IGNORED = {"type", "recordTime", "eventID", "errorDeclaration", "@context", "rdfs:comment"}
_VOCABULARY: dict[tuple[str, str], Words] = {
    ("", "bizStep"): STEPS,
    ("", "disposition"): STATES,
    ("set", ""): STATES,
    ("unset", ""): STATES,
    ("bizTransactionList", "type"): TRANSACTIONS,
    ("sourceList", "type"): PARTIES,
    ("destinationList", "type"): PARTIES,
}
_GS1 = "https://gs1.org/voc/"
_TERMS = {"type": _GS1, "exception": _GS1, "component": f"{CBV}Comp-"}
"""What bare words in a sensor report's fields are short for."""
_KNOWN = {"cbv": CBV, "gs1": _GS1, "cbvmda": "urn:epcglobal:cbv:mda:", "epcis": "https://ref.gs1.org/epcis/"}
_DAY, _CLOCK = r"[0-9]{4}-[0-9]{2}-[0-9]{2}", r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
_MOMENT = re.compile(rf"{_DAY}T{_CLOCK}(?:Z|[+-][0-9]{{2}}:[0-9]{{2}})")


def event_hash(event: Mapping[str, Any], namespaces: Mapping[str, str]) -> str:
    """The event's hash as a URI, ``ni:///sha-256;…?ver=CBV2.0``. ``namespaces`` are the prefixes of its context."""
    digest = hashlib.sha256(pre_hash(event, namespaces).encode()).hexdigest()
    return f"ni:///sha-256;{digest}?ver={VERSION}"


def pre_hash(event: Mapping[str, Any], namespaces: Mapping[str, str]) -> str:
    """What is hashed. ValueError for a prefix that no namespace is known of."""
    known = {**_KNOWN, **namespaces}
    fields = "".join(_field("", name, event[name], known) for name in _ORDER if name in event)
    others = {name: value for name, value in event.items() if name not in _ORDER and name not in _IGNORED}
    return f"eventType={event['type']}{fields}{_extensions(others, known)}"


def _field(within: str, name: str, value: Any, known: Mapping[str, str]) -> str:
    """One field of the standard, with its name; empty if there is nothing in it."""
    if value is None or value == [] or value == {} or value == "":
        return ""
    if name == "ilmd":
        return f"ilmd{_extensions(value, known)}"
    if isinstance(value, list):
        items = [_item(name, each, known) for each in value]
        return ("" if name in _BARE else name) + "".join(sorted(items))
    if isinstance(value, Mapping):
        return name + _inner(name, value, known)
    return f"{name}={_value(within, name, value, known)}"


def _item(name: str, value: Any, known: Mapping[str, str]) -> str:
    called = _ITEMS.get(name, name)
    if isinstance(value, Mapping):
        return called + _inner(name, value, known)
    return f"{called}={_value(name, '', value, known)}"


def _inner(name: str, value: Mapping[str, Any], known: Mapping[str, str]) -> str:
    """The fields of a field: those of the standard in its order, then the extensions."""
    order = _names(_WITHIN.get(name, ""))
    others = {key: each for key, each in value.items() if key not in order and key not in _IGNORED}
    return "".join(_field(name, key, value[key], known) for key in order if key in value) + _extensions(others, known)


def _extensions(members: Mapping[str, Any], known: Mapping[str, str]) -> str:
    """Members of other namespaces, each with its full name, sorted."""
    return "".join(
        sorted(_extension(_full(name, known), value, known) for name, value in members.items() if name not in _IGNORED)
    )


def _extension(name: str, value: Any, known: Mapping[str, str]) -> str:
    if isinstance(value, list):
        return "".join(sorted(_extension(name, each, known) for each in value))
    if isinstance(value, Mapping):
        return name + _extensions(value, known)
    return f"{name}={_plain(value)}"


def _full(name: str, known: Mapping[str, str]) -> str:
    prefix, colon, local = name.partition(":")
    if not colon:
        return name
    if prefix not in known:
        raise ValueError(f"{name}: want a prefix that the context has")
    return f"{{{known[prefix]}}}{local}"


def _value(within: str, name: str, value: Any, known: Mapping[str, str]) -> str:
    """A value of the standard's own fields."""
    text = _plain(value)
    words = _VOCABULARY.get((within, name))
    if words is not None and words.bare(text) is not None:
        return words.uri(text)
    prefix, colon, local = text.partition(":")
    if within == "sensorReport" and name in _TERMS and not colon:
        return _TERMS[name] + text
    if colon and prefix in known and prefix not in ("http", "https", "urn"):
        return known[prefix] + local
    return canonical(text)


def _plain(value: Any) -> str:
    """A value without white space around it, numbers without idle zeros, times in UTC to the millisecond."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int | float):
        return str(int(value)) if value == int(value) else repr(value)
    text = str(value).strip()
    return utc_millis(text) if is_moment(text) else canonical(text)


def is_moment(text: str) -> bool:
    """Whether this is written as a time of RFC 3339, with its zone."""
    return _MOMENT.fullmatch(text) is not None


def utc_millis(text: str) -> str:
    """A time of RFC 3339 in UTC, cut to milliseconds; ValueError for a time that no calendar has."""
    when = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).astimezone(UTC)
    return when.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
