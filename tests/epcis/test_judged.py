"""What other implementations of EPCIS 2.0 say of exported documents and of the hashes of events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from node.domain.epcis.hash import event_hash
from node.domain.epcis.write import CONTEXT, query_document
from scripts.epcis_check import check
from tests.epcis.events import events
from tests.epcis.judges import judged

NAMESPACES = {"example": "https://ns.example.com/epcis/"}


def test_an_export_of_random_circs(tmp_path: Path) -> None:
    verdict = check(tmp_path, 200, 7)
    assert verdict.is_good, f"{verdict}\n{verdict.errors[:5]}"
    assert verdict.events == 200
    assert len(verdict.kinds) > 6


@settings(max_examples=2, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(events(), min_size=40, max_size=60))
def test_hashes_of_random_events(found: list[dict[str, Any]]) -> None:
    told = [{**event, "eventID": event_hash(event, NAMESPACES)} for event in found]
    verdict = judged([{**query_document(told, 0), "@context": [CONTEXT, NAMESPACES]}])
    assert verdict.is_good, f"{verdict}\n{verdict.errors[:5]}"


def test_the_answer_of_a_query_is_valid() -> None:
    event = {
        "type": "ObjectEvent",
        "eventTime": "2026-05-01T08:30:00.000Z",
        "eventTimeZoneOffset": "+00:00",
        "epcList": ["https://id.gs1.org/01/04012345111118/21/7"],
        "action": "OBSERVE",
    }
    event["eventID"] = event_hash(event, {})
    wrong = query_document([{**event, "action": "LOOK"}], 0)
    assert judged([query_document([], 0), query_document([event], 0)]).is_good
    assert len(judged([wrong]).errors) > 1, "neither judge says a word of what is wrong"
