"""Large documents as several: every event once, in order, and each part a document within the limits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.epcis.cut import parts_of
from node.domain.epcis.document import events_of, namespaces_of, parse
from node.domain.epcis.faults import TooLarge
from tests.support.epcis import CONTEXT, document, event

NAMES = {"coop": "https://ns.example.org/coop/"}
EVENTS = st.lists(st.builds(lambda text: event("urn:x:1", **{"coop:note": text}), st.text(max_size=200)), min_size=1)


@given(EVENTS, st.integers(1, 7), st.integers(2_500, 10_000), st.booleans())
def test_parts_have_every_event_once_in_order(
    events: list[Any], events_max: int, bytes_max: int, is_query: bool
) -> None:
    value = document(*events, context=[CONTEXT, NAMES])
    if is_query:
        results = {"queryResults": {"queryName": "q", "resultsBody": value["epcisBody"]}}
        value |= {"type": "EPCISQueryDocument", "epcisBody": results}
    parts = list(parts_of(value, events_of(value), events_max, bytes_max))
    found: list[Any] = []
    for part in parts:
        assert part.first == len(found)
        assert len(part.body) <= bytes_max
        read = events_of(parse(part.body))
        assert part.events == len(read) <= events_max
        assert all(namespaces_of(each.contexts) == NAMES for each in read)
        found += [each.event for each in read]
    assert found == events


def test_an_event_that_is_too_large_alone_is_named() -> None:
    value = document(event("urn:x:1"), event("urn:x:1", **{"coop:note": "x" * 1_000}), context=[CONTEXT, NAMES])
    with pytest.raises(TooLarge, match=r"eventList\[1\]: "):
        list(parts_of(value, events_of(value), 10, 1_000))
