"""Queries for events, as EPCIS 2.0's REST interface has them in the address: what is asked, and what an event needs to
be in the answer. Several values of one parameter stand between ``|``; parameters are joined by "and"."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from node.domain.epcis.hash import is_moment, utc_millis
from node.domain.epcis.vocabulary import ACTIONS, EVENT_TYPES, STATES, STEPS, Words, is_uri
from node.errors import shown

PER_PAGE_DEFAULT = 30
PER_PAGE_MAX = 1_000
VALUES_MAX = 100
PENDING = "vtrace:pending"
NEVER = "~"
"""Behind every time."""
_TOKEN = re.compile(r"([0-9]{1,18})-([0-9a-f]{16})")
_NUMBER = re.compile(r"[0-9]{1,9}")


class QueryFault(Exception):
    """A query that can't be answered; the message names parameter, value and what is wanted."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked. Times are as events have them, in UTC to the millisecond.

    ``epcs`` has for each MATCH parameter the EPCs of which the event needs one; ``equal`` the values of which a field
    needs one; ``times`` the bounds by their parameters. ``after`` is the circ that the page before ended with, and
    ``digest`` tells this query's pages from others'.
    """

    epcs: tuple[frozenset[str], ...] = ()
    equal: Mapping[str, frozenset[str]] = field(default_factory=dict)
    times: Mapping[str, str] = field(default_factory=dict)
    pending: bool = False
    per_page: int = PER_PAGE_DEFAULT
    after: int = 0
    digest: str = ""

    def takes(self, event: Mapping[str, Any]) -> bool:
        """Whether an event is in the answer, as far as EPCs and record times don't decide it."""
        at = event["eventTime"]
        if not self.times.get("GE_eventTime", at) <= at < self.times.get("LT_eventTime", NEVER):
            return False
        return all(_text(event.get(name)) in wanted for name, wanted in self.equal.items())

    def token(self, after: int) -> str:
        """What stands for the page behind a circ."""
        return f"{after}-{self.digest}"

    def recorded_micros(self) -> tuple[int | None, int | None]:
        """The bounds of the time of record in microseconds since 1970, None where there is none."""
        first, last = (self.times.get(name) for name in ("GE_recordTime", "LT_recordTime"))
        return _micros(first) if first else None, _micros(last) if last else None


def parse(parameters: Iterable[tuple[str, str]]) -> Query:
    """The query of an address; QueryFault for a parameter that is unknown, said twice or wrong."""
    given: dict[str, str] = {}
    for name, value in parameters:
        if name in given:
            raise QueryFault(f"{shown(name)}: said twice, want it once (several values stand between |)")
        if name not in _PARAMETERS:
            raise QueryFault(f"{shown(name)}: unknown or not supported, want one of {', '.join(_PARAMETERS)}")
        given[name] = value
    query = Query()
    for name, value in given.items():
        query = _PARAMETERS[name](query, name, value)
    told = sorted((name, value) for name, value in given.items() if name not in ("perPage", "nextPageToken"))
    query = replace(query, digest=hashlib.sha256(repr(told).encode()).hexdigest()[:16])
    return _placed(query, given["nextPageToken"]) if "nextPageToken" in given else query


def _placed(query: Query, token: str) -> Query:
    found = _TOKEN.fullmatch(token)
    if not found or found[2] != query.digest:
        raise QueryFault(f"nextPageToken: {shown(token)}, want the token of the page before, with the same query")
    return replace(query, after=int(found[1]))


def _values(name: str, text: str) -> list[str]:
    values = text.split("|")
    if not all(values) or len(values) > VALUES_MAX:
        raise QueryFault(f"{name}: {shown(text)}, want 1 to {VALUES_MAX} values between |")
    return values


def _epcs(query: Query, name: str, text: str) -> Query:
    values = _values(name, text)
    for each in values:
        if not is_uri(each):
            raise QueryFault(f"{name}: {shown(each)}, want the URI of an EPC")
    return replace(query, epcs=(*query.epcs, frozenset(values)))


def _among(field_name: str, known: Iterable[str]) -> Callable[[Query, str, str], Query]:
    allowed = tuple(known)

    def take(query: Query, name: str, text: str) -> Query:
        values = frozenset(_values(name, text))
        if not values <= set(allowed):
            raise QueryFault(f"{name}: {shown(text)}, want {' or '.join(allowed)}")
        return replace(query, equal={**query.equal, field_name: values})

    return take


def _word(field_name: str, words: Words) -> Callable[[Query, str, str], Query]:
    def take(query: Query, name: str, text: str) -> Query:
        found = []
        for each in _values(name, text):
            term = words.bare(each)
            if term is None and not is_uri(each):
                raise QueryFault(f"{name}: {shown(each)}, want a word of CBV 2.0 such as shipping, or a URI")
            found.append(term or each)
        return replace(query, equal={**query.equal, field_name: frozenset(found)})

    return take


def _uri(field_name: str) -> Callable[[Query, str, str], Query]:
    def take(query: Query, name: str, text: str) -> Query:
        values = _values(name, text)
        for each in values:
            if not is_uri(each):
                raise QueryFault(f"{name}: {shown(each)}, want a URI")
        return replace(query, equal={**query.equal, field_name: frozenset(values)})

    return take


def _time(query: Query, name: str, text: str) -> Query:
    text = text.replace(" ", "+")  # what + is in an address
    try:
        at = utc_millis(text) if is_moment(text) else ""
    except (ValueError, OverflowError):
        at = ""
    if not at:
        raise QueryFault(f"{name}: {shown(text)}, want a time with its zone, such as 2026-05-01T08:00:00.000Z")
    return replace(query, times={**query.times, name: at})


def _per_page(query: Query, name: str, text: str) -> Query:
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= PER_PAGE_MAX:
        raise QueryFault(f"{name}: {shown(text)}, want 1 to {PER_PAGE_MAX}")
    return replace(query, per_page=int(text))


def _pending(query: Query, name: str, text: str) -> Query:
    if text not in ("true", "false"):
        raise QueryFault(f"{name}: {shown(text)}, want true or false")
    return replace(query, pending=text == "true")


def _unchanged(query: Query, _name: str, _text: str) -> Query:
    return query


_PARAMETERS: dict[str, Callable[[Query, str, str], Query]] = {
    "eventType": _among("type", EVENT_TYPES),
    "GE_eventTime": _time,
    "LT_eventTime": _time,
    "GE_recordTime": _time,
    "LT_recordTime": _time,
    "EQ_action": _among("action", ACTIONS),
    "EQ_bizStep": _word("bizStep", STEPS),
    "EQ_disposition": _word("disposition", STATES),
    "EQ_readPoint": _uri("readPoint"),
    "EQ_bizLocation": _uri("bizLocation"),
    "EQ_eventID": _uri("eventID"),
    "MATCH_epc": _epcs,
    "MATCH_anyEPC": _epcs,
    "perPage": _per_page,
    "nextPageToken": _unchanged,
    PENDING: _pending,
}


def _text(value: Any) -> str:
    found = value.get("id", "") if isinstance(value, dict) else value
    return found if isinstance(found, str) else ""


def _micros(text: str) -> int:
    at = datetime.fromisoformat(text)
    return (int(at.replace(microsecond=0).astimezone(UTC).timestamp()) * 1_000 + at.microsecond // 1000) * 1_000
