"""Buckets of users and addresses: whose they are, and how many are kept."""

from __future__ import annotations

import pytest

from node.domain.rates import MICROS, Rate
from node.errors import Status, VTraceError
from node.flow import rates
from node.flow.rates import Rates


class Clock:
    now = 10**15

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def empty(limits: Rates, address: str) -> None:
    for _ in range(Rate.PUBLIC_READ.address.burst):
        limits.from_address(Rate.PUBLIC_READ, address)


def test_an_address_is_refused_when_its_burst_is_used_and_let_in_after_the_wait(clock: Clock) -> None:
    limits = Rates(clock)
    empty(limits, "203.0.113.5")
    with pytest.raises(VTraceError, match="too many public reads") as refused:
        limits.from_address(Rate.PUBLIC_READ, "203.0.113.5")
    assert refused.value.status is Status.RESOURCE_EXHAUSTED
    assert refused.value.retry_seconds == 1
    limits.from_address(Rate.PUBLIC_READ, "203.0.113.6")
    limits.from_address(Rate.READ, "203.0.113.5")
    clock.now += MICROS
    limits.from_address(Rate.PUBLIC_READ, "203.0.113.5")


def test_all_of_an_ipv6_network_has_one_bucket(clock: Clock) -> None:
    limits = Rates(clock)
    for number in range(Rate.PUBLIC_READ.address.burst):
        limits.from_address(Rate.PUBLIC_READ, f"2001:db8:0:1::{number:x}")
    with pytest.raises(VTraceError):
        limits.from_address(Rate.PUBLIC_READ, "2001:db8:0:1:ffff::1")
    limits.from_address(Rate.PUBLIC_READ, "2001:db8:0:2::1")


def test_this_machine_and_a_factor_of_0_have_no_limit(clock: Clock) -> None:
    limits = Rates(clock)
    for _ in range(2):
        empty(limits, "127.0.0.1")
        empty(limits, "")
    without = Rates(clock, 0)
    for _ in range(2):
        empty(without, "203.0.113.5")


def test_a_user_is_counted_wherever_it_calls_from(clock: Clock) -> None:
    limits = Rates(clock, 0.01)
    for _ in range(round(Rate.WRITE.user.burst * 0.01)):
        limits.from_user(Rate.WRITE, 1)
    with pytest.raises(VTraceError, match="too many writes"):
        limits.from_user(Rate.WRITE, 1)
    limits.from_user(Rate.WRITE, 2)


def test_many_addresses_take_bounded_memory_and_leave_users_alone(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "BUCKETS_MAX", 100)
    limits = Rates(clock)
    for _ in range(Rate.LOGIN.user.burst):
        limits.from_user(Rate.LOGIN, 1)
    for number in range(1_000):
        limits.from_address(Rate.LOGIN, f"198.51.{number // 250}.{number % 250 + 1}")
    assert len(limits._addresses.keys()) == 100
    with pytest.raises(VTraceError):
        limits.from_user(Rate.LOGIN, 1)
