"""Addresses that several processes listen on: chosen and held by the one that starts them."""

from __future__ import annotations

import socket

from node.config import host_and_port
from node.errors import SetupError


class HeldPort:
    """A TCP port that is held for others by a socket that never listens. ``address`` names it, also where it was 0.

    The system gives each new connection to one of the processes that listen there.
    """

    def __init__(self, option: str, address: str) -> None:
        host, port = host_and_port(option, address)
        try:
            family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            # Sharing would be as glad to share with another node: so look whether anybody else has the port.
            with socket.socket(family, socket.SOCK_STREAM) as alone:
                alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                alone.bind(where)
            self._socket = socket.socket(family, socket.SOCK_STREAM)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._socket.bind(where)
        except OSError as fault:
            raise SetupError(f"{option} {address}: {fault.strerror}; is another node running?") from fault
        self.address = f"{address.rpartition(':')[0]}:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()
