"""Which requests for a page are scans, and what is told of them."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from node.domain.addresses import client_address
from node.domain.scans import is_scan, place_of
from node.flow.scans import Scans


@dataclass(frozen=True, slots=True)
class Visitors:
    """How readers are told apart: ``trusted_proxies`` in front of the node, and the header in which one of them says
    where a reader is, or None."""

    trusted_proxies: int
    place_header: str | None


def note(scans: Scans, visitors: Visitors, request: Request, goods_id: int) -> None:
    """Count a request for the page of goods, if it is a scan. No code on a label has ?lang=: that is the page's own."""
    headers = request.headers
    purpose = headers.get("sec-purpose", headers.get("purpose", ""))
    is_readers = is_scan(headers.get("user-agent", ""), purpose, headers.get("sec-fetch-dest", ""))
    if request.method != "GET" or "lang" in request.query_params or not is_readers:
        return
    peer = request.client.host if request.client else ""
    forwarded = ",".join(headers.getlist("x-forwarded-for"))
    place = place_of(headers.get(visitors.place_header, "")) if visitors.place_header else ""
    scans.note(goods_id, client_address(peer, forwarded, visitors.trusted_proxies), place)
