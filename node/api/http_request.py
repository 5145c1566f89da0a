"""One HTTP request as it comes: its address, its headers, and its body within bounds of bytes and time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, MutableMapping
from typing import Any, TypeVar

from node.api import protojson
from node.api.streams import BrokenStream
from node.errors import Reason, Status, VTraceError, invalid
from node.request_id import id_in

BODY_BYTES_MAX = 4 * 1024 * 1024
BODY_SECONDS_MAX = 30
_BINARY = "-bin"
CERTIFICATE = "certificate"
"""Where the server puts the client's certificate, DER, in a request's state."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
T = TypeVar("T")


class Refused(Exception):
    """A request that HTTP itself refuses, with a status of its own."""

    def __init__(self, status: int, fault: VTraceError, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(fault.message)
        self.status = status
        self.fault = fault
        self.headers = headers


class Request:
    """One request as it comes. ``ended``: all of its body was read; ``id`` as node/request_id.py has it."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method: str = scope["method"]
        self.raw_path: str = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        self.query: bytes = scope["query_string"]
        client = scope.get("client")
        self.peer: str = client[0] if client else ""
        self.certificate: bytes | None = scope.get("state", {}).get(CERTIFICATE)
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.id = id_in((name.decode("latin-1"), value.decode("latin-1")) for name, value in self._headers)
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._gone = threading.Event()
        self.ended = not any(name in (b"content-length", b"transfer-encoding") for name, _ in self._headers)

    def header(self, wanted: bytes) -> str:
        """A header's first value, or empty."""
        return next((value.decode("latin-1") for name, value in self._headers if name == wanted), "")

    def metadata(self) -> list[tuple[str, str | bytes]]:
        """The headers as the call's metadata; those that end in -bin are base64, as in gRPC."""
        return [_metadatum(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._headers]

    def is_there(self) -> bool:
        """Whether the client still waits for the answer."""
        return not self._gone.is_set()

    async def body(self) -> bytes:
        """All of the body, within bounds of bytes and time."""
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                async for piece in self._pieces():
                    body += piece
                    if len(body) > BODY_BYTES_MAX:
                        raise Refused(413, invalid("body", "larger", f"at most {BODY_BYTES_MAX} bytes"))
        except TimeoutError:
            late = f"body: not whole within {BODY_SECONDS_MAX} s"
            raise Refused(408, VTraceError(Reason.INVALID_PARAMS, late, status=Status.DEADLINE_EXCEEDED)) from None
        except BrokenStream:
            gone = "body: broken before its end"
            raise VTraceError(Reason.INVALID_PARAMS, gone, status=Status.CANCELLED) from None
        return bytes(body)

    def pieces(self) -> Iterator[bytes]:
        """The body, piece by piece, for a thread that may wait; BrokenStream if the client goes away in the middle."""
        pieces = aiter(self._pieces())

        async def following() -> bytes | None:
            return await anext(pieces, None)

        while (piece := self._in_loop(following())) is not None:
            yield piece
        asyncio.run_coroutine_threadsafe(self._watch(), self._loop)

    def _in_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _pieces(self) -> AsyncIterator[bytes]:
        while True:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                self._gone.set()
                raise BrokenStream
            if event.get("body"):
                yield event["body"]
            if not event.get("more_body"):
                self.ended = True
                return

    async def gone(self) -> None:
        """Waits until the client goes away."""
        await self._watch()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()


def _metadatum(name: str, value: str) -> tuple[str, str | bytes]:
    return (name, protojson.from_base64(value, f"header {name}")) if name.endswith(_BINARY) else (name, value)
