"""The page of goods at ``GET /t/{goods_id}``."""

from __future__ import annotations

import gzip
import logging
from collections import OrderedDict
from functools import partial
from threading import Lock

from anyio import CapacityLimiter, move_on_after, to_thread
from starlette.requests import Request
from starlette.responses import Response

from node.domain.trace import Trace
from node.errors import IndexUnavailable, VTraceError
from node.flow.query import Query
from node.flow.scans import Scans
from node.page import text as texts
from node.page.assets import Assets, takes_gzip
from node.page.counting import Visitors, note
from node.page.language import language_of
from node.page.parts import Place
from node.page.rendering import environment
from node.page.times import BlockTimes
from node.page.view import page_of

THREADS = 4
CHAIN_SECONDS_MAX = 2.0
RETRY_SECONDS = 5
GOODS_DIGITS_MAX = 10
BODIES_KEPT_MAX = 500
BODY_KEPT_BYTES_MAX = 64 * 1024
"""Pages that are kept, for as long as nothing in them changes: asked for again they cost their reads alone. They are
kept packed, but it is their own length that bounds what is kept beside them to tell whether anything changed."""
GZIP_LEVEL = 4

# Nothing of a page comes from elsewhere, and nothing in it runs but the node's own script. That one asks whichever
# JSON-RPC endpoint its reader names, and shows the pictures whose bytes it has checked (blob:).
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self' https: http:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding, Accept-Language",
}

log = logging.getLogger(__name__)


class TraceEndpoint:
    """Shows goods to whoever has their number."""

    def __init__(self, query: Query, scans: Scans, visitors: Visitors, times: BlockTimes, place: Place) -> None:
        self._query = query
        self._scans = scans
        self._visitors = visitors
        self._times = times
        self._place = place
        self.assets = Assets()
        # Strangers' pages must leave the processor to the partners' records, and a chain that hangs must not take
        # the threads that pages need.
        self._threads = CapacityLimiter(THREADS)
        self._chain_threads = CapacityLimiter(1)
        templates = environment()
        self._bodies: OrderedDict[tuple[str, int], tuple[tuple[Trace, dict[int, int], bool], bytes]] = OrderedDict()
        self._lock = Lock()
        self._page, self._notice = (templates.get_template(name) for name in ("trace.html", "notice.html"))

    async def answer(self, request: Request) -> Response:
        """One HTTP request."""
        language = language_of(request.query_params.get("lang"), request.headers.get("accept-language", ""))
        number = request.path_params["goods_id"]
        if not (number.isascii() and number.isdigit() and len(number) <= GOODS_DIGITS_MAX):
            return self._refusal(language, 404, "missing_title", "no_number")
        try:
            body = await self._body(language, int(number))
        except VTraceError:
            return self._refusal(language, 404, "missing_title", "missing")
        except IndexUnavailable as fault:
            log.warning("a page can't be made now: %s", fault)
            return self._refusal(language, 503, "busy_title", "busy")
        note(self._scans, self._visitors, request, int(number))
        headers = HEADERS | {"Content-Language": language}
        if takes_gzip(request.headers.get("accept-encoding", "")):
            headers["Content-Encoding"] = "gzip"
        else:
            body = await to_thread.run_sync(gzip.decompress, body, limiter=self._threads)
        return Response(body, headers=headers, media_type="text/html")

    async def _body(self, language: str, goods_id: int) -> bytes:
        trace, body = await to_thread.run_sync(self._look, language, goods_id, limiter=self._threads)
        if body is not None:
            return body
        missing = self._times.missing(trace.placed)
        with move_on_after(CHAIN_SECONDS_MAX) as waited:
            await to_thread.run_sync(self._times.ask, missing, limiter=self._chain_threads, abandon_on_cancel=True)
        if waited.cancelled_caught:
            self._times.leave_alone()
        return await to_thread.run_sync(self._made, language, trace, limiter=self._threads)

    def _look(self, language: str, goods_id: int) -> tuple[Trace, bytes | None]:
        """What the index has, and the page of it, unless the chain has to be asked first."""
        trace = self._query.trace(goods_id)
        return trace, None if self._times.missing(trace.placed) else self._made(language, trace)

    def _made(self, language: str, trace: Trace) -> bytes:
        """The page, packed by gzip."""
        is_hinted = self._scans.is_hinted(trace.goods.id)
        key, now = (language, trace.goods.id), (trace, self._times.known(trace.placed), is_hinted)
        with self._lock:
            before, body = self._bodies.get(key, (None, b""))
        if before == now:
            return body
        page = page_of(language, *now[:2], self._place, is_hinted=is_hinted)
        text = self._page.render(page=page, place=self._place, **self._common(language)).encode()
        made = gzip.compress(text, GZIP_LEVEL, mtime=0)
        with self._lock:
            self._bodies.pop(key, None)
            if len(text) <= BODY_KEPT_BYTES_MAX:
                self._bodies[key] = now, made
            while len(self._bodies) > BODIES_KEPT_MAX:
                self._bodies.popitem(last=False)
        return made

    def _common(self, language: str) -> dict[str, object]:
        return {
            "language": language,
            "say": partial(texts.say, language),
            "icon": self.assets.address("icon.svg"),
            "style": self.assets.address("page.css"),
            "script": self.assets.address("check.js"),
        }

    def _refusal(self, language: str, status: int, title: str, message: str) -> Response:
        body = self._notice.render(title=title, message=message, **self._common(language))
        headers = HEADERS | {"Content-Language": language, "Cache-Control": "no-store"}
        if status == 503:
            headers["Retry-After"] = str(RETRY_SECONDS)
        return Response(body, status_code=status, headers=headers, media_type="text/html")
