"""Documents that are larger than a repository takes, as several whole ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from node.domain.epcis.document import CONTEXT, DOCUMENT, Given
from node.domain.epcis.faults import TooLarge


@dataclass(frozen=True, slots=True)
class Part:
    """A document of its own with some of the events; ``first`` is the place of its first one among all."""

    first: int
    events: int
    body: bytes


def parts_of(value: dict[str, Any], given: list[Given], events_max: int, bytes_max: int) -> Iterator[Part]:
    """A document's events in their order, cut into documents within the limits; one that fits stays as it is.

    ``given`` are the events that ``events_of`` found in ``value``. TooLarge for an event that is too large alone.
    """
    whole = _json(value)
    if len(given) <= events_max and len(whole) <= bytes_max:
        yield Part(0, len(given), whole)
        return
    # What a query answers is no document of events: its events are sent as one.
    kept = {name: each for name, each in value.items() if name in (CONTEXT, "schemaVersion", "creationDate", "id")}
    head = _json({**kept, "type": DOCUMENT, "epcisBody": {"eventList": []}}).removesuffix(b"]}}")
    events: list[bytes] = []
    size = 0
    for one in given:
        event = _json(one.event)
        if len(head) + len(event) + 3 > bytes_max:
            raise TooLarge(f"eventList[{one.index}]: {len(event)} bytes, want at most {bytes_max} with its document")
        if events and (len(events) == events_max or len(head) + size + len(event) + 4 > bytes_max):
            yield Part(one.index - len(events), len(events), head + b",".join(events) + b"]}}")
            events, size = [], 0
        events.append(event)
        size += len(event) + 1
    yield Part(len(given) - len(events), len(events), head + b",".join(events) + b"]}}")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
