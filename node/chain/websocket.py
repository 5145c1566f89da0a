"""``WebSocketRpc``: JSON-RPC over a WebSocket, which also brings the news that there is a new head."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from node.chain.link import Link
from node.chain.transport import BATCH_CALLS_MAX, TIMEOUT_SECONDS, Call, ChainUnavailable, endpoint_name

BACKOFF_SECONDS_FIRST = 0.1
BACKOFF_SECONDS_MAX = 2.0
BACKOFF_DOUBLINGS_MAX = 10

log = logging.getLogger(__name__)


class WebSocketRpc:
    """JSON-RPC over ``ws://`` or ``wss://``. Threads share one connection.

    It opens at the first use, and after its loss at the next; while no answer ever comes, not more often than
    the back-off allows, and in between every call is refused with the last fault. ``timeout_seconds`` bounds each
    request of at most 100 calls, the opening included; a request that takes longer ends the connection, so all
    that wait for it are ChainUnavailable. Nothing is sent twice, and neither proxies nor redirects are followed.

    ``on_head`` may be set at any time: it is called, on a thread of the connection, whenever the endpoint
    announces a new head. It must not block. Where an endpoint announces none, a warning says so once.
    """

    def __init__(
        self,
        url: str,
        timeout_seconds: float = TIMEOUT_SECONDS,
        on_head: Callable[[], None] | None = None,
    ) -> None:
        if not is_websocket_url(url):
            raise ValueError("chain endpoint's URL is unfit, want ws://[USER:PASSWORD@]HOST[:PORT][/PATH] or wss://…")
        if timeout_seconds <= 0:
            raise ValueError(f"timeout is {timeout_seconds} seconds, want > 0")
        self.on_head = on_head
        self._url = url
        self._name = endpoint_name(url)
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._fruitless = 0
        self._closed = False
        self._told_no_heads = False

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        """See JsonRpc. More than 100 calls go out in several requests, one after the other."""
        answers: list[Any] = []
        for start in range(0, len(calls), BATCH_CALLS_MAX):
            answers += self._request(calls[start : start + BATCH_CALLS_MAX])
        return answers

    def close(self) -> None:
        with self._lock:
            self._closed = True
            link = self._link
        if link is not None:
            link.close("was closed by this node")

    def _request(self, calls: Sequence[Call]) -> list[Any]:
        link = self._usable_link()
        request = link.ask(calls)
        if not request.done.wait(self._timeout_seconds):
            link.end(f"took more than {self._timeout_seconds:g} seconds")
        if request.results is None:
            raise self._unavailable(link.fault or "lost the connection")
        return request.results

    def _usable_link(self) -> Link:
        """The link, or a new one where the last ended, unless it is too early for that."""
        with self._lock:
            if self._closed:
                raise self._unavailable("was closed by this node")
            link = self._link
            if link is not None:
                if link.fault is None:
                    return link
                if link.answered:
                    self._fruitless = 0
                elif time.monotonic() - link.ended_seconds < self._pause_seconds():
                    raise self._unavailable(link.fault)
            self._fruitless += 1
            self._link = Link(self._url, self._timeout_seconds, self._new_head, self._no_heads)
            return self._link

    def _pause_seconds(self) -> float:
        doublings = min(self._fruitless - 1, BACKOFF_DOUBLINGS_MAX)
        return min(BACKOFF_SECONDS_FIRST * 2.0**doublings, BACKOFF_SECONDS_MAX)

    def _new_head(self) -> None:
        on_head = self.on_head
        if on_head is not None:
            on_head()

    def _no_heads(self, reason: str) -> None:
        if not self._told_no_heads:
            self._told_no_heads = True
            log.warning("chain endpoint %s announces no heads (%s); the node looks for them itself", self._name, reason)

    def _unavailable(self, what: str) -> ChainUnavailable:
        return ChainUnavailable(f"chain endpoint {self._name} {what}")


def is_websocket_url(text: str) -> bool:
    """Whether a text is a URL that WebSocketRpc takes."""
    try:
        parse_uri(text)
        return urlsplit(text).port != 0
    except (InvalidURI, ValueError):
        return False
