"""The threads that answer calls: each call is done once, and told of at its end."""

from __future__ import annotations

import threading

import pytest

from node.api.threads import Ending, Threads

WAIT_SECONDS_MAX = 30


def told(ending: Ending) -> threading.Event:
    event = threading.Event()
    ending.add_done_callback(lambda _: event.set())
    return event


def test_calls_are_answered_side_by_side_and_the_rest_waits() -> None:
    threads, together, more = Threads(2, "test"), threading.Barrier(3), threading.Event()
    try:
        endings = [told(threads.submit(together.wait, WAIT_SECONDS_MAX)) for _ in range(2)]
        endings.append(told(threads.submit(more.set)))
        assert not any(each.is_set() for each in endings)
        assert not more.is_set()
        together.wait(WAIT_SECONDS_MAX)
        assert all(each.wait(WAIT_SECONDS_MAX) for each in endings)
        assert more.is_set()
    finally:
        threads.shutdown()


def test_whoever_asks_late_is_told_at_once() -> None:
    threads = Threads(1, "test")
    try:
        ending = threads.submit(str)
        assert told(ending).wait(WAIT_SECONDS_MAX)
        assert told(ending).is_set()
    finally:
        threads.shutdown()


def test_a_call_that_fails_ends_and_its_thread_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    threads = Threads(1, "test")
    try:
        assert told(threads.submit(lambda: 1 / 0)).wait(WAIT_SECONDS_MAX)
        assert told(threads.submit(str)).wait(WAIT_SECONDS_MAX)
        assert "a call ended without an answer" in caplog.text
    finally:
        threads.shutdown()


def test_threads_end_once_they_have_done_what_waits() -> None:
    threads = Threads(3, "ending")
    last = told(threads.submit(str))
    threads.shutdown()
    assert last.is_set()
    assert not [each for each in threading.enumerate() if each.name.startswith("ending_")]
