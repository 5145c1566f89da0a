"""Documents as they come: what is taken, and every way in which one can be none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from node.domain.epcis import document
from node.domain.epcis.document import DOCUMENT_BYTES_MAX, EVENTS_MAX, events_of, parse
from node.domain.epcis.faults import FAULTS_MAX, Faulty, TooLarge
from tests.support.epcis import CONTEXT, event
from tests.support.epcis import document as made

COOP = {"coop": "https://ns.example.org/coop/"}


def _events(value: Any) -> list[Any]:
    return [given.event for given in events_of(value)]


def test_the_events_of_every_kind_of_document() -> None:
    one, other = event("urn:x:1"), event("urn:x:2")
    assert _events(made(one, other)) == [one, other]
    results = {"queryResults": {"queryName": "SimpleEventQuery", "resultsBody": {"eventList": [one, other]}}}
    assert _events(made() | {"type": "EPCISQueryDocument", "epcisBody": results}) == [one, other]
    assert _events(made() | {"epcisBody": {"event": other}}) == [other]
    alone = one | {"@context": CONTEXT}
    assert _events(alone) == [alone]


def test_an_event_has_the_contexts_of_its_document_and_its_own() -> None:
    given = events_of(made(event("urn:x:1"), event("urn:x:2") | {"@context": COOP}, context=[CONTEXT, {"a": "urn:a:"}]))
    assert [document.namespaces_of(each.contexts) for each in given] == [{"a": "urn:a:"}, {"a": "urn:a:"} | COOP]
    assert [each.index for each in given] == [0, 1]


NO_JSON = [
    (b"", "line 1"),
    (b"{", "line 1"),
    (b"[1,]", "line 1"),
    (b"'a'", "line 1"),
    (b'{"a": NaN}', "NaN"),
    (b'{"a": -Infinity}', "-Infinity"),
    (b'{"a": 1, "a": 1}', "the name a twice"),
    (b'{"\xff": 1}', "byte 2 of 8"),
    (b'{"a": 1e999}', "the number 1e999"),
    (b'{"a": 0.12345678901234567890123}', "the number 0.123"),
    (b'{"a": ' + b"9" * 5_000 + b"}", "digits"),
    (b'{"a": "\\ud83d\\ude00 \\uD800"}', "half of a surrogate pair"),
    (b"[" * 100_000, "deeper"),
    (b"[" * 41 + b"]" * 41, "deeper"),
]


@pytest.mark.parametrize(("body", "told"), NO_JSON, ids=range(len(NO_JSON)))
def test_what_is_no_json_is_refused(body: bytes, told: str) -> None:
    with pytest.raises(Faulty) as refused:
        parse(body)
    (fault,) = refused.value.faults
    assert (fault.event, fault.field) == (None, "")
    assert told in f"{fault.value} {fault.want}"


def test_numbers_and_text_stay_as_they_are() -> None:
    body = '{"a":[1.50,-0,12e3,9007199254740993],"茶":"é\\u0041"}'.encode()
    assert json.dumps(parse(body), ensure_ascii=False) == '{"a": [1.5, 0, 12000.0, 9007199254740993], "茶": "éA"}'


def test_a_document_has_bounds() -> None:
    with pytest.raises(TooLarge, match="bytes"):
        parse(b" " * (DOCUMENT_BYTES_MAX + 1))
    with pytest.raises(TooLarge, match="members"):
        parse(b"[" + b"0," * document.MEMBERS_MAX + b"0]")
    with pytest.raises(TooLarge, match=f"{EVENTS_MAX + 1} events"):
        events_of(made(*[event("urn:x:1")] * (EVENTS_MAX + 1)))
    assert len(events_of(made(*[event("urn:x:1")] * EVENTS_MAX))) == EVENTS_MAX


REFUSED: list[tuple[Any, str, str]] = [
    ([], "body", "an array of 0"),
    (None, "body", "null"),
    ("text", "body", "text"),
    ({}, "@context", "null"),
    (event("urn:x:1"), "@context", "null"),
    ({"type": ["EPCISDocument"]}, "@context", "null"),
    (made(event("urn:x:1"), context="https://ns.example.org/context.jsonld"), "@context", "https://ns.example.org"),
    (made(event("urn:x:1"), context=[CONTEXT, "https://ns.example.org/c.jsonld"]), "@context", "https://ns.example"),
    (made(event("urn:x:1"), context=[CONTEXT, 7]), "@context", "7"),
    (made(event("urn:x:1"), context=[CONTEXT, {"@vocab": "https://ns.example.org/"}]), "@context.@vocab", "unknown"),
    (made(event("urn:x:1"), context=[CONTEXT, {"a": {"@id": "urn:a:"}}]), "@context.a", "an object"),
    (made(event("urn:x:1"), context=[CONTEXT, {"a": "no namespace"}]), "@context.a", "no namespace"),
    (made(event("urn:x:1"), context=[CONTEXT, {"urn": "https://ns.example.org/"}]), "@context.urn", "unknown"),
    (made(event("urn:x:1"), context=[CONTEXT, {"cbv": "https://ns.example.org/"}]), "@context.cbv", "https://ns.exa"),
    (made(event("urn:x:1"), schemaVersion="1.2"), "schemaVersion", "1.2"),
    (made(event("urn:x:1"), schemaVersion=2.0), "schemaVersion", "2.0"),
    (made(event("urn:x:1"), creationDate=None), "creationDate", "null"),
    (made(event("urn:x:1"), colour="red"), "colour", "unknown"),
    (made(event("urn:x:1"), epcisHeader={"epcisMasterData": {"vocabularyList": []}}), "epcisHeader", "an object"),
    (made(), "epcisBody.eventList", "an array of 0"),
    (made() | {"epcisBody": []}, "epcisBody.eventList", "null"),
    (made() | {"epcisBody": {"eventList": {}}}, "epcisBody.eventList", "an object"),
    (made() | {"type": "EPCISQueryDocument"}, "epcisBody.queryResults.resultsBody.eventList", "null"),
    (made(event("urn:x:1"), "event"), "eventList[1]", "event"),
    (made(event("urn:x:1") | {"@context": {"1": "urn:a:"}}), "eventList[0].@context.1", "unknown"),
    (made(event("urn:x:1") | {"@context": "urn:a:"}), "eventList[0].@context", "urn:a:"),
]


@pytest.mark.parametrize(("value", "at", "told"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_document_is_refused(value: Any, at: str, told: str) -> None:
    with pytest.raises(Faulty) as refused:
        events_of(value)
    fault = refused.value.faults[0]
    assert fault.at == at
    assert fault.value.startswith(told)
    assert fault.want


def test_all_faults_are_told_up_to_a_bound() -> None:
    with pytest.raises(Faulty) as refused:
        events_of(made(*[7] * (FAULTS_MAX + 5), schemaVersion="1"))
    assert len(refused.value.faults) == FAULTS_MAX
    assert refused.value.left_out == 6
