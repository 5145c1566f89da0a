"""Calls that hold no thread while they wait: for their message, and some of them for the index.

gRPC hands each call to a thread, which asks for the message, waits for it, and waits again for the work: with many
callers the switches between threads take longer than a circ's own rules. It has no public way round that, so this
module alone leans on the inside of its server; the project names the versions that it was tried with.

A message comes on gRPC's own thread, which must never wait for anything; so one thread more begins the calls that need
none of their own, in the order of their messages. It waits for the index when it reads it, never for a commit. That is
soon over as a rule, and many threads that read at once take Python's lock from each other at every row; where it is
not, since a disk or a server is slow or a history long, the calls that come meanwhile take threads.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
from grpc import _server as inside
from grpc._cython import cygrpc

from node.api.threads import END_SECONDS_MAX, Ending, Threads

QUICK = "quick"
"""The attribute of a handler whose calls are begun so: a Quick."""
HELD_SECONDS = 0.005
"""From when on the thread that begins calls is taken to wait for something."""

log = logging.getLogger(__name__)

Tell = Callable[[bytes | None], None]
"""Takes a call's answer, or None once the context has its refusal."""
Begin = Callable[[bytes, grpc.ServicerContext, Tell], bool]
"""Begins a call and returns without waiting for its end; False, with nothing done, for one that needs a thread."""


class Watch(Protocol):
    """Ends calls that take too long."""

    def begin(self, context: grpc.ServicerContext) -> None: ...

    def end(self, context: grpc.ServicerContext) -> None: ...


@dataclass(frozen=True, slots=True)
class Quick:
    """How the calls of an rpc are begun, None for on a thread, and who watches them until their message comes, and from
    then on if they have no thread."""

    begin: Begin | None
    silent: Watch
    working: Watch


class QuickThreads(Threads):
    """Threads for gRPC's calls, but those whose handlers are QUICK need none before their message is there."""

    def __init__(self, total: int, name: str) -> None:
        super().__init__(total, name)
        self._come: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._began: float | None = None
        self._front = threading.Thread(target=self._begin, name="front", daemon=True)
        self._front.start()

    def submit(self, fn: Callable[..., object], /, *args: Any, **kwargs: Any) -> Any:
        """See Threads."""
        if args and args[0] is inside._unary_response_in_pool:
            quick: Quick | None = getattr(args[3], QUICK, None)
            if quick is not None:
                return self._receive(quick, fn, *args)
        return super().submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See Threads."""
        self._come.put(None)
        if wait:
            self._front.join(END_SECONDS_MAX)
        super().shutdown(wait, cancel_futures=cancel_futures)

    def _begin(self) -> None:
        while (begin := self._come.get()) is not None:
            self._began = time.monotonic()
            begin()
            self._began = None
            del begin

    def _is_held(self) -> bool:
        began = self._began
        return began is not None and time.monotonic() - began > HELD_SECONDS

    def _receive(self, quick: Quick, run: Any, work: Any, event: Any, state: Any, *rest: Any) -> Ending:
        """Ask for the message; gRPC's own thread brings it."""
        ending = self.ending()
        context = inside._Context(event, state, None)
        take = inside._receive_message(state, event.call, None)

        def put(message: bytes) -> None:
            self.put(ending, run, work, event, state, rest[0], lambda: iter((message,)), *rest[2:])

        def begin(message: bytes) -> None:
            try:
                if not _begun(quick, event, state, context, message, ending):
                    put(message)
            except Exception:
                log.exception("a call ended without an answer")
                event.call.cancel()
                ending.come()

        def received(come: Any) -> Any:
            told = take(come)
            message, state.request = state.request, None
            quick.silent.end(context)
            if message is None:
                _refuse_empty(event, state)
                ending.come()
            elif quick.begin is None or self._is_held():
                put(message)
            else:
                self._come.put(lambda: begin(message))
            return told

        quick.silent.begin(context)
        event.call.start_server_batch((cygrpc.ReceiveMessageOperation(0),), received)
        state.due.add(inside._RECEIVE_MESSAGE_TOKEN)
        return ending


def _begun(quick: Quick, event: Any, state: Any, context: Any, message: bytes, ending: Ending) -> bool:
    def tell(answer: bytes | None) -> None:
        quick.working.end(context)
        try:
            inside._status(event, state, answer)
        finally:
            ending.come()

    if not context.is_active():  # its deadline passed while it stood in the queue
        ending.come()
        return True
    assert quick.begin is not None
    quick.working.begin(context)
    begun = quick.begin(message, context, tell)
    if not begun:
        quick.working.end(context)
    return begun


def _refuse_empty(event: Any, state: Any) -> None:
    """What a caller is told that ended its call without a message; nothing if it is gone."""
    state.code = grpc.StatusCode.INVALID_ARGUMENT
    state.details = b"request: missing, want one message"
    inside._status(event, state, None)
