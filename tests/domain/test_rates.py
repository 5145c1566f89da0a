"""Token buckets: never more than the limit, and the wait that is told is enough."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.domain.access import ACCESS
from node.domain.rates import MICROS, Bucket, Limit, Rate, take

LIMITS = st.builds(Limit, st.floats(0.01, 1_000), st.integers(1, 5_000))
STEPS = st.lists(st.integers(0, 3 * MICROS), max_size=300)


@given(LIMITS, STEPS)
def test_in_any_time_no_more_than_the_burst_and_what_flows_in(limit: Limit, steps: list[int]) -> None:
    bucket: Bucket | None = None
    now, granted = 0, []
    for step in steps:
        now += step
        bucket, wait = take(limit, bucket, now)
        assert 0 <= bucket.calls <= limit.burst
        if not wait:
            granted.append(now)
    for first in range(0, len(granted), 7):
        for last in range(first, len(granted), 5):
            seconds = (granted[last] - granted[first]) / MICROS
            assert last - first + 1 <= limit.burst + seconds * limit.per_second + 1e-3


@given(LIMITS, STEPS)
def test_who_waits_as_told_is_let_in(limit: Limit, steps: list[int]) -> None:
    bucket: Bucket | None = None
    now = 0
    for step in steps:
        now += step
        bucket, wait = take(limit, bucket, now)
        if wait:
            _, again = take(limit, bucket, now + wait + 1)
            assert again == 0


@given(LIMITS, st.integers(0, 10**9), st.integers(1, 10**9))
def test_a_clock_that_is_set_back_gives_nothing_and_takes_nothing(limit: Limit, now: int, back: int) -> None:
    bucket, _ = take(limit, None, now)
    after, _ = take(limit, bucket, now - back)
    assert after.calls in (bucket.calls, bucket.calls - 1)


def test_a_fresh_caller_has_the_burst_and_then_waits() -> None:
    bucket, wait = take(Limit(2, 3), None, 0)
    for _ in range(2):
        bucket, wait = take(Limit(2, 3), bucket, 0)
        assert wait == 0
    assert take(Limit(2, 3), bucket, 0)[1] == MICROS // 2


def test_rpcs_for_anybody_count_among_public_reads_or_logins() -> None:
    for name, access in ACCESS.items():
        if access.open_to_anyone:
            assert access.rate in (Rate.PUBLIC_READ, Rate.LOGIN), name
        else:
            assert access.rate is not Rate.PUBLIC_READ, name


def test_no_class_lets_an_address_do_less_than_one_user() -> None:
    for rate in Rate:
        assert rate.address.per_second >= rate.user.per_second
        assert rate.address.burst >= rate.user.burst
