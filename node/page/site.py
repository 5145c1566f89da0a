"""The HTTP server: what it serves, and the thread it runs in."""

from __future__ import annotations

import socket

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from node.flow.files import Files
from node.flow.rates import Rates
from node.page import docs, events
from node.page.codes import CodeEndpoint
from node.page.connections import CONNECTIONS_MAX, Connections, Listener
from node.page.digital_link import METHODS, DigitalLinkEndpoint
from node.page.events import EventsEndpoint
from node.page.files import FileEndpoint
from node.page.gate import Gate
from node.page.observed import Observed
from node.page.operation import Operation
from node.page.rpc import RpcEndpoint
from node.page.serving import Serving, listen
from node.page.trace import TraceEndpoint
from node.tls import TlsFiles

RPC_PATH = "/rpc"
BACKLOG = 256
UNREAD_MILLIS_MAX = 60_000
KEEP_ALIVE_SECONDS = 15
STRICT = ("strict-transport-security", f"max-age={2 * 365 * 86_400}; includeSubDomains")
"""Said over TLS: a browser that was here once comes by https alone."""


class Site(Serving):
    """Serves HTTP on one address, which other processes may share; in the clear without ``tls``.

    ``rpc`` shows the chain at /rpc, if the node has its own; ``api`` is the protocol, ``epcis`` tells events and
    ``capture`` takes them; ``operation`` has what operators' tools ask.
    """

    def __init__(
        self,
        address: str,
        rpc: RpcEndpoint | None,
        files: Files,
        trace: TraceEndpoint,
        codes: CodeEndpoint,
        links: DigitalLinkEndpoint,
        api: ASGIApp,
        epcis: EventsEndpoint,
        capture: ASGIApp,
        rates: Rates,
        operation: Operation,
        trusted_proxies: int = 0,
        tls: TlsFiles | None = None,
        *,
        is_shared: bool = False,
    ) -> None:
        context, refresh = tls.context() if tls is not None else (None, lambda: None)
        connections = Connections(by_address=trusted_proxies == 0)
        listening = listen("--http", address, "is another node running?", backlog=BACKLOG, is_shared=is_shared)
        # Connections inherit it. Without it an answer's body waits for the reader's acknowledgement of its head, 40 ms.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # A reader that is cut off because it takes nothing would else keep its connection for as long as it likes.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MILLIS_MAX)
        routes: list[BaseRoute] = [
            Route("/ipfs/{cid:path}", FileEndpoint(files).answer, methods=["GET", "HEAD"]),
            Route("/t/{goods_id}", trace.answer, methods=["GET"]),
            Route("/t/{goods_id}/", trace.answer, methods=["GET"]),
            Route("/t/{goods_id}/qr.{kind}", codes.answer, methods=["GET"]),
            Route("/01", links.answer, methods=METHODS),
            Route("/01/{rest:path}", links.answer, methods=METHODS),
            Route("/.well-known/gs1resolver", links.describe, methods=["GET"]),
            Route("/static/{version}/{name}", trace.assets.answer, methods=["GET"]),
            Route(events.PATH, epcis.answer, methods=["GET", "HEAD", "OPTIONS"]),
            Mount("/api", api),
            Route("/openapi.json", api),
            Route("/epcis/capture", capture),
            Route("/epcis/capture/{capture_id}", capture),
            *docs.routes(),
            *operation.site_routes(),
        ]
        if rpc is not None:
            routes.append(Route(RPC_PATH, rpc.answer, methods=["POST", "OPTIONS"]))
        application = Starlette(routes=routes)
        # It would send readers to http:// and whatever host they named, behind a TLS proxy too.
        application.router.redirect_slashes = False
        self.observed = Observed(Gate(application, rates, trusted_proxies))
        super().__init__(
            "http",
            self.observed,
            Listener(listening, connections, refresh),
            connections,
            headers=[STRICT] if tls is not None else [],
            limit_concurrency=CONNECTIONS_MAX + 1,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        self._config.load()
        self._config.ssl = context
