"""EPCIS documents as they come: strict JSON within bounds, and the events in it, each with the context that it needs.

Taken are an EPCISDocument, an EPCISQueryDocument (what a query answers) and one event alone.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

from node.domain import bounded_json
from node.domain.epcis.faults import Fault, Faults, Faulty, TooLarge, told
from node.domain.epcis.vocabulary import CBV
from node.domain.form import FORM_DEPTH_MAX
from node.errors import shown

DOCUMENT_BYTES_MAX = 4 * 1024 * 1024
EVENTS_MAX = 1_000
MEMBERS_MAX = 500_000
"""Members and elements of a whole document."""
DEPTH_MAX = FORM_DEPTH_MAX + 8
VERSION = "2.0"
DOCUMENT, QUERY_DOCUMENT = "EPCISDocument", "EPCISQueryDocument"
CONTEXT = "@context"
EPCIS_CONTEXTS = (
    "https://ref.gs1.org/standards/epcis/epcis-context.jsonld",
    "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld",
    "https://ref.gs1.org/standards/epcis/2.0.1/epcis-context.jsonld",
    "https://gs1.github.io/EPCIS/epcis-context.jsonld",
)
_KNOWN = {
    DOCUMENT: {"epcisHeader", "epcisBody"},
    QUERY_DOCUMENT: {"epcisBody", "subscriptionID", "queryName"},
}
_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_NAMESPACE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_PROTECTED = {"cbv": CBV, "gs1": "https://gs1.org/voc/", "epcis": "https://ref.gs1.org/epcis/"}
_SCHEMES = ("http", "https", "urn", "ni")
_ENVELOPE = {CONTEXT, "id", "type", "schemaVersion", "creationDate", "sender", "receiver", "instanceIdentifier"}


@dataclass(frozen=True, slots=True)
class Given:
    """One event of a document at its place, from 0. ``contexts`` are those that say what its names mean."""

    index: int
    event: dict[str, Any]
    contexts: tuple[Any, ...]


def parse(body: bytes, bytes_max: int = DOCUMENT_BYTES_MAX, members_max: int = MEMBERS_MAX) -> Any:
    """A JSON text (RFC 8259, UTF-8) as Python has it. Faulty where it is none, or would not come back as it was."""
    if len(body) > bytes_max:
        raise TooLarge(f"{len(body)} bytes, want at most {bytes_max}")
    try:
        text = body.decode("utf-8")
        value = bounded_json.loads(
            text, object_pairs_hook=_each_name_once, parse_float=_float, parse_constant=_no_constant
        )
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _refused("half of a surrogate pair", "text of Unicode characters") from None
    except UnicodeDecodeError as fault:
        raise _refused(f"byte {fault.start} of {len(body)}", "JSON in UTF-8") from None
    except json.JSONDecodeError as fault:
        raise _refused(f"line {fault.lineno} column {fault.colno}: {fault.msg}", "JSON") from None
    except bounded_json.TooDeep:
        raise _refused("deeper", f"at most {DEPTH_MAX} levels of objects and arrays") from None
    except ValueError as fault:
        raise _refused(str(fault), "JSON with each name once in an object, and numbers that a double holds") from None
    _hold_bounds(value, members_max)
    return value


def events_of(value: Any, events_max: int = EVENTS_MAX) -> list[Given]:
    """The events of a document, which must all be objects. Faulty for what is no document, TooLarge for too many."""
    faults = Faults()
    if not isinstance(value, dict):
        raise _refused(told(value), f"an object: an {DOCUMENT}, or an event")
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in _KNOWN:
        alone = Given(0, value, tuple(_contexts(value.get(CONTEXT), None, faults)))
        faults.refuse_if_any()
        return [alone]
    for name in value.keys() - _ENVELOPE - _KNOWN[kind]:
        if ":" not in name:
            faults.add(None, shown(name), "unknown", f"a field of {kind}")
    if value.get("schemaVersion") not in (VERSION, f"{VERSION}.0"):
        faults.add(None, "schemaVersion", value.get("schemaVersion"), f'"{VERSION}"')
    if not isinstance(value.get("creationDate"), str):
        faults.add(None, "creationDate", value.get("creationDate"), "a time such as 2026-05-01T08:00:00Z")
    header = value.get("epcisHeader", {})
    if header != {}:
        faults.add(None, "epcisHeader", header, "none: master data is not captured here")
    contexts = tuple(_contexts(value.get(CONTEXT), None, faults))
    found, at = _event_list(value, kind)
    if not isinstance(found, list) or not found:
        faults.add(None, at, found, "an array of one event or more")
        found = []
    if len(found) > events_max:
        raise TooLarge(f"{len(found)} events, want at most {events_max} in a document")
    given = []
    for index, event in enumerate(found):
        if isinstance(event, dict):
            own = _contexts(event[CONTEXT], index, faults) if CONTEXT in event else []
            given.append(Given(index, event, (*contexts, *own)))
        else:
            faults.add(index, "", event, "an object: an event")
    faults.refuse_if_any()
    return given


def namespaces_of(contexts: tuple[Any, ...]) -> dict[str, str]:
    """The prefixes that contexts declare, with their namespaces."""
    found: dict[str, str] = {}
    for context in contexts:
        if isinstance(context, dict):
            found.update(context)
    return found


def _event_list(value: dict[str, Any], kind: str) -> tuple[Any, str]:
    at = "epcisBody"
    inner = value.get(at)
    if kind == QUERY_DOCUMENT:
        for name in ("queryResults", "resultsBody"):
            inner, at = inner.get(name) if isinstance(inner, dict) else None, f"{at}.{name}"
    if isinstance(inner, dict) and "event" in inner and "eventList" not in inner:
        return [inner["event"]], f"{at}.event"
    return (inner.get("eventList") if isinstance(inner, dict) else None), f"{at}.eventList"


def _contexts(given: Any, index: int | None, faults: Faults) -> list[Any]:
    """A @context as a list; strings must be EPCIS's own, since what another says would have to be fetched."""
    contexts = given if isinstance(given, list) else [given]
    if index is None and not any(context in EPCIS_CONTEXTS for context in contexts if isinstance(context, str)):
        faults.add(index, CONTEXT, given, f"{EPCIS_CONTEXTS[0]}, alone or in an array")
    for context in contexts:
        if isinstance(context, str) and context not in EPCIS_CONTEXTS:
            faults.add(index, CONTEXT, context, "EPCIS's own context, and namespaces written out as an object")
        elif isinstance(context, dict):
            for name, namespace in context.items():
                if not _PREFIX.fullmatch(name) or name in _SCHEMES:
                    faults.add(index, f"{CONTEXT}.{shown(name)}", "unknown", "a prefix of letters, digits, - and _")
                elif not (isinstance(namespace, str) and _NAMESPACE.fullmatch(namespace)):
                    faults.add(index, f"{CONTEXT}.{name}", namespace, "the URI of a namespace")
                elif namespace != _PROTECTED.get(name, namespace):
                    faults.add(index, f"{CONTEXT}.{name}", namespace, _PROTECTED[name])
        elif not isinstance(context, str):
            faults.add(index, CONTEXT, context, "a URI, an object, or an array of them")
    return contexts


def _hold_bounds(value: Any, members_max: int) -> None:
    depth, members, level = 0, 0, [value]
    while level:
        inner = [one for one in level if isinstance(one, dict | list)]
        depth += bool(inner)
        members += sum(map(len, inner))
        if depth > DEPTH_MAX:
            raise _refused("deeper", f"at most {DEPTH_MAX} levels of objects and arrays")
        if members > members_max:
            raise TooLarge(f"more than {members_max} members and elements")
        level = [each for one in inner for each in (one.values() if isinstance(one, dict) else one)]


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the name {shown(twice)} twice in an object")
    return made


def _float(text: str) -> float:
    found = float(text)
    # What is recorded is written anew: a number that a double can't hold would become another one.
    if not math.isfinite(found) or Decimal(repr(found)) != Decimal(text):
        raise ValueError(f"the number {shown(text)}")
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text}, which JSON does not have")


def _refused(value: str, want: str) -> Faulty:
    return Faulty([Fault(None, "", shown(value), want)])
