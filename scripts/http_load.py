"""GETs that cost their sender little: bytes that stand ready before the clock starts, on open connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence

from scripts.load import Load

ANSWER_SECONDS_MAX = 60
_LENGTH = b"content-length:"


def request_of(host: str, path: str, language: str, packed: bool = True) -> bytes:
    """What a phone's browser sends, as far as the node looks at it."""
    encoding = "gzip, deflate, br" if packed else "identity"
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nAccept-Encoding: {encoding}\r\n"
        f"Accept-Language: {language}\r\nUser-Agent: Mozilla/5.0 (Linux; Android 14) Chrome/130 Mobile\r\n\r\n"
    ).encode()


class Connection:
    """One connection that stays open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: str) -> Connection:
        """To HOST:PORT."""
        host, _, port = address.rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def get(self, request: bytes) -> bytes:
        """The body of the answer, as it was sent; RuntimeError if it isn't 200."""
        self._writer.write(request)
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            head = await self._reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(f"{request.split(b' ', 2)[1].decode()}: {head.splitlines()[0].decode()}")
            at = head.lower().index(_LENGTH) + len(_LENGTH)
            return await self._reader.readexactly(int(head[at : head.index(b"\r", at)]))

    def close(self) -> None:
        """Close it."""
        self._writer.close()


def run(address: str, requests: Sequence[bytes], connections: int) -> Load:
    """Send each of ``requests``, ``connections`` at a time."""
    return asyncio.run(_run(address, iter(requests), connections))


async def _run(address: str, requests: Iterator[bytes], connections: int) -> Load:
    waits: list[float] = []
    opened = [await Connection.open(address) for _ in range(connections)]

    async def reader(connection: Connection, mine: Iterable[bytes]) -> None:
        for request in mine:
            began = time.perf_counter()
            await connection.get(request)
            waits.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(reader(each, requests) for each in opened))
    seconds = time.perf_counter() - began
    for each in opened:
        each.close()
    return Load(seconds, waits)
