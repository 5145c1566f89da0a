"""What other implementations of EPCIS 2.0 say of events that are captured: their form, and their hashes."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from node.domain.epcis.document import events_of, parse
from node.domain.epcis.faults import Faulty
from node.domain.epcis.read import plain, read
from tests.domain.epcis.test_any_json import ANY, BASE, DOCUMENT, changed, places
from tests.epcis import judges
from tests.support.epcis import document, event

VERSIONED = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
CHANGES = st.lists(st.tuples(st.sampled_from(places(DOCUMENT)), ANY, st.booleans()), min_size=1, max_size=2)

REPORT = ("epcisBody", "eventList", 0, "sensorElementList", 0, "sensorReport", 0)


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(CHANGES)
@example([((*REPORT, "type"), "0", False)])
@example([((*REPORT, "exception"), "0", False)])
@example([((*REPORT, "component"), "0", False)])
def test_what_is_taken_is_valid(changes: list[Any]) -> None:
    value = copy.deepcopy(DOCUMENT)
    for place, other, is_left_out in changes:
        changed(value, place, other, is_left_out)
    try:
        given = events_of(parse(json.dumps(value).encode()))
        read(given, BASE)
    except Faulty:
        return
    value["epcisBody"]["eventList"] = [plain(one.event) for one in given]
    assert not [error.message for error in judges.schema().iter_errors(value)]


def test_hashes_of_captured_events_are_those_of_others() -> None:
    link = "https://id.gs1.org/01/09506000134352/21/1"
    report = {"type": "Speed", "component": "x", "value": 1.50, "uom": "KMH"}
    given = [
        event(link, step="storing"),
        event("urn:epc:id:sgtin:9506000.013435.1", step="storing"),
        event(link, step="https://ref.gs1.org/cbv/BizStep-storing"),
        event(link, step=None, eventTime="2026-05-01T10:30:00.5+02:00"),
        event(link, sensorElementList=[{"sensorReport": [report]}]),
        event(link, readPoint={"id": "https://id.gs1.org/414/9506000134376"}, **{"coop:moisture": 11.20}),
    ]
    as_urn = event(link, step="urn:epcglobal:cbv:bizstep:storing")
    contexts = [VERSIONED, {"coop": "https://ns.example.org/coop/"}]
    hashes = [one.hash for one in read(events_of(document(*given, as_urn, context=contexts)), BASE)]
    assert {*hashes[:3], hashes[-1]} == {hashes[0]}
    told = [{**one, "eventID": made} for one, made in zip(given, hashes, strict=False)]
    verdict = judges.judged([document(*told, context=contexts)])
    assert (verdict.by_js, verdict.by_generator) in ((len(given), len(given)), (len(given), None)), str(verdict)
