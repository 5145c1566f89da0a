"""What callers can keep open at the gRPC server: a call takes a thread for work only when its message is there.

Unary calls have none before (node/api/quick.py); grpc's server gives every other open call a thread, which waits for
the message. Honest callers send it with the call, so whoever waits longest is the one to go when too many wait: calls
that never say anything can't keep others out, however many they are.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from grpc_status import rpc_status

from node.api.others import NON_BLOCKING
from node.api.quick import QUICK, Quick
from node.api.status import to_status
from node.errors import Reason, Status, VTraceError
from node.measures import SECONDS, Histogram
from node.request_id import id_in

WORKING_MAX = 32
WAITING_MAX = 32
SILENT_MAX = 11_000
UPLOADS_MAX = 16
WATCHES_MAX = 8
THREADS = WORKING_MAX + WAITING_MAX + UPLOADS_MAX + WATCHES_MAX
MESSAGE_SECONDS_MAX = 5.0
CALL_SECONDS_MAX = 60.0
STREAM_SECONDS_MAX = 3_600.0
LOOK_SECONDS = 0.5
RETRY_SECONDS = 5


class Watched:
    """Calls that have so many seconds, the oldest first; with more than ``most`` of them the oldest is ended."""

    def __init__(self, seconds: float, most: int | None = None) -> None:
        self._seconds = seconds
        self._most = most
        self._lock = threading.Lock()
        self._calls: OrderedDict[int, tuple[float, grpc.ServicerContext]] = OrderedDict()

    @contextmanager
    def __call__(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Watch one call for the length of a block."""
        self.begin(context)
        try:
            yield
        finally:
            self.end(context)

    def begin(self, context: grpc.ServicerContext) -> None:
        """Watch one call from now on."""
        oldest = None
        with self._lock:
            self._calls[id(context)] = (time.monotonic() + self._seconds, context)
            if self._most is not None and len(self._calls) > self._most:
                _, (_, oldest) = self._calls.popitem(last=False)
        if oldest is not None:
            oldest.cancel()

    def end(self, context: grpc.ServicerContext) -> None:
        """Watch it no more."""
        with self._lock:
            self._calls.pop(id(context), None)

    def end_late(self) -> None:
        """End the calls whose time is over."""
        now, late = time.monotonic(), []
        with self._lock:
            while self._calls and next(iter(self._calls.values()))[0] <= now:
                late.append(self._calls.popitem(last=False)[1][1])
        for context in late:
            context.cancel()


class Guard(grpc.ServerInterceptor):  # type: ignore[misc]
    """Stands around the handlers of all services. ``waits`` counts calls by how long they queued for work."""

    def __init__(self, message_seconds: float = MESSAGE_SECONDS_MAX) -> None:
        self._waiting = Watched(message_seconds, WAITING_MAX)
        self._silent = Watched(message_seconds, SILENT_MAX)
        self._calls = Watched(CALL_SECONDS_MAX)
        self._streams = Watched(STREAM_SECONDS_MAX)
        self._working = threading.BoundedSemaphore(WORKING_MAX)
        self._uploads = threading.BoundedSemaphore(UPLOADS_MAX)
        self._watches = threading.BoundedSemaphore(WATCHES_MAX)
        self._guarded: dict[str, Any] = {}
        self.waits = Histogram(SECONDS)
        self._ended = threading.Event()
        self._reaper = threading.Thread(target=self._reap, name="late-calls", daemon=True)
        self._reaper.start()

    def close(self) -> None:
        """End no more calls."""
        self._ended.set()
        self._reaper.join()

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """The handler of a call, guarded; None for an rpc that nobody serves."""
        guarded = self._guarded.get(details.method)
        if guarded is None:
            handler = continuation(details)
            if handler is None:
                return None
            guarded = self._guarded[details.method] = self._around(handler)
        return guarded

    def _around(self, handler: Any) -> Any:
        codecs = (handler.request_deserializer, handler.response_serializer)
        if not handler.request_streaming and not handler.response_streaming:
            # grpc tells a handler of its context only when a unary request is there; of a stream's at once.
            return grpc.stream_unary_rpc_method_handler(self._unary(handler.unary_unary), *codecs)
        if not handler.response_streaming:
            return grpc.stream_unary_rpc_method_handler(self._upload(handler.stream_unary), *codecs)
        if not handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(self._watch(handler.unary_stream), *codecs)
        return grpc.stream_stream_rpc_method_handler(self._talk(handler.stream_stream), *codecs)

    def _unary(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def answer(messages: Iterator[Any], context: grpc.ServicerContext) -> Any:
            message = self._message(messages, context)
            began = time.perf_counter()
            with self._calls(context), self._working:
                self.waits.observe(time.perf_counter() - began)
                if not context.is_active():  # its deadline passed while it stood in the queue
                    context.abort(grpc.StatusCode.CANCELLED, "")
                return work(message, context)

        setattr(answer, QUICK, Quick(getattr(work, QUICK, None), self._silent, self._calls))
        return answer

    def _upload(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def answer(messages: Iterator[Any], context: grpc.ServicerContext) -> Any:
            with _place(self._uploads, UPLOADS_MAX, "uploads", context), self._streams(context):
                return work(messages, context)

        return answer

    def _watch(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def begin(messages: Iterator[Any], context: grpc.ServicerContext, *send: Any) -> None:
            work(self._message(messages, context), context, *send)

        def answer(messages: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
            message = self._message(messages, context)
            with _place(self._watches, WATCHES_MAX, "streams", context), self._streams(context):
                yield from work(message, context)

        if getattr(work, NON_BLOCKING, False):
            begin.experimental_non_blocking = True  # type: ignore[attr-defined] # holds no thread, and bounds itself
            return begin
        return answer

    def _talk(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def answer(messages: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
            def said() -> Iterator[Any]:
                while True:
                    with self._waiting(context):
                        try:
                            message = next(messages)
                        except StopIteration:
                            return
                    yield message

            with _place(self._watches, WATCHES_MAX, "streams", context):
                yield from work(said(), context)

        return answer

    def _message(self, messages: Iterator[Any], context: grpc.ServicerContext) -> Any:
        with self._waiting(context):
            for message in messages:
                return message
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "request: missing, want one message")
        raise AssertionError("abort returned")

    def _reap(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            for watched in (self._waiting, self._silent, self._calls, self._streams):
                watched.end_late()


@contextmanager
def _place(places: threading.BoundedSemaphore, most: int, what: str, context: grpc.ServicerContext) -> Iterator[None]:
    if not places.acquire(blocking=False):
        busy = VTraceError(
            Reason.SERVICE_OFFLINE,
            f"{most} {what} are under way: try again in a moment",
            status=Status.RESOURCE_EXHAUSTED,
            retry_seconds=RETRY_SECONDS,
        )
        context.abort_with_status(rpc_status.to_status(to_status(busy, id_in(context.invocation_metadata()))))
    try:
        yield
    finally:
        places.release()
