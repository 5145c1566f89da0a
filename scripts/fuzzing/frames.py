"""HTTP/2 as it stands on the wire of the gRPC port, changed on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import Random

from scripts.fuzzing.calls import drawn
from scripts.fuzzing.cast import Cast
from scripts.fuzzing.mutate import changed
from scripts.fuzzing.tally import Tally

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS = 1, 4
CORPUS = 200
CONNECTIONS = 16
ANSWER_SECONDS_MAX = 0.3
ANSWER_BYTES_MAX = 16 * 1024


def connections(cast: Cast, seed: int, count: int) -> Iterator[bytes]:
    """What so many connections say, each a call in frames that were changed, but for the preface."""
    chance = Random(seed)
    corpus = [one for one in drawn(cast, seed, CORPUS) if one.content]
    for _ in range(count):
        asking = chance.choice(corpus)
        content = asking.content[0]
        said = frame(SETTINGS, 0, 0, b"") + frame(HEADERS, END_HEADERS, 1, head(asking.path, asking.token))
        message = b"\x00" + len(content).to_bytes(4, "big") + content
        said += frame(DATA, END_STREAM, 1, message[:16_000])
        yield PREFACE + (changed(said, chance) if chance.random() < 0.95 else said)


async def send_all(address: str, said: Iterator[bytes], tally: Tally) -> None:
    """Say it; whether anything is answered counts, not what: these are no requests."""

    async def line() -> None:
        for one in said:
            tally.add("frames", await _said(address, one))

    await asyncio.gather(*(line() for _ in range(CONNECTIONS)))


async def _said(address: str, content: bytes) -> str:
    host, _, port = address.rpartition(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return "UNAVAILABLE"
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            writer.write(content)
            await writer.drain()
            answered = bool(await reader.read(ANSWER_BYTES_MAX))
            while await reader.read(ANSWER_BYTES_MAX):
                pass
    except TimeoutError:
        return "open"
    except ConnectionError:
        return "reset"
    finally:
        writer.close()
    return "closed after an answer" if answered else "closed"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def head(path: str, token: str) -> bytes:
    """The header block of a call, every field a literal that no table remembers (RFC 7541, 6.2.2)."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": "fuzz",
    }
    if token:
        fields["authorization"] = f"Bearer {token}"
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields.items())


def _text(text: str) -> bytes:
    """A string literal: its length in 7 bits, what is more behind it in groups of 7 (RFC 7541, 5.1)."""
    content, made = text.encode(), bytearray()
    if len(content) < 0x7F:
        return bytes([len(content)]) + content
    made.append(0x7F)
    left = len(content) - 0x7F
    while left > 0x7F:
        made.append(left & 0x7F | 0x80)
        left >>= 7
    made.append(left)
    return bytes(made) + content
