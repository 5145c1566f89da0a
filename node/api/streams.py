"""What a caller streams to the node, with bounds on how long the node waits for it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from node.errors import Reason, Status, VTraceError

IDLE_SECONDS_MAX = 30.0
STREAM_SECONDS_MAX = 3_600.0
QUEUED_MAX = 1
_POLL_SECONDS = 0.5


class BrokenStream(Exception):
    """The caller went away in the middle."""


class Incoming:
    """The messages of one client stream, in their order; iterate once.

    A thread of its own waits for messages, since gRPC's iterator can't be told how long: so a caller that stays
    silent is told so, and does not hold a thread of the server for ever. ``is_there`` tells whether the caller still
    waits for the answer.
    """

    def __init__(
        self,
        messages: Iterator[Any],
        is_there: Callable[[], bool],
        idle_seconds_max: float = IDLE_SECONDS_MAX,
        stream_seconds_max: float = STREAM_SECONDS_MAX,
    ) -> None:
        self._messages = messages
        self.is_there = is_there
        self._idle = idle_seconds_max
        self._deadline = time.monotonic() + stream_seconds_max
        self._queue: queue.Queue[tuple[str, Any]] = queue.Queue(QUEUED_MAX)
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Any]:
        pump = threading.Thread(target=self._pump, name="upload", daemon=True)
        pump.start()
        try:
            while True:
                kind, message = self._next()
                if kind == "end":
                    return
                if kind == "broken":
                    raise BrokenStream
                if kind == "refused":
                    raise message
                # Messages are large; none may be held here while the reader works on it.
                held = [message]
                del message
                yield held.pop()
        finally:
            self._closed.set()

    def _next(self) -> tuple[str, Any]:
        patience = min(self._idle, self._deadline - time.monotonic())
        try:
            return self._queue.get(timeout=max(patience, 0.001))
        except queue.Empty:
            late = time.monotonic() >= self._deadline
            limit = "within its time" if late else f"for {self._idle:g} s"
            raise VTraceError(
                Reason.INVALID_PARAMS,
                f"stream: no end {limit}, the upload is given up" if late else f"stream: silent {limit}, given up",
                status=Status.DEADLINE_EXCEEDED,
            ) from None

    def _pump(self) -> None:
        try:
            for message in self._messages:
                if not self._put(("message", message)):
                    return
                del message
            self._put(("end", None))
        except VTraceError as refusal:
            self._put(("refused", refusal))
        except Exception:  # noqa: BLE001 (gRPC raises a bare Exception when the caller went away)
            self._put(("broken", None))

    def _put(self, item: tuple[str, Any]) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=_POLL_SECONDS)
                return True
            except queue.Full:
                continue
        return False
