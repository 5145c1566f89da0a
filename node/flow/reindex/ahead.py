"""Asking the chain while what it said before is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(calls: Iterable[Callable[[], T]]) -> Iterator[T]:
    """What the calls answer, in their order: each is done by a thread while the answer of the one before it is used.

    The calls themselves are taken here. What one raises is raised in its place.
    """
    with ThreadPoolExecutor(1, "ahead") as thread:
        waiting = None
        for call in calls:
            asked = thread.submit(call)
            if waiting is not None:
                yield waiting.result()
            waiting = asked
        if waiting is not None:
            yield waiting.result()
