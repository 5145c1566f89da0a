"""HTTP/2 as it stands on the wire of the gRPC port, changed on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import Random

from scripts.fuzzing.calls import drawn
from scripts.fuzzing.cast import Cast
from scripts.fuzzing.mutate import changed
from scripts.fuzzing.tally import Tally
from scripts.http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    SETTINGS,
    call_fields,
    frame,
    literals,
    message,
)

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
        said = frame(SETTINGS, 0, 0, b"") + frame(
            HEADERS, END_HEADERS, 1, literals(call_fields(asking.path, asking.token))
        )
        said += frame(DATA, END_STREAM, 1, message(content)[:16_000])
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
