"""How long the node waits for what a caller streams, and what it makes of a stream that breaks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import grpc
import pytest

from node.api.streams import BrokenStream, Incoming
from node.errors import Status, VTraceError


def incoming(messages: Iterator[Any], idle: float = 5, whole: float = 60) -> Incoming:
    return Incoming(messages, lambda: True, idle, whole)


def _waits_for(before: list[int], release: threading.Event) -> Iterator[int]:
    yield from before
    release.wait(20)


def test_messages_come_in_their_order() -> None:
    assert list(incoming(iter(range(100)))) == list(range(100))


def test_a_caller_who_stays_silent_is_told_so() -> None:
    release, began = threading.Event(), time.monotonic()
    messages = iter(incoming(_waits_for([1, 2], release), idle=0.2))
    assert [next(messages), next(messages)] == [1, 2]
    with pytest.raises(VTraceError, match=r"silent for 0\.2 s") as told:
        next(messages)
    release.set()
    assert told.value.status is Status.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 5


def test_a_caller_who_never_ends_is_told_so() -> None:
    def drip() -> Iterator[int]:
        while True:
            time.sleep(0.01)
            yield 1

    with pytest.raises(VTraceError, match="no end within its time"):
        list(incoming(drip(), whole=0.3))


def test_a_stream_that_breaks_is_told_from_one_that_ends() -> None:
    def breaks() -> Iterator[int]:
        yield 1
        raise grpc.RpcError

    messages = iter(incoming(breaks()))
    assert next(messages) == 1
    with pytest.raises(BrokenStream):
        next(messages)


def test_a_reader_that_stops_lets_the_waiting_thread_go() -> None:
    before = set(threading.enumerate())
    messages = iter(incoming(iter(range(1_000))))
    next(messages)
    cast(Any, messages).close()
    deadline = time.monotonic() + 10
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not set(threading.enumerate()) - before
