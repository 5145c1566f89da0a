"""HTTP for partners: every rpc at its google.api.http route, as an ASGI application.

A request goes the way of a gRPC call (Rpc): the same authentication, limits and errors. Answers and refusals are JSON
in protobuf's mapping, a refusal a google.rpc.Status with the HTTP status that google.rpc.Code names for its code.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from concurrent import futures
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

from node.api import http_upload, protojson, sse, transcode
from node.api.dispatch import Asked, Rpc
from node.api.http_request import BODY_BYTES_MAX, Receive, Refused, Request, Scope
from node.api.outgoing import CURSOR, Outgoing
from node.api.status import to_status
from node.errors import Reason, Status, VTraceError, invalid, shown
from node.request_id import HEADER
from node.wire.vtrace.v1 import service_pb2 as wire

ANSWER_SECONDS_MAX = 60
REQUESTS_MAX = 128
THREADS = 16
UPLOADS_MAX = 8
LARGE_BYTES = 256 * 1024
LARGE_AT_ONCE_MAX = 2
RETRY_SECONDS = 1
JSON_TYPE = "application/json"
DOCUMENT_PATH = "/openapi.json"

HTTP_STATUS = {
    Status.INVALID_ARGUMENT: 400,
    Status.FAILED_PRECONDITION: 400,
    Status.OUT_OF_RANGE: 410,
    Status.UNAUTHENTICATED: 401,
    Status.PERMISSION_DENIED: 403,
    Status.NOT_FOUND: 404,
    Status.ALREADY_EXISTS: 409,
    Status.RESOURCE_EXHAUSTED: 429,
    Status.CANCELLED: 499,
    Status.INTERNAL: 500,
    Status.UNIMPLEMENTED: 501,
    Status.UNAVAILABLE: 503,
    Status.DEADLINE_EXCEEDED: 504,
}
"""gRPC status → HTTP status, as google/rpc/code.proto says; but OUT_OF_RANGE, said of cursors alone, is 410."""

_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
)

T = TypeVar("T")
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# 4 MiB of JSON can be 100 MB of objects, which live until the message is filled.
_large = threading.BoundedSemaphore(LARGE_AT_ONCE_MAX)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    body: bytes
    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Stream:
    """What goes on for long."""

    rpc: Rpc
    outgoing: Outgoing


class HttpApi:
    """The ASGI application. ``document`` is what /openapi.json says."""

    def __init__(self, rpcs: Sequence[Rpc], document: bytes) -> None:
        self._rpcs = {rpc.method.full_name: rpc for rpc in rpcs}
        self._routes = transcode.Routes(rpc.method for rpc in rpcs)
        self._document = document
        self._places = threading.BoundedSemaphore(REQUESTS_MAX)
        self._threads = futures.ThreadPoolExecutor(THREADS, thread_name_prefix="http-rpc")
        # They may last for an hour, so they have threads of their own.
        self._upload_places = threading.BoundedSemaphore(UPLOADS_MAX)
        self._upload_threads = futures.ThreadPoolExecutor(UPLOADS_MAX, thread_name_prefix="http-upload")
        self._running: set[futures.Future[Any]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request."""
        request = Request(scope, receive)
        answer: Answer | Stream
        if scope["path"] == DOCUMENT_PATH:
            answer = self._described(request)
        elif not self._places.acquire(blocking=False):
            answer = _refusal(request, _busy(f"{REQUESTS_MAX} requests"))
        else:
            try:
                answer = await self._answer(request)
            finally:
                self._places.release()
        if isinstance(answer, Stream):
            await sse.serve(answer.rpc, answer.outgoing, request, send, self._in_thread, [*_HEADERS])
            return
        headers = [
            (b"content-type", JSON_TYPE.encode()),
            (b"content-length", str(len(answer.body)).encode()),
            (HEADER.encode(), request.id.encode()),
            *_HEADERS,
            *answer.headers,
        ]
        if not request.ended:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else answer.body})

    def stop(self, grace_seconds: float) -> None:
        """Begin no more calls, and wait for those under way within the grace."""
        for threads in (self._threads, self._upload_threads):
            threads.shutdown(wait=False, cancel_futures=True)
        futures.wait(set(self._running), grace_seconds)

    def _described(self, request: Request) -> Answer:
        if request.method in ("GET", "HEAD"):
            return Answer(self._document)
        return _refused(request, _wrong_method(request, ["GET", "HEAD"]))

    async def _answer(self, request: Request) -> Answer | Stream:
        try:
            found = self._routes.find(request.method, request.raw_path)
            if found is None:
                raise self._no_route(request)
            route, segments = found
            rpc = self._rpcs[route.method.full_name]
            _hold_plain(request)
            if route.method.client_streaming:
                return Answer(await self._uploaded(rpc, _streamed(rpc, request)))
            asked = await _whole(rpc, route, segments, request)
            if route.method.server_streaming:
                return Stream(rpc, await self._worked(rpc, lambda: rpc.answer(asked), ANSWER_SECONDS_MAX))
            return Answer(await self._worked(rpc, lambda: protojson.to_json(rpc.answer(asked)), ANSWER_SECONDS_MAX))
        except VTraceError as fault:
            return _refusal(request, fault)
        except Refused as refused:
            return _refused(request, refused)

    def _no_route(self, request: Request) -> Refused:
        methods = self._routes.methods(request.raw_path)
        if methods:
            return _wrong_method(request, methods)
        message = f"{shown(request.raw_path)} is no route here; {DOCUMENT_PATH} has them all"
        return Refused(404, VTraceError(Reason.SERVICE_OFFLINE, message, status=Status.UNIMPLEMENTED))

    async def _uploaded(self, rpc: Rpc, asked: Asked) -> bytes:
        if not self._upload_places.acquire(blocking=False):
            raise _busy(f"{UPLOADS_MAX} uploads")
        try:
            answered: bytes = await self._worked(
                rpc, lambda: protojson.to_json(rpc.answer(asked)), None, self._upload_threads
            )
            return answered
        finally:
            self._upload_places.release()

    async def _worked(
        self, rpc: Rpc, work: Callable[[], Any], seconds: float | None, threads: futures.Executor | None = None
    ) -> Any:
        working = (threads or self._threads).submit(work)
        self._running.add(working)
        working.add_done_callback(self._running.discard)
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(working)), seconds)
        except (TimeoutError, asyncio.CancelledError) as fault:
            working.cancel()
            working.add_done_callback(_close_late)
            if isinstance(fault, asyncio.CancelledError):
                raise
            late = f"{rpc.name}: no answer within {seconds} s; it may still be done: ask again with its Idempotency-Key"
            raise VTraceError(Reason.SERVICE_OFFLINE, late, status=Status.DEADLINE_EXCEEDED) from None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._threads.submit(work))


