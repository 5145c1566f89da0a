"""Goods ids as ranges and back."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from node.domain.model import GOODS_ID_MAX, Range, ids_of, ranges_of

_IDS = st.sets(st.integers(1, 60) | st.integers(GOODS_ID_MAX - 5, GOODS_ID_MAX))


@given(_IDS, st.randoms())
def test_ids_come_back_from_their_ranges(ids: set[int], random: object) -> None:
    mixed = sorted(ids)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    ranges = ranges_of(mixed)
    assert ids_of(ranges) == sorted(ids)
    assert all(span.count >= 1 for span in ranges)
    assert all(before.end < after.first for before, after in itertools.pairwise(ranges))


@given(_IDS, st.integers(0, 61))
def test_a_range_holds_its_own_ids(ids: set[int], goods_id: int) -> None:
    assert any(goods_id in span for span in ranges_of(ids)) == (goods_id in ids)


def test_a_range() -> None:
    assert ranges_of([]) == ()
    assert ranges_of([9, 7, 8, 1]) == (Range(1, 1), Range(7, 3))
    assert (list(Range(7, 3)), Range(7, 3).end) == ([7, 8, 9], 10)
    assert "7" not in Range(7, 3)
