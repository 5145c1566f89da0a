"""What every HTTP request passes before anything is looked up for it."""

from __future__ import annotations

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from node.domain.addresses import client_address
from node.domain.rates import Rate
from node.errors import VTraceError
from node.flow.rates import Rates

HEAD_BYTES_MAX = 64 * 1024
FREE = ("/api/", "/epcis/capture", "/static/", "/docs", "/openapi.json")
"""What is not counted here: rpcs and captures count themselves, the rest is the same for everybody and costs little."""


class Gate:
    """Counts public reads: the pages, links, codes, files and the chain, as GetCirc does."""

    def __init__(self, site: ASGIApp, rates: Rates, trusted_proxies: int) -> None:
        self._site = site
        self._rates = rates
        self._trusted_proxies = trusted_proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if sum(len(name) + len(value) for name, value in headers) > HEAD_BYTES_MAX:
            large = f"headers: want at most {HEAD_BYTES_MAX} bytes\n"
            await PlainTextResponse(large, 431, {"connection": "close"})(scope, receive, send)
            return
        if not scope["path"].startswith(FREE):
            said = b",".join(value for name, value in headers if name == b"x-forwarded-for").decode("latin-1")
            peer = scope["client"][0] if scope.get("client") else ""
            try:
                self._rates.from_address(Rate.PUBLIC_READ, client_address(peer, said, self._trusted_proxies))
            except VTraceError as fault:
                wait = {"retry-after": str(fault.retry_seconds), "cache-control": "no-store"}
                await PlainTextResponse(f"{fault.message}\n", 429, wait)(scope, receive, send)
                return
        await self._site(scope, receive, send)
