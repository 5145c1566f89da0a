"""Events as circs: which circ an event is, and the table of refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest

from node.domain.epcis.document import Given, events_of, parse
from node.domain.epcis.faults import Faulty, TooLarge
from node.domain.epcis.parties import Party
from node.domain.epcis.read import Captured, read
from node.domain.form import form_fault
from node.domain.limits import GOODS_PER_CALL_MAX
from node.domain.model import CircType
from tests.support.epcis import CONTEXT, document, event, possessing

BASE = "urn:vtrace:31337:0x00000000000000000000000000000000000000aa"
ONE, TWO = f"{BASE}:obj:1", f"{BASE}:obj:2"
GTIN = "09506000134352"
OTHER_NODE = "urn:vtrace:31337:0x00000000000000000000000000000000000000bb"
TO = possessing(f"{BASE}:user:u17")
VTRACE = [CONTEXT, {"vtrace": "urn:vtrace:ns:"}]


def captured(*events: Any, **more: Any) -> list[Captured]:
    """As they come over the wire."""
    return read(events_of(parse(json.dumps(document(*events, **more)).encode())), BASE)


def one(given: Any, **more: Any) -> Captured:
    (found,) = captured(given, **more)
    return found


@pytest.mark.parametrize(
    ("epc", "gtin", "lot"),
    [
        (ONE, None, None),
        (f"https://id.gs1.org/01/{GTIN}/21/1", GTIN, None),
        (f"https://id.gs1.org/01/{GTIN}/10/7/21/1", GTIN, "7"),
        (f"https://example.com/some/path/01/{GTIN}/21/1", GTIN, None),
        ("urn:epc:id:sgtin:9506000.013435.1", GTIN, None),
    ],
)
def test_goods_have_several_names(epc: str, gtin: str | None, lot: str | None) -> None:
    (named,) = one(event(epc)).epcs
    assert (named.goods_id, named.gtin, named.lot) == (1, gtin, lot)


WORDS = ("{}", "cbv:BizStep-{}", "https://ref.gs1.org/cbv/BizStep-{}", "urn:epcglobal:cbv:bizstep:{}")


@pytest.mark.parametrize("spelled", WORDS)
@pytest.mark.parametrize(
    ("step", "more", "kind"),
    [
        ("commissioning", {"action": "ADD"}, CircType.PRODUCE),
        ("inspecting", {}, CircType.EXAM),
        ("sampling", {}, CircType.EXAM),
        ("sensor_reporting", {}, CircType.EXAM),
        ("shipping", TO, CircType.TRANSFER),
        ("shipping", {}, CircType.PROCESS),
        ("shipping", possessing("urn:epc:id:pgln:9506000.00001"), CircType.PROCESS),
        ("receiving", TO, CircType.PROCESS),
        ("storing", {}, CircType.PROCESS),
    ],
)
def test_the_business_step_says_which_circ_it_is(step: str, more: Any, kind: CircType, spelled: str) -> None:
    found = one(event(ONE, step=spelled.format(step), **more))
    assert (found.circ_type, found.to) == (kind, Party(None, "u17") if kind is CircType.TRANSFER else None)
    assert found.hash == one(event(ONE, step=step, **more)).hash
    assert form_fault(found.form) is None


@pytest.mark.parametrize("step", ["destroying", "cbv:BizStep-decommissioning"])
def test_goods_that_are_no_more_are_processed_a_last_time(step: str) -> None:
    assert one(event(ONE, action="DELETE", step=step)).circ_type is CircType.PROCESS
    with pytest.raises(Faulty, match="action"):
        one(event(ONE, action="DELETE", step=None))


def test_an_own_step_or_none_is_a_process() -> None:
    assert one(event(ONE, step=None)).circ_type is CircType.PROCESS
    assert one(event(ONE, step="https://ns.example.org/steps/roasting")).circ_type is CircType.PROCESS


def test_the_receiver_is_a_number_or_a_name() -> None:
    found = one(event(ONE, step="shipping", **possessing(f"{BASE}:party:3")))
    assert found.to == Party(3, None)
    kinds = ("cbv:SDT-possessing_party", "urn:epcglobal:cbv:sdt:possessing_party")
    for kind in kinds:
        named = {"destinationList": [{"type": kind, "destination": f"{BASE}:party:3"}]}
        assert one(event(ONE, step="shipping", **named)).to == Party(3, None)


def test_who_ships_must_be_the_operator_but_not_whom_goods_are_received_from() -> None:
    source = {"sourceList": [{"type": "possessing_party", "source": f"{BASE}:party:4"}]}
    assert one(event(ONE, step="shipping", **TO, **source)).parties == (Party(4, None),)
    assert one(event(ONE, step="receiving", **source)).parties == ()


def test_an_event_may_say_outright_what_it_is() -> None:
    said = {"vtrace:circ_type": "exam", "vtrace:operator": f"{BASE}:party:4", "vtrace:trans_id": "0x" + "ab" * 32}
    found = one(event(ONE, **said), context=VTRACE)
    assert (found.circ_type, found.parties) == (CircType.EXAM, (Party(4, None),))
    assert found.trans_id == "0x" + "ab" * 32


def test_the_form_is_the_event_with_what_its_names_mean() -> None:
    given = event(ONE, **{"coop:moisture": 11.2, "coop:lot": {"coop:bag": ["七", True, None]}})
    context = [CONTEXT, {"coop": "https://ns.example.org/coop/"}]
    found = one(given, context=context)
    assert json.loads(found.form) == given | {"@context": context}
    assert b" " not in found.form
    assert json.loads(one(given | {"@context": {"coop": "urn:coop:"}}).form)["@context"] == [
        CONTEXT,
        {"coop": "urn:coop:"},
    ]


def test_an_own_hash_is_taken_and_another_one_refused() -> None:
    made = one(event(ONE)).hash
    assert one(event(ONE, eventID=made)).hash == made
    assert one(event(ONE, eventID=made[:14] + made[14:78].upper() + made[78:])).hash == made
    assert one(event(ONE, eventID="urn:uuid:58aac6ac-d6aa-4a1f-9c5e-0e1d0f1f6a52")).hash == made
    assert one(event(ONE, recordTime="2026-05-01T16:30:01Z")).hash == made
    assert one(event(TWO)).hash != made


URI, TIME, PLAIN = "a URI", "a time such as", "unknown"
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (event(ONE) | {"type": kind}, "type", f"ObjectEvent: {kind} is not captured here")
    for kind in ("AggregationEvent", "TransactionEvent", "TransformationEvent", "AssociationEvent")
]
REFUSED += [
    (event(ONE) | {"type": "Event"}, "type", "ObjectEvent"),
    ({}, "type", "ObjectEvent"),
    (event(ONE, action="DELETE"), "action", "ADD or OBSERVE"),
    (event(ONE, action="add"), "action", "ADD or OBSERVE"),
    (event(ONE, action=7), "action", "ADD or OBSERVE"),  # type: ignore[arg-type]
    (event(ONE, action="ADD"), "bizStep", "commissioning"),
    (event(ONE, action="ADD", step=None), "bizStep", "commissioning"),
    (event(ONE, step="commissioning"), "bizStep", "action ADD"),
    (event(ONE, step="shiping"), "bizStep", "a business step of the CBV"),
    (event(ONE, step="cbv:BizStep-shiping"), "bizStep", "a business step of the CBV"),
    (event(ONE, step="urn:epcglobal:cbv:bizstep:shiping"), "bizStep", "a business step of the CBV"),
    (event(ONE, disposition="fine"), "disposition", "a disposition of the CBV"),
    (event(ONE, errorDeclaration={"declarationTime": "2026-05-01T08:00:00Z"}), "errorDeclaration", "none"),
    (event(ONE, eventTime="2026-05-01T16:30:00"), "eventTime", TIME),
    (event(ONE, eventTime="2026-02-30T16:30:00Z"), "eventTime", TIME),
    (event(ONE, eventTime=1_777_000_000), "eventTime", TIME),
    (event(ONE, eventTime="0001-01-01T00:00:00+14:00"), "eventTime", TIME),
    (event(ONE, eventTime="1899-12-31T23:59:59Z"), "eventTime", TIME),
    (event(ONE, eventTime="2100-01-01T00:00:00Z"), "eventTime", TIME),
    (event(ONE, **{"vtrace:when": "0001-01-01T00:00:00+14:00"}), "", "times of the calendar"),
    (event(ONE, eventTimeZoneOffset="+15:00"), "eventTimeZoneOffset", "an offset such as"),
    (event(ONE, eventTimeZoneOffset="Z"), "eventTimeZoneOffset", "an offset such as"),
    (event(), "epcList", "an array of 1 or more"),
    (event(ONE) | {"epcList": ONE}, "epcList", "an array of 1 or more"),
    (event(ONE, ONE), "epcList", "each once"),
    (event(ONE, f"https://id.gs1.org/01/{GTIN}/21/1"), "epcList[1]", "goods 1 once"),
    (event("bag 1"), "epcList[0]", URI),
    (event("urn:epc:id:sgtin:9506000.013435.A1"), "epcList[0]", "goods id"),
    (event("https://id.gs1.org/01/09506000134353/21/1"), "epcList[0]", "check digit"),
    (event(f"{OTHER_NODE}:obj:1"), "epcList[0]", f"{BASE}:obj:GOODS_ID"),
    (event("urn:epc:id:sscc:9506000.1234567890"), "epcList[0]", f"{BASE}:obj:GOODS_ID"),
    (event(f"{BASE}:obj:0"), "epcList[0]", "1 to 2147483647"),
    (event(f"{BASE}:obj:2147483648"), "epcList[0]", "1 to 2147483647"),
    (event(ONE, quantityList=[{"quantity": 7}]), "quantityList[0].epcClass", "it"),
    (event(ONE, quantityList=[{"epcClass": "urn:x:1", "quantity": "7"}]), "quantityList[0].quantity", "a number"),
    (event(ONE, readPoint="urn:x:1"), "readPoint", "an object"),
    (event(ONE, bizLocation={"id": "here"}), "bizLocation.id", URI),
    (event(ONE, bizLocation={"id": "urn:x:1", "name": "here"}), "bizLocation.name", "one of id"),
    (event(ONE, bizTransactionList=[{"type": "po"}]), "bizTransactionList[0].bizTransaction", "it"),
    (event(ONE, sourceList=[{"type": "me", "source": "urn:x:1"}]), "sourceList[0].type", "a kind of source"),
    (event(ONE, persistentDisposition={"set": []}), "persistentDisposition.set", "an array of 1"),
    (event(ONE, persistentDisposition={}), "persistentDisposition", "set, unset or both"),
    (event(ONE, persistentDisposition={"set": ["active", "active"]}), "persistentDisposition.set", "each once"),
    (event(ONE, sensorElementList=[{"sensorReport": [{"value": 1}]}]), "sensorElementList[0].sensorReport[0].type", ""),
    (event(ONE, ilmd={}), "ilmd", "ADD"),
    (event(ONE, colour="red"), "colour", "a field of ObjectEvent"),
    (event(ONE, **{"coop:moisture": 11.2}), "", "names whose prefix @context declares"),
    (event(ONE, readPoint={"id": "urn:x:1", "coop:gate": 3}), "", "names whose prefix @context declares"),
    (event(ONE, eventID="58aac6ac"), "eventID", URI),
    (event(ONE, eventID=f"ni:///sha-256;{'0' * 64}?ver=CBV2.0"), "eventID", "the event's own hash ni:///sha-256;"),
    (event(ONE, eventID=f"ni:///sha-256;{'0' * 64}?ver=CBV2.1"), "eventID", "the event's own hash ni:///sha-256;"),
    (event(ONE, step="shipping", **possessing(f"{OTHER_NODE}:party:3")), "destinationList[0].destination", BASE),
    (event(ONE, step="shipping", **possessing(f"{BASE}:user:A b")), "destinationList[0].destination", URI),
    (event(ONE, step="shipping", **possessing(f"{BASE}:party:0")), "destinationList[0].destination", BASE),
    (
        event(
            ONE,
            step="shipping",
            destinationList=[*TO["destinationList"], *possessing(f"{BASE}:party:3")["destinationList"]],
        ),
        "destinationList",
        "one possessing_party",
    ),
    (event(ONE, **{"vtrace:circ_type": "sell"}), "vtrace:circ_type", "produce or process or transfer or exam"),
    (event(ONE, **{"vtrace:circ_type": "transfer"}), "destinationList", "a possessing_party to transfer to"),
    (event(ONE, **{"vtrace:operator": "me"}), "vtrace:operator", f"{BASE}:party:ACTOR"),
    (event(ONE, **{"vtrace:trans_id": "0x12"}), "vtrace:trans_id", "64 hex digits"),
    (event(ONE, **{"vtrace:note": "x" * 65_536}), "", "at most 65536"),
]
for missing in ("eventTime", "eventTimeZoneOffset", "action", "epcList"):
    REFUSED.append(({name: value for name, value in event(ONE).items() if name != missing}, missing, ""))


@pytest.mark.parametrize(("given", "field", "want"), REFUSED, ids=range(len(REFUSED)))
def test_what_can_not_be_captured_is_refused_by_name(given: dict[str, Any], field: str, want: str) -> None:
    with pytest.raises(Faulty) as refused:
        captured(event(TWO), given, event(TWO), context=VTRACE)
    (fault,) = refused.value.faults
    assert (fault.event, fault.field) == (1, field)
    assert want in fault.want
    assert fault.value


def test_every_fault_of_every_event_is_told() -> None:
    with pytest.raises(Faulty) as refused:
        captured(event(ONE, action="DELETE", disposition="fine"), event(ONE), {"type": "AssociationEvent"})
    assert [(fault.event, fault.field) for fault in refused.value.faults] == [
        (0, "action"),
        (0, "disposition"),
        (2, "type"),
    ]


def test_a_document_is_about_a_bounded_number_of_goods() -> None:
    epcs = [f"urn:epc:id:sgtin:9506000.013435.{number}" for number in range(1, 1_001)]
    whole = [Given(index, event(*epcs), (CONTEXT,)) for index in range(GOODS_PER_CALL_MAX // 1_000)]
    assert len(read(whole, BASE)) == len(whole)
    with pytest.raises(TooLarge, match="10001 EPCs"):
        read([*whole, Given(len(whole), event(ONE), (CONTEXT,))], BASE)
