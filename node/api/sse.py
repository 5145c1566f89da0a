"""Streams to callers over HTTP, as server-sent events.

The ``data`` of an event is a message as JSON, its ``id`` the message's cursor. A message that has nothing but a cursor
is no event: a reader's last id moves on with it all the same. A refusal in the middle is the event ``gone``
(OUT_OF_RANGE) or ``error``, with a google.rpc.Status, and the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from node.api import outgoing as bounds
from node.api import protojson
from node.api.dispatch import Rpc
from node.api.http_request import Request
from node.api.outgoing import CURSOR, Outgoing, Page, is_beat
from node.api.status import to_status
from node.errors import Status, VTraceError

EVENT_STREAM = "text/event-stream"
LAST_ID_HEADER = b"last-event-id"
RETRY_MILLIS = 3_000
"""How long a browser waits until it comes again."""

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Work = Callable[[Callable[[], Page]], Awaitable[Page]]

log = logging.getLogger(__name__)


async def serve(
    rpc: Rpc, outgoing: Outgoing, request: Request, send: Send, work: Work, headers: list[tuple[bytes, bytes]]
) -> None:
    """Answer a request with a stream until either side ends. ``work`` runs what blocks."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the server has stopped, and with it the loop
            loop.call_soon_threadsafe(ready.set)

    async def say(body: bytes, more: bool = True) -> None:
        async with asyncio.timeout(bounds.SLOW_SECONDS):
            await send({"type": "http.response.body", "body": body, "more_body": more})

    gone = asyncio.ensure_future(request.gone())
    try:
        outgoing.on_ready(wake)
        start = [(b"content-type", EVENT_STREAM.encode()), (b"x-accel-buffering", b"no"), *headers]
        await send({"type": "http.response.start", "status": 200, "headers": start})
        await say(b"retry: %d\n\n" % RETRY_MILLIS)
        is_last = False
        while not is_last and not gone.done():
            ready.clear()
            page = await work(lambda: rpc.take(outgoing, request.id))
            if page.messages:
                await say(b"".join(map(event, page.messages)))
            is_last = page.is_last
            if not page.more and not is_last:
                waiting = asyncio.ensure_future(ready.wait())
                await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
        await say(b"", more=False)
    except VTraceError as fault:
        with contextlib.suppress(TimeoutError):
            await say(refusal(fault, request.id), more=False)
    except TimeoutError:
        log.info("%s: a reader took nothing for %g s, cut off", rpc.name, bounds.SLOW_SECONDS)
    finally:
        gone.cancel()
        outgoing.close()


def event(message: Any) -> bytes:
    """A message as an event, or as what only moves the reader's last id on."""
    cursor = str(getattr(message, CURSOR, "")).encode()
    if is_beat(message):
        return b": all is well\nid: %s\n\n" % cursor
    return b"id: %s\ndata: %s\n\n" % (cursor, protojson.to_json(message))


def refusal(fault: VTraceError, request_id: str) -> bytes:
    """The last event of a stream that is refused in the middle."""
    name = b"gone" if fault.status is Status.OUT_OF_RANGE else b"error"
    return b"event: %s\ndata: %s\n\n" % (name, protojson.to_json(to_status(fault, request_id)))
