"""What operators' tools ask over HTTP: ``/healthz``, ``/readyz`` and ``/metrics``.

The first two are on the site, for everybody: they name parts of the node, and nothing of what it holds. Figures are for
the operator: at an address of their own, or without one on the site for callers on this machine alone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from urllib.parse import urlsplit

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from node.flow.readiness import Readiness
from node.page.connections import Connections, Listener
from node.page.serving import Serving, listen

HEALTHZ, READYZ, METRICS = "/healthz", "/readyz", "/metrics"
CONNECTIONS_MAX = 64
BACKLOG = 16
_FRESH = {"Cache-Control": "no-store"}
_FORWARDING = ("x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via")

Expose = Callable[[str], tuple[bytes, str]]
"""The figures as text and its media type, as an Accept header wants them."""


class Operation:
    """The three endpoints. ``is_alone`` says that figures have an address of their own, or no place at all."""

    def __init__(self, expose: Expose, ready: Callable[[], Readiness], *, is_alone: bool) -> None:
        self._expose = expose
        self._ready = ready
        self._threads = CapacityLimiter(1)
        self._on_site = [] if is_alone else [Route(METRICS, self.local_metrics, methods=["GET"])]

    def site_routes(self) -> list[Route]:
        """What the site has."""
        return [*self._health(), *self._on_site]

    def own_routes(self) -> list[Route]:
        """What an address of their own has."""
        return [*self._health(), Route(METRICS, self.metrics, methods=["GET"])]

    def _health(self) -> list[Route]:
        return [Route(HEALTHZ, self.healthz, methods=["GET"]), Route(READYZ, self.readyz, methods=["GET"])]

    async def healthz(self, _: Request) -> Response:
        """The process is alive and answers."""
        return JSONResponse({"status": "alive"}, headers=_FRESH)

    async def readyz(self, _: Request) -> Response:
        """Whether the node can do its work, else why not."""
        found = self._ready()
        body = {"status": "ready" if found.is_ready else "not ready", "reasons": found.reasons}
        return JSONResponse(body, 200 if found.is_ready else 503, headers=_FRESH)

    async def local_metrics(self, request: Request) -> Response:
        """Figures for callers on this machine; for all others the place does not exist."""
        if not _is_direct(request):
            return Response("Not Found", 404, media_type="text/plain")
        return await self.metrics(request)

    async def metrics(self, request: Request) -> Response:
        """All figures."""
        accept = request.headers.get("accept", "")
        body, media_type = await to_thread.run_sync(self._expose, accept, limiter=self._threads)
        return Response(body, headers={**_FRESH, "Content-Type": media_type})


class OperationSite(Serving):
    """Serves the endpoints on an address of their own."""

    def __init__(self, address: str, operation: Operation, *, shared: bool = False) -> None:
        """``shared`` with other processes, whichever of them then answers."""
        connections = Connections(by_address=False)
        advice = "does something else listen there?"
        listening = listen("--metrics", address, advice, backlog=BACKLOG, is_shared=shared)
        super().__init__(
            "metrics",
            Starlette(routes=operation.own_routes()),
            Listener(listening, connections, lambda: None),
            connections,
            limit_concurrency=CONNECTIONS_MAX,
        )


def _is_direct(request: Request) -> bool:
    """Whether a request comes from this machine itself, neither through a proxy nor from another site's page."""
    peer = request.client.host if request.client else ""
    try:
        said = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return False
    is_brought = any(name in request.headers for name in _FORWARDING)
    return _is_local(peer) and _is_local(said) and not is_brought


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
