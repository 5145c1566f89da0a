"""Work that another thread does: who is told, when, and that nothing is held once it is over."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from node.later import Later, Steps, go_through, waited_for
from tests.support.node import eventually


class Held:
    """Something whose end can be seen."""


@pytest.fixture
def no_gc() -> Iterator[None]:
    """Python does not look for cycles meanwhile."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_who_asks_before_the_end_and_who_asks_after_it_are_told_once() -> None:
    later: Later[int] = Later()
    told: list[str] = []
    later.then(lambda: told.append("before"))
    assert not told
    later.do(lambda: 1)
    later.then(lambda: told.append("after"))
    assert told == ["before", "after"]
    assert later.got() == 1


def test_waiting_ends_on_another_thread_and_raises_the_fault() -> None:
    later: Later[int] = Later()
    doubled = later.made(lambda number: number // 0)
    threading.Thread(target=later.do, args=(lambda: 4,)).start()
    assert later.wait() == 4
    with pytest.raises(ZeroDivisionError):
        doubled.wait()


def test_steps_go_on_where_what_they_wait_for_ends_and_in_their_own_context() -> None:
    name: ContextVar[str] = ContextVar("name", default="nobody")
    first: Later[int] = Later()

    def steps() -> Steps[str]:
        name.set("somebody")
        yield first
        return f"{first.got()} for {name.get()} on {threading.current_thread().name}"

    told: list[object] = []
    go_through(steps(), lambda result, fault: told.append((result, fault)))
    assert not told
    assert name.get() == "nobody"
    threading.Thread(target=first.do, args=(lambda: 1,), name="worker").start()
    eventually(lambda: told)
    assert told == [("1 for somebody on worker", None)]


def test_steps_that_fail_tell_the_fault() -> None:
    first: Later[int] = Later()

    def steps() -> Steps[int]:
        yield first
        return first.got()

    told: list[object] = []
    go_through(steps(), lambda _, fault: told.append(type(fault)))
    first.do(lambda: 1 // 0)
    assert told == [ZeroDivisionError]
    with pytest.raises(ZeroDivisionError):
        waited_for(steps())


@pytest.mark.usefixtures("no_gc")
def test_what_a_call_holds_goes_with_its_answer() -> None:
    """gRPC refuses calls of a connection that has too many which have ended but are still held."""
    held, first = Held(), Later[int]()
    gone = weakref.ref(held)

    def steps() -> Steps[int]:
        made = first.made(lambda number: number + 1)
        yield made
        return made.got()

    def tell(*_: object, of: Held = held) -> None:
        assert of

    go_through(steps(), tell)
    del held, tell
    assert gone() is not None
    first.do(lambda: 1)
    assert gone() is None
