"""The wait after failed logins: it grows, and it never locks out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.delay import ACCOUNT, ADDRESS, MICROS, Delay

TIMES = st.integers(0, 2**62)
DELAYS = pytest.mark.parametrize("delay", [ACCOUNT, ADDRESS])


def test_the_wait_doubles_up_to_its_bound() -> None:
    delay = Delay(free=3, seconds_max=10, forget_seconds=60)
    assert [delay.after(failures) for failures in range(9)] == [0, 0, 0, 1, 2, 4, 8, 10, 10]


@DELAYS
@given(failures=st.integers(0, 10**9), last_at=TIMES, now=TIMES)
def test_whatever_others_do_there_is_another_try_within_the_bound(
    delay: Delay, failures: int, last_at: int, now: int
) -> None:
    left = delay.left(failures, last_at, now)
    assert 0 <= left <= delay.after(failures) <= delay.seconds_max <= 900
    assert delay.left(failures, last_at, max(now, last_at) + delay.seconds_max * MICROS) == 0
    assert delay.after(failures) <= delay.after(failures + 1)


@DELAYS
@given(failures=st.integers(0, 10**9), last_at=TIMES)
def test_the_wait_is_whole_at_first_and_ends_on_time(delay: Delay, failures: int, last_at: int) -> None:
    whole = delay.after(failures)
    assert delay.left(failures, last_at, last_at) == whole
    if whole:
        assert delay.left(failures, last_at, last_at + whole * MICROS - 1) == 1


@DELAYS
def test_failures_are_forgotten(delay: Delay) -> None:
    late = delay.forget_seconds * MICROS
    assert delay.counted(7, 5, 5 + late - 1) == 7
    assert delay.counted(7, 5, 5 + late) == 0
    assert delay.counted(7, 5, 0) == 7
    assert delay.seconds_max < delay.forget_seconds
