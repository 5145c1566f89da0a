"""Streams to callers over gRPC: many streams, few threads.

An rpc that streams gives its thread back at once. Whoever has something to say is queued for one of a few threads,
which sends one page and takes the next stream. A message waits until the reader takes it; a reader that takes nothing
for SLOW_SECONDS is cut off, so that it does not hold a thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_status import rpc_status

from node.api import outgoing as bounds
from node.api.dispatch import Rpc
from node.api.outgoing import Outgoing
from node.api.status import to_status
from node.errors import VTraceError

THREADS = 8
LOOK_SECONDS = 1.0

log = logging.getLogger(__name__)


class Pusher:
    """All streams of a gRPC server."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="push")
        self._lock = threading.Lock()
        self._streams: set[_Stream] = set()
        self._stopping = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, name="slow readers", daemon=True)
        self._watchdog.start()

    def begin(
        self,
        rpc: Rpc,
        outgoing: Outgoing,
        request_id: str,
        context: grpc.ServicerContext,
        send: Callable[[Any], None],
    ) -> None:
        """Send what ``outgoing`` says until either side ends; returns at once. ``send(None)`` ends the call."""
        stream = _Stream(self, rpc, outgoing, request_id, context, send)
        with self._lock:
            self._streams.add(stream)
        if not context.add_callback(stream.end):
            stream.end()
            return
        outgoing.on_ready(stream.wake)
        stream.wake()

    def submit(self, work: Callable[[], None]) -> None:
        """Have a page sent, unless the server stops."""
        try:
            self._threads.submit(work)
        except RuntimeError:
            log.debug("a stream ends with the server")

    def forget(self, stream: _Stream) -> None:
        """A stream is over."""
        with self._lock:
            self._streams.discard(stream)

    def stop(self) -> None:
        """Send no more; the server has ended all calls."""
        self._stopping.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._watchdog.join()

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            with self._lock:
                streams = list(self._streams)
            for stream in streams:
                stream.cut_if_slow()


class _Stream:
    """One stream: waiting, queued for a thread, or on one."""

    def __init__(
        self,
        owner: Pusher,
        rpc: Rpc,
        outgoing: Outgoing,
        request_id: str,
        context: grpc.ServicerContext,
        send: Callable[[Any], None],
    ) -> None:
        self._owner = owner
        self._rpc = rpc
        self._outgoing = outgoing
        self._request_id = request_id
        self._context = context
        self._send = send
        self._lock = threading.Lock()
        self._is_busy = False
        self._again = False
        self._is_over = False
        self._sending_since: float | None = None

    def wake(self) -> None:
        """There may be something to send."""
        with self._lock:
            if self._is_over or self._is_busy:
                self._again = True
                return
            self._is_busy = True
        self._owner.submit(self._page)

    def _page(self) -> None:
        with self._lock:
            self._again = False
        try:
            page = self._rpc.take(self._outgoing, self._request_id)
            for message in page.messages:
                self._sending_since = time.monotonic()
                self._send(message)
                self._sending_since = None
        except VTraceError as fault:
            self._finish(fault)
            return
        except Exception:
            log.exception("%s: a stream broke", self._rpc.name)
            self._context.cancel()
            self.end()
            return
        if page.is_last:
            self._finish(None)
            return
        with self._lock:
            self._is_busy = (page.more or self._again) and not self._is_over
            if not self._is_busy:
                return
        self._owner.submit(self._page)

    def _finish(self, fault: VTraceError | None) -> None:
        if fault is not None:
            status = rpc_status.to_status(to_status(fault, self._request_id))
            self._context.set_code(status.code)
            self._context.set_details(status.details)
            self._context.set_trailing_metadata(status.trailing_metadata)
        self._send(None)
        self.end()

    def end(self) -> None:
        """The call is over."""
        with self._lock:
            self._is_over = True
        self._outgoing.close()
        self._owner.forget(self)

    def cut_if_slow(self) -> None:
        """Cancel the call of a reader that takes nothing."""
        since = self._sending_since
        if since is not None and time.monotonic() - since >= bounds.SLOW_SECONDS:
            log.info("%s: a reader took nothing for %g s, cut off", self._rpc.name, bounds.SLOW_SECONDS)
            self._context.cancel()
