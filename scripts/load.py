"""A load that costs little itself, so that it takes no share of the machine from what is measured.

Many callers in one thread, on a few connections. Their requests are bytes before the clock starts, and so are the
header fields of all calls of a connection but its first.
"""

from __future__ import annotations

import asyncio
import statistics
import struct
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from scripts.http2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES_MAX,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_BYTES,
    WINDOW_UPDATE,
    again,
    call_fields,
    frame,
    literals,
    message,
)
from tests.support.wire_client import SERVICE

SILENCE_SECONDS_MAX = 60
_GREETING = PREFACE + frame(
    SETTINGS,
    0,
    0,
    # No table of header fields for the answers, no push, and a window that none of them fills.
    struct.pack(">HIHIHI", 1, 0, 2, 0, 4, 2**31 - 1),
)
_WIDER = frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1 - WINDOW_BYTES))
_OK = b"\x0bgrpc-status\x010"
_INITIAL_WINDOW = 4


@dataclass(frozen=True, slots=True)
class Load:
    """What callers saw: seconds from the first call to the last answer, and those of each call."""

    seconds: float
    waits: list[float]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.waits) / self.seconds

    @property
    def median_ms(self) -> float:
        """Milliseconds from call to answer."""
        return statistics.median(self.waits) * 1_000

    @property
    def p99_ms(self) -> float:
        """Milliseconds that one call of a hundred took longer than."""
        return statistics.quantiles(self.waits, n=100)[-1] * 1_000


class Refused(RuntimeError):
    """A call was not answered with OK, or a connection ended."""


def run(
    address: str, token: str | None, rpc: str, requests: Iterable[bytes], callers: int, connections: int = 1
) -> Load:
    """Call ``rpc`` (a name, or /SERVICE/RPC) with each of ``requests``, ``callers`` at a time.

    Refused at the first call that is refused; TimeoutError when no answer comes for SILENCE_SECONDS_MAX.
    """
    path = rpc if rpc.startswith("/") else f"/{SERVICE}/{rpc}"
    return asyncio.run(_run(address, call_fields(path, token), iter(requests), callers, connections))


async def _run(address: str, fields: dict[str, str], requests: Iterator[bytes], callers: int, connections: int) -> Load:
    host, _, port = address.rpartition(":")
    loop, waits = asyncio.get_running_loop(), list[float]()
    opened: list[_Connection] = []
    for number in range(connections):
        share = callers // connections + (number < callers % connections)
        _, connection = await loop.create_connection(
            partial(_Connection, fields, requests, waits, share), host.strip("[]"), int(port)
        )
        opened.append(connection)
    try:
        await _greeted(opened)
        began = time.perf_counter()
        for connection in opened:
            connection.begin()
        await _answered(opened, waits)
        return Load(time.perf_counter() - began, waits)
    finally:
        for connection in opened:
            connection.close()


async def _greeted(opened: Sequence[_Connection]) -> None:
    async with asyncio.timeout(SILENCE_SECONDS_MAX):
        await asyncio.gather(*(connection.greeted for connection in opened))


async def _answered(opened: Sequence[_Connection], waits: list[float]) -> None:
    left, known = {connection.done for connection in opened}, -1
    while left:
        if len(waits) == known:
            raise TimeoutError(f"no answer for {SILENCE_SECONDS_MAX} seconds, {known} before")
        known = len(waits)
        done, left = await asyncio.wait(left, timeout=SILENCE_SECONDS_MAX, return_when=asyncio.FIRST_EXCEPTION)
        for each in done:
            each.result()


