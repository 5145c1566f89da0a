"""Every HTTP request gets an id, which goes back with the answer, and is counted by the part of the site it is for."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from node.measures import COUNTER, HISTOGRAM, SECONDS, Figure, Histogram
from node.request_id import HEADER as REQUEST_ID
from node.request_id import id_in

HEADER = REQUEST_ID.encode()
AREAS = (
    ("/api/", "api"),
    ("/ipfs/", "files"),
    ("/t/", "trace"),
    ("/01", "link"),
    ("/.well-known/", "link"),
    ("/static/", "static"),
    ("/epcis/capture", "capture"),
    ("/epcis/", "epcis"),
    ("/rpc", "chain"),
    ("/docs", "docs"),
    ("/openapi.json", "docs"),
    ("/healthz", "health"),
    ("/readyz", "health"),
    ("/metrics", "metrics"),
)
"""How a path begins → what it is for. Everything else is ``other``: paths are the caller's to choose."""
OTHER = "other"
FAILED = 500


class Observed:
    """Stands around the whole site."""

    def __init__(self, site: ASGIApp) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._answers: Counter[tuple[str, int]] = Counter()
        self._seconds = {area: Histogram(SECONDS) for area in dict.fromkeys((*(area for _, area in AREAS), OTHER))}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. What it takes counts until the answer begins: streams last as long as their readers want."""
        began, status = time.perf_counter(), FAILED
        area = next((area for start, area in AREAS if scope["path"].startswith(start)), OTHER)
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        known = id_in((REQUEST_ID, value.decode("latin-1")) for name, value in headers if name == HEADER).encode()
        scope["headers"] = [*(each for each in headers if each[0] != HEADER), (HEADER, known)]

        async def sent(event: MutableMapping[str, Any]) -> None:
            nonlocal status
            if event["type"] == "http.response.start":
                status = event["status"]
                others = (each for each in event.get("headers", ()) if each[0] != HEADER)
                event["headers"] = [*others, (HEADER, known)]
                self._seconds[area].observe(time.perf_counter() - began)
            await send(event)

        try:
            await self._site(scope, receive, sent)
        finally:
            with self._lock:
                self._answers[area, status] += 1

    def figures(self) -> list[Figure]:
        """The requests so far."""
        with self._lock:
            answers = sorted(self._answers.items())
        counts = tuple(({"area": area, "status": str(status)}, float(count)) for (area, status), count in answers)
        spreads = ((area, each.now()) for area, each in self._seconds.items())
        seconds = tuple(({"area": area}, spread) for area, spread in spreads if spread.count)
        return [
            Figure("vtrace_http_requests_total", "HTTP requests by what they are for and status.", COUNTER, counts),
            Figure("vtrace_http_seconds", "How long it took until answers began.", HISTOGRAM, seconds),
        ]
