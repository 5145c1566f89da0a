"""Fees: what replaces a transaction in every pool, within the limit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.chain.fees import Fees

WEI = st.integers(0, 2**70)


def _fees(highest: int, tip: int | None) -> Fees:
    return Fees(highest, None if tip is None else min(tip, highest))


FEES = st.builds(_fees, WEI, st.none() | WEI)


def _more_by_a_tenth(before: int, after: int) -> bool:
    return 10 * after >= 11 * before and after > before


@given(FEES, FEES, st.none() | WEI)
def test_a_raise_replaces_and_stays_within_the_limit(before: Fees, offered: Fees, limit: int | None) -> None:
    after = before.raised_to(offered, limit)
    if after is None:
        return
    assert after.is_legacy == before.is_legacy
    assert limit is None or after.max_fee_per_gas <= limit
    assert _more_by_a_tenth(before.max_fee_per_gas, after.max_fee_per_gas)
    if before.max_priority_fee_per_gas is not None:
        assert after.max_priority_fee_per_gas is not None
        assert _more_by_a_tenth(before.max_priority_fee_per_gas, after.max_priority_fee_per_gas)
        assert after.max_priority_fee_per_gas <= after.max_fee_per_gas
    if limit is None or limit >= offered.max_fee_per_gas:
        assert after.max_fee_per_gas >= offered.max_fee_per_gas


@given(FEES, FEES)
def test_without_a_limit_only_free_gas_is_not_raised(before: Fees, offered: Fees) -> None:
    is_free = not before.max_fee_per_gas and not offered.max_fee_per_gas
    assert (before.raised_to(offered, None) is None) == is_free


@given(FEES, FEES)
def test_a_limit_that_leaves_no_room_stops_the_raise(before: Fees, offered: Fees) -> None:
    assert before.raised_to(offered, before.max_fee_per_gas + before.max_fee_per_gas // 8 - 1) is None


@given(FEES, st.none() | WEI)
def test_at_most(fees: Fees, limit: int | None) -> None:
    bounded = fees.at_most(limit)
    assert bounded.is_legacy == fees.is_legacy
    assert bounded.max_fee_per_gas == min(fees.max_fee_per_gas, fees.max_fee_per_gas if limit is None else limit)
    assert (bounded.max_priority_fee_per_gas or 0) <= bounded.max_fee_per_gas
