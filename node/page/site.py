"""The HTTP server: what it serves, and the thread it runs in."""

from __future__ import annotations

import asyncio
import socket
import threading

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from node.config import host_and_port
from node.errors import SetupError
from node.flow.files import Files
from node.flow.rates import Rates
from node.page import docs, events
from node.page.codes import CodeEndpoint
from node.page.connections import CONNECTIONS_MAX, Connections, Listener
from node.page.digital_link import METHODS, DigitalLinkEndpoint
from node.page.events import EventsEndpoint
from node.page.files import FileEndpoint
from node.page.gate import HEAD_BYTES_MAX, Gate
from node.page.observed import Observed
from node.page.operation import Operation
from node.page.protocol import GuardedProtocol
from node.page.rpc import RpcEndpoint
from node.page.trace import TraceEndpoint
from node.tls import TlsFiles

RPC_PATH = "/rpc"
BACKLOG = 256
UNREAD_MILLIS_MAX = 60_000
KEEP_ALIVE_SECONDS = 15
STOP_SECONDS = 3
STRICT = ("strict-transport-security", f"max-age={2 * 365 * 86_400}; includeSubDomains")
"""Said over TLS: a browser that was here once comes by https alone."""


class Site:
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
        host, port = host_and_port("--http", address)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        context, refresh = tls.context() if tls is not None else (None, lambda: None)
        connections = Connections(by_address=trusted_proxies == 0)
        try:
            listening = socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=is_shared)
        except OSError as fault:
            raise SetupError(f"--http {address}: {fault.strerror}; is another node running?") from fault
        # Connections inherit it. Without it an answer's body waits for the reader's acknowledgement of its head, 40 ms.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # A reader that is cut off because it takes nothing would else keep its connection for as long as it likes.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MILLIS_MAX)
        self._socket = Listener(listening, connections, refresh)
        self.port = int(self._socket.getsockname()[1])
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
        config = uvicorn.Config(
            self.observed,
            http=type("Protocol", (GuardedProtocol,), {"connections_open": connections}),
            h11_max_incomplete_event_size=HEAD_BYTES_MAX,
            log_config=None,
            access_log=False,
            server_header=False,
            headers=[STRICT] if tls is not None else [],
            # uvicorn would believe any X-Forwarded-For that comes from this machine; node/domain/addresses.py decides.
            proxy_headers=False,
            limit_concurrency=CONNECTIONS_MAX + 1,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
            lifespan="off",
            ws="none",
        )
        config.load()
        config.ssl = context
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Answer requests from now on; the socket listens already."""
        self._thread.start()

    def stop(self) -> None:
        """Let requests under way end, then close."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS + 2)
        self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))