class _Connection(asyncio.Protocol):
    """One connection, with so many calls open at once."""

    def __init__(self, fields: dict[str, str], requests: Iterator[bytes], waits: list[float], callers: int) -> None:
        loop = asyncio.get_running_loop()
        self.greeted: asyncio.Future[None] = loop.create_future()
        self.done: asyncio.Future[None] = loop.create_future()
        self._requests, self._waits, self._callers = requests, waits, callers
        self._first, self._again = literals(fields, remembered=True), again(fields)
        self._transport: asyncio.Transport | None = None
        self._head = self._first
        self._began: dict[int, float] = {}
        self._stream = 1
        self._window = WINDOW_BYTES
        self._stream_window = WINDOW_BYTES
        self._waiting: deque[bytes] = deque()
        self._rest = b""
        self._begun = False

    def begin(self) -> None:
        """Start the calls."""
        self._begun = True
        self._send(b"".join(self._call() for _ in range(self._callers)))
        self._end_if_idle()

    def close(self) -> None:
        """End the connection, whatever is open."""
        self.greeted.cancel()
        self.done.cancel()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(_GREETING + _WIDER)

    def connection_lost(self, fault: Exception | None) -> None:
        self._fail(Refused(f"the connection ended: {fault or 'closed by the node'}"))

    def data_received(self, data: bytes) -> None:
        said, at, out = self._rest + data, 0, []
        end = len(said)
        while end - at >= 9:
            length = int.from_bytes(said[at : at + 3], "big")
            if end - at < 9 + length:
                break
            kind, flags = said[at + 3], said[at + 4]
            if kind == DATA:
                if flags & END_STREAM:
                    self._fail(Refused("an answer without a status"))
            else:
                stream = int.from_bytes(said[at + 5 : at + 9], "big")
                out.append(self._taken(kind, flags, stream, said[at + 9 : at + 9 + length]))
            at += 9 + length
        self._rest = said[at:]
        self._send(b"".join(out))
        self._end_if_idle()

    def _taken(self, kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        """What there is to send after a frame."""
        if kind == HEADERS:
            return self._answered(stream, payload) if flags & END_STREAM else b""
        if kind == WINDOW_UPDATE:
            if stream == 0:
                self._window += int.from_bytes(payload, "big")
                return self._waiting_calls()
        elif kind == SETTINGS and not flags & ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == _INITIAL_WINDOW:
                    self._stream_window = value
            if not self.greeted.done():
                self.greeted.set_result(None)
            return frame(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            return frame(PING, ACK, 0, payload)
        elif kind in (RST_STREAM, GOAWAY):
            self._fail(Refused(f"{'a call' if kind == RST_STREAM else 'the connection'} was cut off: {payload!r}"))
        return b""

    def _answered(self, stream: int, trailers: bytes) -> bytes:
        if _OK not in trailers:
            self._fail(Refused(trailers.decode("latin-1")))
            return b""
        self._waits.append(time.perf_counter() - self._began.pop(stream))
        return self._call()

    def _call(self) -> bytes:
        """The next request in frames; nothing when all are under way, or when the node takes no more for now."""
        content = next(self._requests, None)
        if content is None:
            return b""
        self._waiting.append(message(content))
        return self._waiting_calls()

    def _waiting_calls(self) -> bytes:
        out = []
        while self._waiting and len(self._waiting[0]) <= self._window:
            content = self._waiting.popleft()
            if len(content) > self._stream_window:
                raise ValueError(f"a request of {len(content)} bytes, want at most {self._stream_window}")
            self._window -= len(content)
            self._began[self._stream] = time.perf_counter()
            out.append(frame(HEADERS, END_HEADERS, self._stream, self._head))
            self._head = self._again
            for at in range(0, len(content), FRAME_BYTES_MAX):
                last = at + FRAME_BYTES_MAX >= len(content)
                out.append(frame(DATA, END_STREAM if last else 0, self._stream, content[at : at + FRAME_BYTES_MAX]))
            self._stream += 2
        return b"".join(out)

    def _send(self, out: bytes) -> None:
        if out and self._transport is not None:
            self._transport.write(out)

    def _end_if_idle(self) -> None:
        if self._begun and not self._began and not self._waiting and not self.done.done():
            self.done.set_result(None)

    def _fail(self, fault: Exception) -> None:
        for each in (self.greeted, self.done):
            if not each.done():
                each.set_exception(fault)
        self.close()
