"""The code of goods as a picture at ``GET /t/{goods_id}/qr.svg`` and ``qr.png``."""

from __future__ import annotations

import logging

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response

from node.codes.qr import Symbol, TooLong
from node.domain.limits import identifier
from node.errors import IndexUnavailable, VTraceError
from node.flow.labels import Labelling
from node.flow.query import Query
from node.page.language import language_of
from node.page.rendering import Notices

THREADS = 2
RETRY_SECONDS = 5
GOODS_DIGITS_MAX = 10
TYPES = {"svg": "image/svg+xml", "png": "image/png"}
# The public address may be set anew, and the code with it.
HEADERS = {"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"}
HEADERS_SVG = HEADERS | {"Content-Security-Policy": "default-src 'none'; sandbox"}

log = logging.getLogger(__name__)


class CodeEndpoint:
    """Draws the codes of goods."""

    def __init__(self, query: Query, labelling: Labelling, notices: Notices) -> None:
        self._query = query
        self._labelling = labelling
        self._notices = notices
        # Strangers' codes must leave the processor to the partners' records.
        self._threads = CapacityLimiter(THREADS)

    async def answer(self, request: Request) -> Response:
        """One HTTP request."""
        language = language_of(request.query_params.get("lang"), request.headers.get("accept-language", ""))
        number, kind = request.path_params["goods_id"], request.path_params["kind"]
        if kind not in TYPES or not (number.isascii() and number.isdigit() and len(number) <= GOODS_DIGITS_MAX):
            return self._notices.answer(language, 404, "missing_title", "no_number")
        try:
            drawn = await to_thread.run_sync(self._drawn, int(number), kind, limiter=self._threads)
        except VTraceError:
            return self._notices.answer(language, 404, "missing_title", "missing")
        except IndexUnavailable as fault:
            log.warning("a code can't be drawn now: %s", fault)
            headers = {"Retry-After": str(RETRY_SECONDS)}
            return self._notices.answer(language, 503, "busy_title", "busy", headers)
        except TooLong as fault:
            log.error("a code can't be drawn, give a shorter --public-url: %s", fault)
            return self._notices.answer(language, 500, "too_long_title", "too_long")
        return Response(drawn, headers=HEADERS_SVG if kind == "svg" else HEADERS, media_type=TYPES[kind])

    def _drawn(self, goods_id: int, kind: str) -> bytes:
        symbol = Symbol(self._labelling.address(self._query.goods(identifier("goods_id", goods_id))))
        return symbol.svg() if kind == "svg" else symbol.png()
