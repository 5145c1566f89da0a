"""An HTTP server of the node: where it listens, and the thread it runs in."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from node.config import host_and_port
from node.errors import SetupError
from node.page.connections import Connections, Listener
from node.page.gate import HEAD_BYTES_MAX
from node.page.protocol import GuardedProtocol

STOP_SECONDS = 3


def listen(option: str, address: str, advice: str, *, backlog: int, is_shared: bool) -> socket.socket:
    """A socket that listens, on an address that other processes may share. SetupError, with ``advice``, if it can't."""
    host, port = host_and_port(option, address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=backlog, reuse_port=is_shared)
    except OSError as fault:
        raise SetupError(f"{option} {address}: {fault.strerror}; {advice}") from fault


class Serving:
    """Serves an application on a thread of its own. ``options`` are further ones of uvicorn."""

    def __init__(
        self, name: str, application: ASGIApp, listener: Listener, connections: Connections, **options: Any
    ) -> None:
        self._socket = listener
        self.port = int(listener.getsockname()[1])
        self._config = uvicorn.Config(
            application,
            http=type("Protocol", (GuardedProtocol,), {"connections_open": connections}),
            h11_max_incomplete_event_size=HEAD_BYTES_MAX,
            log_config=None,
            access_log=False,
            server_header=False,
            # uvicorn would believe any X-Forwarded-For that comes from this machine; node/domain/addresses.py decides.
            proxy_headers=False,
            timeout_graceful_shutdown=STOP_SECONDS,
            lifespan="off",
            ws="none",
            **options,
        )
        self._server = uvicorn.Server(self._config)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

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
