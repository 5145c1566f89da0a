"""One WebSocket connection to a chain, from its opening to its end.

Two threads serve a link: one opens the connection and sends, one receives. Whoever asks only waits for
them, so no wait is longer than the asker's own bound, whatever the connection does. The first fault ends
the link for good and everybody's wait with it; what speaks nonsense isn't spoken to any longer. So a link
holds no more than the requests that somebody waits for and, within its bound, the message on its way in.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException
from websockets.frames import CloseCode
from websockets.sync.client import ClientConnection, connect
from websockets.uri import parse_uri

from node.chain import transport
from node.chain.transport import Call, NotAnAnswer, RpcError, excerpt, json_of, reason_of, request_of, results_of

CLOSE_SECONDS = 1.0
HEAD_SECONDS_MIN = 0.1
"""News of a head sooner than this after other news is not passed on, so that no endpoint keeps the node running."""

_library_log = logging.getLogger(f"{__name__}.websockets")
# Its faults come to us as exceptions; cut while it reads, it logs a traceback, and at DEBUG the URL's path.
_library_log.setLevel(logging.CRITICAL)


class Request:
    """Calls on their way. ``done`` is set when ``results`` are there, or the link ended without them."""

    def __init__(self, first: int, count: int) -> None:
        self.first = first
        self.count = count
        self.done = threading.Event()
        self.results: list[Any] | None = None


class Link:
    """A connection that opens at once, in the background.

    ``fault`` says why it ended, going on from the endpoint's name, or is None while it lasts;
    ``ended_seconds`` is when, by the monotonic clock. ``answered`` tells whether it was of any use.
    ``on_head`` is told of new heads, ``on_no_heads`` why there will be no such news; both on a thread of the link.
    """

    def __init__(
        self,
        url: str,
        timeout_seconds: float,
        on_head: Callable[[], None],
        on_no_heads: Callable[[str], None],
    ) -> None:
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._on_head = on_head
        self._on_no_heads = on_no_heads
        self._lock = threading.Lock()
        self._waiting: dict[int, Request] = {}
        self._last_id = 0
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._handle: socket.socket | None = None
        self._head_seconds = -HEAD_SECONDS_MIN
        self.fault: str | None = None
        self.ended_seconds = 0.0
        self.answered = False
        self._subscription = self.ask([("eth_subscribe", ["newHeads"])])
        self._thread = threading.Thread(target=self._send, name="chain-link-send", daemon=True)
        self._thread.start()

    def ask(self, calls: Sequence[Call]) -> Request:
        """Send calls as soon as the connection is there. On a link that ended the request is done at once."""
        with self._lock:
            request = Request(self._last_id + 1, len(calls))
            self._last_id += len(calls)
            if self.fault is not None:
                request.done.set()
                return request
            self._waiting[request.first] = request
        self._outgoing.put(request_of(calls, request.first))
        return request

    def end(self, fault: str) -> None:
        """Leave the connection at once, and let everybody go who waits. Only the first fault counts."""
        if self._let_go(fault):
            self._cut()

    def close(self, fault: str) -> None:
        """End with a farewell to the endpoint, within a bound."""
        self._let_go(fault)
        self._thread.join(CLOSE_SECONDS)
        self._cut()
        self._thread.join(CLOSE_SECONDS)

    def _let_go(self, fault: str) -> bool:
        with self._lock:
            if self.fault is not None:
                return False
            self.fault = fault
            self.ended_seconds = time.monotonic()
            waiting, self._waiting = self._waiting, {}
        self._outgoing.put(None)
        for request in waiting.values():
            request.done.set()
        return True

    def _cut(self) -> None:
        """Wake any thread that the connection holds, in a read or a write."""
        with self._lock:
            handle = self._handle
        if handle is not None:
            with suppress(OSError):  # it is gone already
                handle.shutdown(socket.SHUT_RDWR)

    # --- the thread that opens and sends

    def _send(self) -> None:
        try:
            with self._opened() as connection:
                reader = threading.Thread(target=self._receive, args=(connection,), name="chain-link", daemon=True)
                reader.start()
                while (message := self._outgoing.get()) is not None:
                    connection.send(message, text=True)
        except (OSError, WebSocketException, ValueError) as error:
            self.end(self._why(error))
        finally:
            self.end("lost the connection")

    @contextmanager
    def _opened(self) -> Iterator[ClientConnection]:
        """The connection. Its socket is ours from the start, so that it can be cut and no redirect is followed."""
        uri = parse_uri(self._url)
        deadline = time.monotonic() + self._timeout_seconds
        with socket.create_connection((uri.host, uri.port), self._timeout_seconds) as own:
            handle = own.dup()
            own.settimeout(None)
            with closing(handle):
                with self._lock:
                    self._handle = handle
                    is_over = self.fault is not None
                if is_over:
                    raise ConnectionAbortedError
                with connect(
                    self._url,
                    sock=own,
                    proxy=None,
                    compression=None,
                    open_timeout=max(deadline - time.monotonic(), 0),
                    close_timeout=CLOSE_SECONDS,
                    ping_interval=None,
                    max_size=transport.ANSWER_BYTES_MAX,
                    max_queue=1,
                    logger=_library_log,
                ) as connection:
                    yield connection

    def _why(self, error: BaseException) -> str:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, InvalidStatus):
                body = bytes(cause.response.body or b"")
                return f"answered HTTP {cause.response.status_code}: {excerpt(body)}"
            cause = cause.__cause__
        if isinstance(error, TimeoutError):
            return f"took more than {self._timeout_seconds:g} seconds"
        if isinstance(error, ConnectionClosed):
            return _why_closed(error)
        if isinstance(error, InvalidHandshake):
            return f"doesn't open a WebSocket ({reason_of(error)})"
        return f"can't be reached ({reason_of(error)})"

    # --- the thread that receives

    def _receive(self, connection: ClientConnection) -> None:
        try:
            while True:
                self._take(json_of(connection.recv(decode=False)))
        except ConnectionClosed as error:
            self.end(_why_closed(error))
        except NotAnAnswer as fault:
            self.end(str(fault))
        finally:
            self.end("lost the connection")

    def _take(self, said: Any) -> None:
        if isinstance(said, dict) and said.get("id") is None and isinstance(said.get("method"), str):
            if said["method"] == "eth_subscription":
                self._announce()
            return
        request = self._asked(said)
        if request is None:
            results_of(said, 0, 0)
            raise NotAnAnswer("answered what wasn't asked for")
        results = results_of(said, request.first, request.count)
        with self._lock:
            if self._waiting.pop(request.first, None) is None:
                return
        if request is self._subscription:
            self._subscribed(results[0])
        else:
            self.answered = True
            request.results = results
        request.done.set()

    def _asked(self, said: Any) -> Request | None:
        """The request that an answer begins to answer."""
        item = said[0] if isinstance(said, list) and said else said
        number = item.get("id") if isinstance(item, dict) else None
        if type(number) is not int:
            return None
        with self._lock:
            for request in self._waiting.values():
                if request.first <= number < request.first + request.count:
                    return request
        return None

    def _subscribed(self, result: Any) -> None:
        if isinstance(result, RpcError):
            self._on_no_heads(str(result))

    def _announce(self) -> None:
        now = time.monotonic()
        if now - self._head_seconds >= HEAD_SECONDS_MIN:
            self._head_seconds = now
            self._on_head()


def _why_closed(error: ConnectionClosed) -> str:
    if error.sent is not None and error.sent.code == CloseCode.MESSAGE_TOO_BIG:
        return f"answered more than {transport.ANSWER_BYTES_MAX} bytes"
    if error.rcvd is not None:
        return f"closed the connection ({error.rcvd.code} {excerpt(error.rcvd.reason.encode())})"
    return "lost the connection"
