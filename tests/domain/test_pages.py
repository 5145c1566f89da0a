"""Where pages begin, and the tokens that say so."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.pages import Listing, Place
from node.errors import Reason, VTraceError

IDS = st.integers(0, 2**63 - 1)
LISTINGS = st.builds(Listing, st.text(max_size=20), st.integers(-(2**63), 2**63))


def _refused(listing: Listing, token: str) -> None:
    with pytest.raises(VTraceError, match="page_token") as refused:
        listing.after(token, Reason.PARAMS_ERR)
    assert refused.value.reason is Reason.PARAMS_ERR
    assert [violation.field for violation in refused.value.fields] == ["page_token"]


@given(LISTINGS, IDS)
def test_a_token_names_its_row_in_its_list(listing: Listing, last: int) -> None:
    assert listing.after(listing.token(last)) == last
    assert listing.after("") == 0


@given(LISTINGS, LISTINGS, IDS)
def test_a_token_is_of_one_list(listing: Listing, other: Listing, last: int) -> None:
    if listing != other:
        _refused(other, listing.token(last))


@given(LISTINGS, IDS, st.integers(0, 14), st.integers(1, 255))
def test_a_changed_token_is_refused(listing: Listing, last: int, at: int, change: int) -> None:
    held = bytearray(base64.urlsafe_b64decode(listing.token(last)))
    held[at] ^= change
    _refused(listing, base64.urlsafe_b64encode(bytes(held)).decode())


@given(st.text(min_size=1, max_size=60))
def test_what_is_no_token_is_refused(text: str) -> None:
    _refused(Listing("goods", 1), text)


def test_a_token_of_a_row_that_no_table_can_have_is_refused() -> None:
    listing = Listing("goods", 1)
    _refused(listing, listing.token(2**63))


@given(
    st.lists(st.integers(1, 10_000), unique=True, max_size=60).map(sorted),
    st.integers(0, 70),
    st.integers(1, 30),
)
def test_pages_by_tokens_have_every_row_once(ids: list[int], skipped: int, limit: int) -> None:
    def read(after: int, offset: int, most: int) -> list[int]:
        return [row for row in ids if row > after][offset : offset + most]

    listing, found, token, offset = Listing("goods", 1), [], "", skipped
    while True:
        rows, token = Place(offset, limit, token).listed(listing, read, int)
        assert len(rows) == limit or not token
        found += rows
        offset = 0
        if not token:
            break
    assert found == ids[skipped:]


def test_a_token_and_an_offset_exclude_each_other() -> None:
    listing = Listing("goods", 1)
    with pytest.raises(VTraceError, match="offset"):
        Place(1, 10, listing.token(5)).listed(listing, lambda *_: [], int)
