"""GS1 Digital Links of goods at ``/01/…``, resolved as the GS1-Conformant Resolver Standard 1.1 says.

Goods have a page and nothing else, so every kind of link leads there. A product or a batch as a whole has none.
Compressed links are not taken.
"""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import quote

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response

from node.domain import gs1
from node.domain.model import GOODS_ID_MAX
from node.domain.records import Goods
from node.errors import IndexUnavailable, VTraceError
from node.flow.labels import Labelling
from node.flow.query import Query
from node.page.language import language_of
from node.page.rendering import Notices
from node.page.text import LANGUAGES, clean

METHODS = ["GET", "HEAD", "OPTIONS"]
THREADS = 4
RETRY_SECONDS = 5
LINKSET = "application/linkset+json"
CONTEXT = "https://ref.gs1.org/standards/resolver/linkset-context"
VOCABULARY = "https://ref.gs1.org/voc/"
PREFIXES = ("gs1:", VOCABULARY, "https://gs1.org/voc/", "https://www.gs1.org/voc/")
LINK_TYPES = {
    "defaultLink": "History",
    "traceability": "History",
    "pip": "Product and maker",
    "recallStatus": "Recalls",
}
"""Kinds of links to the page of goods, and what each is called in a linkset."""
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": ", ".join(METHODS),
    "Access-Control-Allow-Headers": "accept, accept-language",
    "Access-Control-Expose-Headers": "Link, Location",
}
VARY = {"Vary": "Accept, Accept-Language"}

log = logging.getLogger(__name__)


class DigitalLinkEndpoint:
    """Resolves the codes of goods whose class has a GTIN."""

    def __init__(self, query: Query, labelling: Labelling, notices: Notices) -> None:
        self._query = query
        self._labelling = labelling
        self._notices = notices
        # Strangers' scans must leave the processor to the partners' records.
        self._threads = CapacityLimiter(THREADS)

    async def answer(self, request: Request) -> Response:
        """One HTTP request."""
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=CORS | {"Allow": ", ".join(METHODS)})
        try:
            link = gs1.parse(_path(request))
        except gs1.NoLink:
            return self._refusal(request, 400, "link_wrong")
        if link.serial is None:
            return self._refusal(request, 404, "link_kind")
        try:
            goods = await to_thread.run_sync(self._find, link, limiter=self._threads)
        except IndexUnavailable as fault:
            log.warning("a link can't be resolved now: %s", fault)
            return self._refusal(request, 503, "busy", {"Retry-After": str(RETRY_SECONDS)})
        if goods is None:
            return self._refusal(request, 404, "link_other")
        return self._found(request, link, goods)

    async def describe(self, _: Request) -> Response:
        """The resolver description file at ``/.well-known/gs1resolver``."""
        return _json(
            {
                "name": "VTrace",
                "resolverRoot": self._labelling.base,
                "supportedPrimaryKeys": [gs1.GTIN],
                "supportedLinkType": [{"namespace": VOCABULARY, "prefix": "gs1:"}],
                "linkTypeDefaultCanBeLinkset": False,
                "jsonLdContextLocation": CONTEXT,
            },
            "application/json",
            {},
        )

    def _find(self, link: gs1.Link) -> Goods | None:
        """The goods that a link names; None unless number, batch and GTIN are those of one goods."""
        if not (link.serial and link.serial.isdigit() and len(link.serial) <= len(str(GOODS_ID_MAX))):
            return None
        try:
            goods = self._query.goods(int(link.serial))
        except VTraceError:
            return None
        ours = gs1.Link(
            gtin=gs1.gtin_of(goods.serial.goods_class.description) or "",
            lot=None if link.lot is None else str(goods.serial.id),
            serial=str(goods.id),
        )
        return goods if link == ours else None

    def _found(self, request: Request, link: gs1.Link, goods: Goods) -> Response:
        base = self._labelling.base
        anchor = f"{base}{gs1.link_path(link.gtin, goods.serial.id, goods.id)}"
        page = f"{base}/t/{goods.id}"
        asked = request.query_params.get("linkType", "")
        about = f'<{anchor}?linkType=linkset>; rel="linkset"; type="{LINKSET}"'
        if asked in ("all", "linkset") or (not asked and _wants_linkset(request)):
            context = f'<{CONTEXT}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
            name = clean(goods.serial.goods_class.name)
            return _json(_linkset(anchor, page, name), LINKSET, {"Link": f"{about}, {context}"})
        if asked and _link_type(asked) is None:
            return self._refusal(request, 404, "link_type", {"Link": about})
        # The label's #c=… stays with the address, as a browser keeps it where a redirect names none.
        kept = "&".join(part for part in request.url.query.split("&") if part and not part.startswith("linkType="))
        target = f"{page}?{quote(kept, safe=_QUERY_SAFE)}" if kept else page
        headers = CORS | VARY | {"Location": target, "Link": about, "Cache-Control": "no-cache"}
        return Response(status_code=307, headers=headers)

    def _refusal(self, request: Request, status: int, message: str, headers: dict[str, str] | None = None) -> Response:
        language = language_of(request.query_params.get("lang"), request.headers.get("accept-language", ""))
        title = "busy_title" if message == "busy" else "link_title"
        return self._notices.answer(language, status, title, message, CORS | VARY | (headers or {}))


_QUERY_SAFE = "!$%&'()*+,-./:;=?@_~"


def _path(request: Request) -> str:
    """The path as it was sent, percent-encoded, without what the address of the node may have before it."""
    raw = request.scope.get("raw_path") or request.url.path.encode()
    return str(raw, "latin-1").partition("?")[0]


def _wants_linkset(request: Request) -> bool:
    return any(part.split(";")[0].strip() == LINKSET for part in request.headers.get("accept", "").lower().split(","))


def _link_type(asked: str) -> str | None:
    """The name in LINK_TYPES of a link type as a CURIE or an address."""
    for prefix in PREFIXES:
        name = asked.removeprefix(prefix)
        if name != asked and name in LINK_TYPES:
            return name
    return None


def _linkset(anchor: str, page: str, name: str) -> dict[str, Any]:
    """The links of one goods, as RFC 9264 has them in JSON."""
    target = {"href": page, "type": "text/html", "hreflang": list(LANGUAGES)}
    links = {f"{VOCABULARY}{kind}": [{**target, "title": f"{title}: {name}"}] for kind, title in LINK_TYPES.items()}
    return {"linkset": [{"anchor": anchor, **links}]}


def _json(value: dict[str, Any], media_type: str, headers: dict[str, str]) -> Response:
    # starlette would put a charset behind text types only; JSON is UTF-8 by itself.
    body = json.dumps(value, ensure_ascii=False, indent=2).encode()
    given = CORS | VARY | {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"} | headers
    return Response(body, headers=given, media_type=media_type)