def _close_late(working: futures.Future[Any]) -> None:
    """A stream that was opened for somebody who has given up is closed."""
    if not working.cancelled() and working.exception() is None and hasattr(working.result(), "close"):
        working.result().close()


async def _whole(rpc: Rpc, route: transcode.Route, segments: list[str], request: Request) -> Asked:
    """A call whose request is in the path, the query and a body of JSON."""
    body = await request.body()
    if body and route.body is not None:
        _hold_json(request)

    def read() -> Any:
        message = rpc.request_class()
        parsed = (lambda: protojson.parse(body)) if body else None
        with _large if len(body) > LARGE_BYTES else nullcontext():
            transcode.request(route, message, segments, request.query, parsed)
        last_id = request.header(sse.LAST_ID_HEADER)
        if last_id and rpc.method.server_streaming and CURSOR in message.DESCRIPTOR.fields_by_name:
            setattr(message, CURSOR, last_id)  # who comes again has the first address, with the first cursor
        return message

    return Asked(read, request.metadata(), request.is_there, request.peer, request.certificate, request.id)


def _streamed(rpc: Rpc, request: Request) -> Asked:
    """A call whose messages come one after the other."""
    header = request.header(b"content-type")
    kind, parameters = http_upload.media_type(header)

    def read() -> Iterator[Any]:
        if kind == http_upload.JSON:
            return http_upload.json_array(rpc.request_class, request.pieces(), BODY_BYTES_MAX)
        said = transcode.parameters(request.query)
        if kind == http_upload.FORM:
            return http_upload.form(request.pieces(), parameters.get("boundary", ""), said)
        return http_upload.plain(request.pieces(), header if kind not in http_upload.UNTYPED else "", said)

    if kind != http_upload.JSON and rpc.request_class is not wire.UploadRequest:
        _hold_json(request)
    return Asked(read, request.metadata(), request.is_there, request.peer, request.certificate, request.id)


def _hold_plain(request: Request) -> None:
    """No body is unpacked here, so a small one can't become a large one."""
    coding = request.header(b"content-encoding").strip().lower()
    if coding not in ("", "identity"):
        raise Refused(415, invalid("content-encoding", coding, "the body as it is"), (b"accept-encoding", b"identity"))


def _hold_json(request: Request) -> None:
    header = request.header(b"content-type")
    kind, parameters = http_upload.media_type(header)
    is_json = kind == JSON_TYPE or (kind.startswith("application/") and kind.endswith("+json"))
    # Without this a browser would bring what any page says here without asking first: it asks before it sends JSON.
    if not (is_json and parameters.get("charset", "utf-8").lower() == "utf-8"):
        raise Refused(415, invalid("content-type", header or "missing", f"{JSON_TYPE}, in UTF-8"))


def _busy(what: str) -> VTraceError:
    message = f"{what} are under way: try again in a moment"
    return VTraceError(Reason.SERVICE_OFFLINE, message, status=Status.RESOURCE_EXHAUSTED, retry_seconds=RETRY_SECONDS)


def _wrong_method(request: Request, methods: list[str]) -> Refused:
    message = f"{request.method} {shown(request.raw_path)}: want {' or '.join(methods)}"
    fault = VTraceError(Reason.SERVICE_OFFLINE, message, status=Status.UNIMPLEMENTED)
    return Refused(405, fault, (b"allow", ", ".join(methods).encode()))


def _refused(request: Request, refused: Refused) -> Answer:
    return _refusal(request, refused.fault, refused.status, *refused.headers)


def _refusal(request: Request, fault: VTraceError, status: int | None = None, *headers: tuple[bytes, bytes]) -> Answer:
    more = list(headers)
    if fault.status is Status.UNAUTHENTICATED:
        more.append((b"www-authenticate", b'Bearer realm="vtrace"'))
    if fault.retry_seconds is not None:
        more.append((b"retry-after", str(fault.retry_seconds).encode()))
    return Answer(protojson.to_json(to_status(fault, request.id)), status or HTTP_STATUS[fault.status], more)
