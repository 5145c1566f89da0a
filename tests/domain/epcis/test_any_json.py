"""Whatever stands in a document: it is taken, or refused with faults; nothing else comes of it."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from node.domain.epcis.document import events_of, parse
from node.domain.epcis.faults import Faulty, TooLarge
from node.domain.epcis.read import read
from node.domain.form import form_fault
from tests.support.epcis import CONTEXT, document, event, possessing

BASE = "urn:vtrace:31337:0x00000000000000000000000000000000000000aa"
WHOLE = event(
    f"{BASE}:obj:1",
    "https://id.gs1.org/01/09506000134352/21/2",
    step="shipping",
    disposition="in_transit",
    eventID="urn:uuid:58aac6ac-d6aa-4a1f-9c5e-0e1d0f1f6a52",
    certificationInfo=["https://example.org/c/1"],
    persistentDisposition={"set": ["completeness_verified"], "unset": ["urn:epcglobal:cbv:disp:active"]},
    readPoint={"id": "https://id.gs1.org/414/9506000134376", "coop:gate": 3},
    bizLocation={"id": "urn:epc:id:sgln:9506000.01343.0"},
    quantityList=[{"epcClass": "https://id.gs1.org/01/09506000134352/10/7", "quantity": 12.5, "uom": "KGM"}],
    bizTransactionList=[{"type": "po", "bizTransaction": "https://example.org/po/7"}],
    sourceList=[{"type": "owning_party", "source": "https://id.gs1.org/417/9506000134369"}],
    sensorElementList=[
        {
            "sensorMetadata": {"startTime": "2026-05-01T08:00:00Z", "endTime": "2026-05-01T08:05:00Z"},
            "sensorReport": [{"type": "Temperature", "minValue": -2, "maxValue": 7.5, "uom": "CEL"}],
        }
    ],
    **possessing(f"{BASE}:party:3"),
    **{"coop:moisture": [11.2, {"coop:by": "oven"}], "coop:checked": True},
)
NAMES = {"coop": "https://ns.example.org/coop/"}
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()), max_size=8)
    | st.sampled_from(("", "urn:x:1", "ni:///", "2026-13-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "coop:x", "x:y"))
)
ANY = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value but its root."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for name, each in inner for place in ((*at, name), *places(each, (*at, name)))]


DOCUMENT = document(WHOLE, WHOLE, context=[CONTEXT, NAMES])


def test_an_event_with_every_field_is_taken() -> None:
    assert len(read(events_of(DOCUMENT), BASE)) == 2


@given(st.lists(st.tuples(st.sampled_from(places(DOCUMENT)), ANY, st.booleans()), min_size=1, max_size=3))
def test_a_document_with_something_else_in_someplaces(changes: list[tuple[tuple[Any, ...], Any, bool]]) -> None:
    value = copy.deepcopy(DOCUMENT)
    for place, other, is_left_out in changes:
        changed(value, place, other, is_left_out)
    _look(value)


@given(ANY)
def test_any_json(value: Any) -> None:
    _look(value)
    _look(document(value))
    _look({**WHOLE, "@context": value})


def changed(value: Any, place: tuple[Any, ...], other: Any, is_left_out: bool) -> None:
    """Put something else, or nothing, in a place of a JSON value."""
    *way, last = place
    try:
        for name in way:
            value = value[name]
        if is_left_out and isinstance(value, dict):
            del value[last]
        else:
            value[last] = other
    except (KeyError, IndexError, TypeError):
        return  # a change before took the place away


def _look(value: Any) -> None:
    try:
        found = read(events_of(parse(json.dumps(value).encode())), BASE)
    except (Faulty, TooLarge):
        return
    for one in found:
        assert one.epcs
        assert one.form
        assert form_fault(one.form) is None
