"""Work that another thread does, and what comes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")

_lock = threading.Lock()
"""Of all: each holds it for less time than it takes to make a lock."""


class Later(Generic[T]):
    """The result of such work, or its fault. Who does the work sets the one or the other, and calls ``end`` once."""

    __slots__ = ("_is_over", "_tells", "fault", "result")

    def __init__(self) -> None:
        self.result: Any = None
        self.fault: BaseException | None = None
        self._is_over = False
        self._tells: list[Callable[[], object]] = []

    def end(self) -> None:
        """The work is done."""
        with _lock:
            self._is_over = True
            # They may hold this, and what they hold must not wait until Python looks for cycles.
            tells, self._tells = self._tells, []
        for tell in tells:
            tell()

    def then(self, tell: Callable[[], object]) -> None:
        """Call ``tell`` at the end, on the thread that comes to it; at once if that is past. It must not raise."""
        with _lock:
            if not self._is_over:
                self._tells.append(tell)
                return
        tell()

    def got(self) -> T:
        """The result, once it is over; raises the fault."""
        if self.fault is not None:
            raise self.fault
        result: T = self.result
        return result

    def wait_over(self) -> None:
        """Block until it is over, which whoever does the work bounds."""
        over = threading.Lock()
        over.acquire()
        self.then(over.release)
        over.acquire()

    def wait(self) -> T:
        """The result; raises the fault. Blocks until it is over."""
        self.wait_over()
        return self.got()

    def made(self, make: Callable[[T], U]) -> Later[U]:
        """What ``make`` makes of the result, where that is asked for, each time."""
        return _Made(self, make)

    def do(self, work: Callable[[], T]) -> None:
        """Do the work here and now."""
        try:
            self.result = work()
        except Exception as fault:  # noqa: BLE001 - for who asks for the result
            self.fault = fault
        self.end()


class _Made(Later[U]):
    """See ``Later.made``."""

    __slots__ = ("_make", "_of")

    def __init__(self, of: Later[Any], make: Callable[[Any], U]) -> None:
        super().__init__()
        self._of = of
        self._make = make

    def then(self, tell: Callable[[], object]) -> None:
        self._of.then(tell)

    def got(self) -> U:
        return self._make(self._of.got())

    def wait_over(self) -> None:
        self._of.wait_over()


Tell = Callable[[T | None, BaseException | None], object]
Steps = Generator[Later[Any], None, T]
"""Work in steps: goes on when what it yields is over, and answers its result at last."""


def waited_for(steps: Steps[T]) -> T:
    """The result of all steps. Blocks until each is over."""
    while True:
        try:
            waits = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        waits.wait_over()


def go_through(steps: Steps[T], tell: Tell[T]) -> None:
    """Take the first step here, each other where the one before comes to its end; ``tell`` the result or the fault."""
    way = _Way(steps, tell, copy_context())
    way.context.run(way.go_on)


@dataclass(frozen=True, slots=True)
class _Way(Generic[T]):
    """Steps yet to be taken. No closure: it would hold itself, and with it the call, until Python looks for cycles."""

    steps: Steps[T]
    tell: Tell[T]
    context: Context

    def go_on(self) -> None:
        """Take the next step."""
        try:
            waits = next(self.steps)
        except StopIteration as end:
            self.tell(end.value, None)
        except Exception as fault:  # noqa: BLE001 - for who is told
            self.tell(None, fault)
        else:
            waits.then(self._is_over)

    def _is_over(self) -> None:
        self.context.run(self.go_on)
