"""Whose connections are open, and which of them has to go when there are too many.

A connection waits from its opening to the end of a request's head, and between requests. Honest clients send a head at
once, so of those that have asked nothing yet the one that waits longest goes first, then of those between requests:
connections that never ask anything can't keep others out.
"""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from node.domain.addresses import network_of, tells_callers_apart

CONNECTIONS_MAX = 2_048
ADDRESS_CONNECTIONS_MAX = 128

Peer = tuple[Any, ...]


class Connections:
    """The open connections of one server. For the one thread that serves them.

    ``by_address`` is false behind proxies, which have everybody's connections.
    """

    def __init__(self, by_address: bool) -> None:
        self._by_address = by_address
        self._open: dict[Peer, Callable[[], None]] = {}
        self._open_of: dict[str, int] = {}
        # Those that wait, the longest first: for their first request, and for another.
        self._new: OrderedDict[Peer, str] = OrderedDict()
        self._kept: OrderedDict[Peer, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, peer: Peer, end: Callable[[], None]) -> bool:
        """Count a new connection, which waits; ``end`` closes it. False if there is no room, nor one that waits."""
        network = self._network(peer)
        if network and self._open_of.get(network, 0) >= ADDRESS_CONNECTIONS_MAX and not self._end_oldest(network):
            return False
        if len(self._open) >= CONNECTIONS_MAX and not self._end_oldest(None):
            return False
        self._open[peer] = end
        self._open_of[network] = self._open_of.get(network, 0) + 1
        self._new[peer] = network
        return True

    def waits(self, peer: Peer) -> None:
        """A connection has been answered."""
        if peer in self._open and peer not in self._new:
            self._kept[peer] = self._network(peer)

    def works(self, peer: Peer) -> None:
        """A request of a connection is answered now."""
        self._new.pop(peer, None)
        self._kept.pop(peer, None)

    def gone(self, peer: Peer) -> None:
        """A connection is closed."""
        self.works(peer)
        if self._open.pop(peer, None) is not None:
            network = self._network(peer)
            self._open_of[network] -= 1
            if not self._open_of[network]:
                del self._open_of[network]

    def _end_oldest(self, network: str | None) -> bool:
        """End the one of a network, or of all, that waits longest; those that never asked anything first."""
        for waiting in (self._new, self._kept):
            oldest = next((peer for peer, its in waiting.items() if network in (None, its)), None)
            if oldest is not None:
                end = self._open[oldest]
                self.gone(oldest)
                end()
                return True
        return False

    def _network(self, peer: Peer) -> str:
        """What a connection counts by; empty for none."""
        host = str(peer[0]) if peer else ""
        return network_of(host) if self._by_address and tells_callers_apart(host) else ""


class _Connection(socket.socket):
    """A connection that says when it is closed."""

    on_close: Callable[[], None] | None = None

    def close(self) -> None:
        said, self.on_close = self.on_close, None
        if said is not None:
            said()
        super().close()


class Listener(socket.socket):
    """A listening socket that opens no more connections than there is room for."""

    def __init__(self, listening: socket.socket, connections: Connections, before: Callable[[], None]) -> None:
        """Takes ``listening`` over. ``before`` is called before each connection begins."""
        super().__init__(listening.family, listening.type, listening.proto, fileno=listening.detach())
        self._connections = connections
        self._before = before

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection; ConnectionAbortedError for one that was closed at once."""
        plain, peer = super().accept()
        opened = _Connection(plain.family, plain.type, plain.proto, fileno=plain.detach())

        def end() -> None:
            opened.on_close = None
            with suppress(OSError):  # the peer has closed it already
                opened.shutdown(socket.SHUT_RDWR)

        if not self._connections.admit(peer, end):
            opened.close()
            raise ConnectionAbortedError
        opened.on_close = lambda: self._connections.gone(peer)
        self._before()
        return opened, peer
