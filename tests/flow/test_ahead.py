"""Asking ahead: in order, one at a time, and what fails fails in its place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from node.flow.reindex.ahead import ahead


def test_answers_come_in_order_and_the_next_is_under_way() -> None:
    begun = [threading.Event() for _ in range(4)]

    def call(number: int) -> Callable[[], int]:
        def answer() -> int:
            begun[number].set()
            return number

        return answer

    seen = []
    for number in ahead(call(number) for number in range(4)):
        seen.append(number)
        if number < 3:
            assert begun[number + 1].wait(30)
        assert not any(event.is_set() for event in begun[number + 2 :])
    assert seen == [0, 1, 2, 3]


def test_nothing_is_answered_to_no_call() -> None:
    assert list(ahead([])) == []


def test_what_a_call_raises_is_raised_in_its_place() -> None:
    def fail() -> int:
        raise ValueError("third")

    answers: Iterator[int] = ahead([lambda: 1, lambda: 2, fail, lambda: 4])
    assert [next(answers), next(answers)] == [1, 2]
    with pytest.raises(ValueError, match="third"):
        next(answers)
    assert list(answers) == []
