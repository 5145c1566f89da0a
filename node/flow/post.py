"""Posting to an address that a stranger named: resolved once, refused where it is not public, bounded in time and size.

The connection goes to the very address that was looked at, so that a name which answers otherwise the second time
gains nothing. No redirect is followed, no proxy of the environment used, and of the answer only the head is read.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from node.domain.webhooks import is_public
from node.errors import shown

POST_SECONDS_MAX = 10.0
CONNECT_SECONDS_MAX = 5.0
GONE = 410


class NotTaken(Exception):
    """The other side did not answer with 2xx; the message says what it did. ``is_gone``: it wants no more."""

    def __init__(self, message: str, *, is_gone: bool = False) -> None:
        super().__init__(message)
        self.is_gone = is_gone


class Poster:
    """``post`` for many threads. ``is_local`` allows addresses that are not public, for development."""

    def __init__(self, *, is_local: bool) -> None:
        self._is_local = is_local
        self._tls = ssl.create_default_context()

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """Post once; NotTaken unless the answer is 2xx."""
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        late = f"no answer within {POST_SECONDS_MAX:g} s"
        with _Deadline() as deadline:
            try:
                connection = self._connected(str(parts.hostname), parts.port, parts.scheme == "https", deadline)
                connection.request("POST", target, body, {"host": parts.netloc, **headers})
                status = connection.getresponse().status
            except TimeoutError:
                raise NotTaken(late) from None
            except (OSError, http.client.HTTPException, ValueError) as fault:
                raise NotTaken(late if deadline.is_over else shown(f"{type(fault).__name__}: {fault}")) from fault
        if deadline.is_over:  # a head that is cut short looks like one that ends
            raise NotTaken(late)
        if not 200 <= status < 300:
            raise NotTaken(f"it answered {status}", is_gone=status == GONE)

    def _connected(self, host: str, port: int | None, is_tls: bool, deadline: _Deadline) -> http.client.HTTPConnection:
        port = port or (443 if is_tls else 80)
        connection = http.client.HTTPConnection(host, port, timeout=POST_SECONDS_MAX)
        plain = socket.create_connection((self._resolved(host, port), port), CONNECT_SECONDS_MAX)
        connection.sock = deadline.holds(plain)
        plain.settimeout(POST_SECONDS_MAX)
        if is_tls:
            sealed = self._tls.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
            connection.sock = deadline.holds(sealed)
            sealed.do_handshake()
        return connection

    def _resolved(self, host: str, port: int) -> str:
        """One address of a host; NotTaken if any of them is not public."""
        try:
            found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except (socket.gaierror, UnicodeError) as fault:
            raise NotTaken(f"{shown(host)} has no address: {fault}") from fault
        hidden = [address for address in found if not is_public(address)]
        if hidden and not self._is_local:
            raise NotTaken(f"{shown(host)} is {hidden[0]}, which is no public address")
        return found[0]


class _Deadline:
    """Ends what is under way on a socket after POST_SECONDS_MAX, however slowly an answer drips; then closes it."""

    def __init__(self) -> None:
        self.is_over = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(POST_SECONDS_MAX, self._end)
        self._timer.daemon = True

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._socket is not None:
            self._socket.close()

    def holds(self, given: socket.socket) -> socket.socket:
        """From now on this is the socket."""
        self._socket = given
        if self.is_over:
            raise TimeoutError
        return given

    def _end(self) -> None:
        self.is_over = True
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it may be closed already
                # Not SSLSocket's own, which would take the TLS state from under the thread that waits.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
