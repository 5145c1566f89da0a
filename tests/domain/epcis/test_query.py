"""What queries are understood, and what is said of those that aren't."""

from __future__ import annotations

from typing import Any

import pytest

from node.domain.epcis.query import PER_PAGE_DEFAULT, Query, QueryFault, parse

EVENT: dict[str, Any] = {
    "type": "ObjectEvent",
    "eventID": "ni:///sha-256;ab?ver=CBV2.0",
    "eventTime": "2026-05-01T08:30:00.500Z",
    "action": "OBSERVE",
    "bizStep": "shipping",
    "disposition": "in_transit",
    "readPoint": {"id": "https://id.gs1.org/414/6901234567892"},
}


def test_nothing_asked_is_everything() -> None:
    query = parse([])
    assert (query.epcs, query.per_page, query.after, query.pending) == ((), PER_PAGE_DEFAULT, 0, False)
    assert query.takes(EVENT)
    assert query.recorded_micros() == (None, None)


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        ("eventType", "ObjectEvent", True),
        ("eventType", "AggregationEvent|ObjectEvent", True),
        ("eventType", "TransformationEvent", False),
        ("EQ_action", "ADD|OBSERVE", True),
        ("EQ_action", "DELETE", False),
        ("EQ_bizStep", "shipping", True),
        ("EQ_bizStep", "packing|cbv:BizStep-shipping", True),
        ("EQ_bizStep", "https://ref.gs1.org/cbv/BizStep-shipping", True),
        ("EQ_bizStep", "urn:epcglobal:cbv:bizstep:packing", False),
        ("EQ_bizStep", "https://example.com/roast", False),
        ("EQ_disposition", "in_transit", True),
        ("EQ_disposition", "damaged", False),
        ("EQ_readPoint", "https://id.gs1.org/414/6901234567892", True),
        ("EQ_bizLocation", "https://id.gs1.org/414/6901234567892", False),
        ("EQ_eventID", "ni:///sha-256;ab?ver=CBV2.0", True),
        ("EQ_eventID", "ni:///sha-256;cd?ver=CBV2.0", False),
        ("GE_eventTime", "2026-05-01T08:30:00.500Z", True),
        ("GE_eventTime", "2026-05-01T16:30:00.5+08:00", True),
        ("GE_eventTime", "2026-05-01T16:30:00.5 08:00", True),
        ("GE_eventTime", "2026-05-01T08:30:00.501Z", False),
        ("LT_eventTime", "2026-05-01T08:30:00.501Z", True),
        ("LT_eventTime", "2026-05-01T08:30:00.500Z", False),
    ],
)
def test_a_parameter_takes_or_leaves_an_event(name: str, value: str, takes: bool) -> None:
    assert parse([(name, value)]).takes(EVENT) is takes
    assert (
        parse([(name, value), ("EQ_action", "OBSERVE")] if name != "EQ_action" else [(name, value)]).takes(EVENT)
        is takes
    )


def test_times_of_record_are_bounds_in_microseconds() -> None:
    query = parse([("GE_recordTime", "1970-01-01T00:00:01.0019Z"), ("LT_recordTime", "1970-01-01T08:00:02+08:00")])
    assert query.recorded_micros() == (1_001_000, 2_000_000)


def test_each_match_is_a_set_of_its_own() -> None:
    query = parse([("MATCH_epc", "urn:a:1|urn:a:2"), ("MATCH_anyEPC", "urn:a:3")])
    assert query.epcs == (frozenset({"urn:a:1", "urn:a:2"}), frozenset({"urn:a:3"}))


def test_a_token_belongs_to_its_query() -> None:
    asked = [("EQ_action", "ADD"), ("GE_eventTime", "2026-05-01T08:30:00Z")]
    token = parse([*asked, ("perPage", "7")]).token(42)
    again = parse([("nextPageToken", token), *reversed(asked)])
    assert (again.after, again.per_page) == (42, PER_PAGE_DEFAULT)
    assert isinstance(again, Query)
    for other in ([], asked[:1], [*asked, ("eventType", "ObjectEvent")]):
        with pytest.raises(QueryFault, match="nextPageToken"):
            parse([*other, ("nextPageToken", token)])


@pytest.mark.parametrize(
    ("name", "value", "want"),
    [
        ("EQ_bizstep", "shipping", "unknown or not supported"),
        ("orderBy", "eventTime", "unknown or not supported"),
        ("MATCH_epcClass", "urn:a:1", "unknown or not supported"),
        ("perPage", "0", "1 to 1000"),
        ("perPage", "1001", "1 to 1000"),
        ("perPage", "٣", "1 to 1000"),
        ("perPage", "", "1 to 1000"),
        ("eventType", "ObjectEvents", "want ObjectEvent or"),
        ("EQ_action", "observe", "want ADD or"),
        ("EQ_bizStep", "roasting", "a word of CBV 2.0"),
        ("EQ_bizStep", "", "1 to 100 values"),
        ("EQ_bizStep", "shipping|", "1 to 100 values"),
        ("EQ_bizStep", "|".join(["shipping"] * 101), "1 to 100 values"),
        ("EQ_readPoint", "Kunming", "want a URI"),
        ("MATCH_epc", "17", "the URI of an EPC"),
        ("GE_eventTime", "2026-05-01", "a time with its zone"),
        ("GE_eventTime", "2026-05-01T08:30:00", "a time with its zone"),
        ("LT_recordTime", "2026-02-30T08:30:00Z", "a time with its zone"),
        ("LT_recordTime", "0001-01-01T00:00:00+14:00", "a time with its zone"),
        ("vtrace:pending", "1", "true or false"),
        ("nextPageToken", "7", "the token of the page before"),
        ("nextPageToken", "-1-0123456789abcdef", "the token of the page before"),
    ],
)
def test_what_is_wrong_is_told_with_what_is_wanted(name: str, value: str, want: str) -> None:
    with pytest.raises(QueryFault, match=name) as refused:
        parse([(name, value)])
    assert want in str(refused.value)


def test_a_parameter_stands_once() -> None:
    with pytest.raises(QueryFault, match="EQ_action: said twice"):
        parse([("EQ_action", "ADD"), ("EQ_action", "OBSERVE")])
