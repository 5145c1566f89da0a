"""Documents of events for tests, as a partner's system would write them."""

from __future__ import annotations

from typing import Any

CONTEXT = "https://ref.gs1.org/standards/epcis/epcis-context.jsonld"


def document(*events: Any, context: Any = CONTEXT, **more: Any) -> dict[str, Any]:
    """An EPCISDocument."""
    return {
        "@context": context,
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": "2026-05-02T09:00:00.000+08:00",
        "epcisBody": {"eventList": list(events)},
        **more,
    }


def event(*epcs: str, step: str | None = "packing", action: str = "OBSERVE", **more: Any) -> dict[str, Any]:
    """An ObjectEvent."""
    made: dict[str, Any] = {
        "type": "ObjectEvent",
        "eventTime": "2026-05-01T16:30:00.000+08:00",
        "eventTimeZoneOffset": "+08:00",
        "epcList": list(epcs),
        "action": action,
    }
    return made | ({} if step is None else {"bizStep": step}) | more


def possessing(destination: str) -> dict[str, Any]:
    """Whom goods are shipped to."""
    return {"destinationList": [{"type": "possessing_party", "destination": destination}]}
