"""The event hash of CBV 2.0: what it depends on, and what not. tests/epcis has other implementations judge it."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.epcis.hash import event_hash, pre_hash, utc_millis
from node.domain.epcis.ids import canonical
from tests.epcis.events import events

NAMESPACES = {"example": "https://ns.example.com/epcis/", "other": "urn:other:"}
EVENT: dict[str, Any] = {
    "type": "ObjectEvent",
    "eventID": "ni:///sha-256;0?ver=CBV2.0",
    "recordTime": "2026-05-02T00:00:00Z",
    "eventTime": "2026-05-01T16:30:00.5+08:00",
    "eventTimeZoneOffset": "+08:00",
    "epcList": ["urn:epc:id:sgtin:4012345.011111.9876", "https://example.com/gtin/4012345111118/lot/7/ser/5432?x=1"],
    "quantityList": [{"uom": "KGM", "quantity": 200.0, "epcClass": "urn:epc:class:lgtin:4012345.012345.998877"}],
    "action": "OBSERVE",
    "bizStep": "urn:epcglobal:cbv:bizstep:shipping",
    "disposition": "in_transit",
    "persistentDisposition": {"set": ["completeness_verified"], "unset": ["cbv:Disp-damaged"]},
    "readPoint": {"id": "urn:epc:id:sgln:4012345.00005.0", "example:door": " 7 "},
    "bizTransactionList": [
        {"type": "po", "bizTransaction": "https://example.com/po/12345678"},
        {"bizTransaction": "https://example.com/inv/12345678", "type": "cbv:BTT-inv"},
    ],
    "sourceList": [{"type": "possessing_party", "source": "urn:epc:id:pgln:4012345.00005"}],
    "destinationList": [{"type": "location", "destination": "urn:epc:id:sgln:4012345.00005.a+b"}],
    "example:b": {"example:y": [3, 1.50, True], "other:x": "x"},
    "example:a": "2026-05-01T16:30:00+08:00",
    "rdfs:comment": "no part of it",
}
PARTS = (
    "eventType=ObjectEvent",
    "eventTime=2026-05-01T08:30:00.500Z",
    "eventTimeZoneOffset=+08:00",
    "epcList",
    "epc=https://id.gs1.org/01/04012345111118/21/5432",
    "epc=https://id.gs1.org/01/04012345111118/21/9876",
    "quantityListquantityElementepcClass=https://id.gs1.org/01/04012345123456/10/998877quantity=200uom=KGM",
    "action=OBSERVE",
    "bizStep=https://ref.gs1.org/cbv/BizStep-shipping",
    "disposition=https://ref.gs1.org/cbv/Disp-in_transit",
    "persistentDisposition",
    "set=https://ref.gs1.org/cbv/Disp-completeness_verified",
    "unset=https://ref.gs1.org/cbv/Disp-damaged",
    "readPointid=https://id.gs1.org/414/4012345000054{https://ns.example.com/epcis/}door=7",
    "bizTransactionList",
    "type=https://ref.gs1.org/cbv/BTT-invbizTransaction=https://example.com/inv/12345678",
    "type=https://ref.gs1.org/cbv/BTT-pobizTransaction=https://example.com/po/12345678",
    "sourceListtype=https://ref.gs1.org/cbv/SDT-possessing_partysource=https://id.gs1.org/417/4012345000054",
    "destinationListtype=https://ref.gs1.org/cbv/SDT-location",
    "destination=https://id.gs1.org/414/4012345000054/254/a%2Bb",
    "{https://ns.example.com/epcis/}a=2026-05-01T08:30:00.000Z",
    "{https://ns.example.com/epcis/}b",
    "{https://ns.example.com/epcis/}y=1.5{https://ns.example.com/epcis/}y=3{https://ns.example.com/epcis/}y=true",
    "{urn:other:}x=x",
)


def test_an_event_with_everything_in_it() -> None:
    assert pre_hash(EVENT, NAMESPACES) == "".join(PARTS)
    digest = hashlib.sha256("".join(PARTS).encode()).hexdigest()
    assert event_hash(EVENT, NAMESPACES) == f"ni:///sha-256;{digest}?ver=CBV2.0"


def test_an_unknown_prefix_is_told() -> None:
    with pytest.raises(ValueError, match="strange:x"):
        event_hash({**EVENT, "strange:x": 1}, NAMESPACES)


def _turned(value: Any) -> Any:
    """The same in another order: of members and, where order says nothing, of items."""
    if isinstance(value, dict):
        return {name: _turned(value[name]) for name in reversed(value)}
    return [_turned(each) for each in reversed(value)] if isinstance(value, list) else value


@given(events())
def test_order_and_what_the_repository_adds_do_not_count(event: dict[str, Any]) -> None:
    other = _turned(event) | {"recordTime": "2030-01-01T00:00:00Z", "eventID": "urn:x:1", "rdfs:comment": "x"}
    assert event_hash(other, NAMESPACES) == event_hash(event, NAMESPACES)


@given(events(), st.data())
def test_every_other_field_counts(event: dict[str, Any], data: st.DataObject) -> None:
    other = copy.deepcopy(event)
    name = data.draw(st.sampled_from(sorted(set(other) - {"type"})))
    del other[name]
    assert event_hash(other, NAMESPACES) != event_hash(event, NAMESPACES)


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("urn:epc:id:sgtin:4012345.011111.9876", "https://id.gs1.org/01/04012345111118/21/9876"),
        ("urn:epc:id:sgtin:4012345.11111.9876", "urn:epc:id:sgtin:4012345.11111.9876"),
        ("urn:epc:id:sscc:4012345.1112223334", "https://id.gs1.org/00/140123451122233341"),
        ("urn:epc:id:sgln:4012345.00005.0", "https://id.gs1.org/414/4012345000054"),
        ("urn:epc:id:sgln:401234500005..7", "https://id.gs1.org/414/4012345000054/254/7"),
        ("urn:epc:id:pgln:4012345.00005", "https://id.gs1.org/417/4012345000054"),
        ("http://example.com/shop/gtin/40123455/lot/A/ser/7?x=1#y", "https://id.gs1.org/01/00000040123455/21/7"),
        ("https://id.gs1.org/01/04012345111118/10/A", "https://id.gs1.org/01/04012345111118/10/A"),
        ("https://example.com/01/main", "https://example.com/01/main"),
        ("urn:vtrace:1:0xab:obj:7", "urn:vtrace:1:0xab:obj:7"),
        ("", ""),
    ],
)
def test_uris_in_their_canonical_form(uri: str, found: str) -> None:
    assert canonical(uri) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-05-01T08:00:00Z", "2026-05-01T08:00:00.000Z"),
        ("2026-05-01T08:00:00.1239999-02:30", "2026-05-01T10:30:00.123Z"),
        ("0007-05-01T08:00:00+08:00", "0007-05-01T00:00:00.000Z"),
    ],
)
def test_times_in_utc(text: str, found: str) -> None:
    assert utc_millis(text) == found
