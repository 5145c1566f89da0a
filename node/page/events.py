"""Events at ``GET /epcis/events``, as the REST interface of EPCIS 2.0 has them. Refusals are problems (RFC 7807)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from node.domain.epcis.query import Query, QueryFault, parse
from node.domain.epcis.vocabulary import EXTENSION
from node.domain.records import User
from node.errors import IndexUnavailable, Status, VTraceError
from node.flow.events import Events
from node.flow.rates import TooOften
from node.page.protocol import CERTIFICATE
from node.request_id import HEADER, id_in, working_for

PATH = "/epcis/events"
THREADS = 2
RETRY_SECONDS = 5
QUERY_LENGTH_MAX = 16_384
VERSION = "2.0"
JSON, JSON_LD, PROBLEM = "application/json", "application/ld+json", "application/problem+json"
HEADERS = {
    **{f"GS1-{standard}-{bound}": VERSION for standard in ("EPCIS", "CBV") for bound in ("Version", "Min", "Max")},
    "GS1-EPC-Format": "Always_GS1_Digital_Link",
    "GS1-Extensions": f"vtrace={EXTENSION}",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept, Authorization",
}
ALLOW = "GET, HEAD, OPTIONS"

Answer = tuple[dict[str, Any], int | None]

log = logging.getLogger(__name__)


class EventsEndpoint:
    """Answers queries. ``read`` is the way to what is not everybody's: it finds out who calls from the peer's address,
    the headers and the certificate, and hands that user to what answers. ``public_url`` is the node's base address, as
    links name it."""

    def __init__(self, events: Events, read: Callable[..., Answer], public_url: Callable[[], str]) -> None:
        self._events = events
        self._read = read
        self._public_url = public_url
        # Long answers must leave the processor to the partners' records.
        self._threads = CapacityLimiter(THREADS)

    async def answer(self, request: Request) -> Response:
        """One HTTP request."""
        request_id = id_in(request.headers.items())
        with working_for(request_id):
            answer = await self._answer(request, request_id)
        answer.headers[HEADER] = request_id
        return answer

    async def _answer(self, request: Request, request_id: str) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=HEADERS | {"Allow": ALLOW})
        given = request.scope["query_string"]
        if len(given) > QUERY_LENGTH_MAX:
            return _problem(414, "URITooLongException", f"query: {len(given)} bytes, want at most {QUERY_LENGTH_MAX}")
        unacceptable = _unacceptable(request.headers)
        if unacceptable:
            return _problem(406, "NotAcceptableException", unacceptable)
        try:
            pairs = parse_qsl(given.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50)
            query = parse(pairs)
        except (QueryFault, ValueError) as fault:
            return _problem(400, "QueryParameterException", str(fault))
        try:
            return await to_thread.run_sync(self._answered, request, request_id, query, pairs, limiter=self._threads)
        except TooOften as fault:
            return _problem(429, "QueryTooLargeException", fault.message, fault.retry_seconds)
        except VTraceError as fault:
            status = 401 if fault.status is Status.UNAUTHENTICATED else 403
            return _problem(status, "SecurityException", fault.message)
        except IndexUnavailable as fault:
            log.warning("a query can't be answered now: %s", fault)
            return _problem(503, "ImplementationException", "the index can't be read now: try again in a moment")

    def _answered(self, request: Request, request_id: str, query: Query, pairs: list[tuple[str, str]]) -> Response:
        def counted(caller: User) -> tuple[Answer, int]:
            document, following = self._events.answer(query, caller)
            return (document, following), len(document["epcisBody"]["queryResults"]["resultsBody"]["eventList"])

        if query.epcs:
            document, following = self._events.answer(query, None)
        else:
            certificate = request.scope.get("state", {}).get(CERTIFICATE)
            peer = request.client.host if request.client else ""
            document, following = self._read(peer, request.headers.items(), certificate, request_id, counted)
        told = dict(HEADERS)
        if following is not None:
            asked = [pair for pair in pairs if pair[0] != "nextPageToken"]
            again = urlencode([*asked, ("nextPageToken", query.token(following))])
            told["Link"] = f'<{self._public_url()}{PATH}?{again}>; rel="next"'
        media_type = JSON_LD if JSON_LD in request.headers.get("accept", "") else JSON
        return JSONResponse(document, headers=told, media_type=media_type)


def _unacceptable(headers: Mapping[str, str]) -> str:
    """What a request wants that can't be had, or ""."""
    accept = headers.get("accept", "*/*")
    if not any(kind in accept for kind in (JSON, JSON_LD, "application/*", "*/*")):
        return f"Accept: want {JSON} or {JSON_LD}"
    for standard in ("EPCIS", "CBV"):
        least, most = (headers.get(f"gs1-{standard.lower()}-{bound}", VERSION) for bound in ("min", "max"))
        named = headers.get(f"gs1-{standard.lower()}-version", VERSION)
        if named[:3] != VERSION or least > VERSION or most < VERSION:
            return f"GS1-{standard}-Version: want {VERSION}"
    if headers.get("gs1-epc-format") == "Always_EPC_URN":
        return "GS1-EPC-Format: EPCs are GS1 Digital Link URIs; how long a company prefix is, is not known here"
    return ""


def _problem(status: int, kind: str, detail: str, retry_seconds: int | None = None) -> Response:
    titles = {
        400: "A query parameter is wrong",
        401: "A token is needed",
        403: "Not allowed",
        406: "Not available in this form",
        414: "The query is too long",
        429: "Too many queries",
        503: "Not available now",
    }
    headers = dict(HEADERS)
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="vtrace"'
    if status in (429, 503):
        headers["Retry-After"] = str(retry_seconds or RETRY_SECONDS)
    body = {"type": f"epcisException:{kind}", "title": titles[status], "status": status, "detail": detail}
    return JSONResponse(body, status, headers=headers, media_type=PROBLEM)
