"""HTTP with a limit on how long a client may take: for a request's head, and for reading the answer."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from node.page.connections import Connections

HEAD_SECONDS_MAX = 10
READ_SECONDS_MAX = 60
CERTIFICATE = "certificate"
"""Where the client's certificate, DER, stands in a request's state."""


class GuardedProtocol(H11Protocol):
    """One connection. A class of its own for each server: ``connections`` are that server's."""

    connections_open: Connections
    head_seconds = HEAD_SECONDS_MAX
    _timer: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The connection is there, with TLS if the server has it."""
        super().connection_made(transport)
        self._peer = transport.get_extra_info("peername")
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        if certificate is not None:
            self.app_state: dict[str, Any] = {**self.app_state, CERTIFICATE: certificate}
        self._look()

    def data_received(self, data: bytes) -> None:
        """More of a request."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """An answer is out; the next request may be there already."""
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        super().connection_lost(exc)
        for timer in (self._timer, self._stalled):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()

    def _look(self) -> None:
        """Whether a head is awaited now, and since when."""
        if self.conn.their_state is not h11.IDLE:
            self.connections_open.works(self._peer)
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._timer is None and not self.transport.is_closing():
            self.connections_open.waits(self._peer)
            self._timer = self.loop.call_later(self.head_seconds, self._end_silent)

    def _end_silent(self) -> None:
        """No head came in time; but who still reads the last answer has not been silent."""
        if self.transport.get_write_buffer_size():
            self._timer = self.loop.call_later(self.head_seconds, self._end_silent)
        else:
            self.transport.abort()

    def _watch_reader(self, before: int | None = None) -> None:
        """Whether less waits to be read than before; else the client takes nothing."""
        unread = self.transport.get_write_buffer_size()
        if before is not None and unread >= before:
            self.transport.abort()
        else:
            self._stalled = self.loop.call_later(READ_SECONDS_MAX, self._watch_reader, unread)
