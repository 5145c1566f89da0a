"""The audit log's rules: the form of an entry, the chain of hashes, and what goes on chain."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from node.domain.log_entry import (
    SALT_BYTES,
    START,
    Happened,
    anchor_data,
    body_of,
    chained,
    micros_of,
    origin_digest,
    read_anchor,
    written,
)

SALT = bytes(range(SALT_BYTES))
ONE = Happened(1_760_000_000_000_001, "u1", "CreateCirc", "OK", "", {"goods": 1, "first": 7}, "203.0.113.7")


def test_an_entry_has_one_form_which_this_is() -> None:
    assert body_of(3, ONE, SALT) == (
        '{"at":"2025-10-09T08:53:20.000001Z","call":"CreateCirc",'
        f'"from":"{sha256(SALT + b"203.0.113.7").hexdigest()}",'
        '"number":3,"on":{"first":7,"goods":1},"result":"OK","who":"u1"}'
    )
    assert chained(START, "{}") == sha256(bytes(32) + b"{}").digest()


def test_an_entry_says_no_address_and_no_line_of_its_own() -> None:
    body = body_of(1, Happened(0, "u1", "x\n{}", "OK", 'a"b', {"user": "\u202e\n"}, "2001:db8::1"), SALT)
    assert "2001:db8::1" not in body
    assert "\n" not in body
    assert body.isascii()
    assert json.loads(body)["on"] == {"user": "\u202e\n"}


def test_the_digest_of_an_address_needs_the_salt() -> None:
    assert origin_digest(SALT, "203.0.113.7") != origin_digest(bytes(SALT_BYTES), "203.0.113.7")


@given(st.integers(0, 4_000_000_000_000_000))
def test_a_written_time_is_read_again(micros: int) -> None:
    assert micros_of(written(micros)) == micros
    assert datetime.fromisoformat(written(micros)).tzinfo == UTC


@given(st.lists(st.integers(0, 4_000_000_000_000_000), min_size=2, max_size=5))
def test_written_times_have_the_order_of_times(times: list[int]) -> None:
    assert sorted(times) == [micros_of(each) for each in sorted(map(written, times))]


@given(st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32), st.binary(max_size=8))
def test_an_anchor_is_read_again_and_nothing_else_is_one(number: int, head: bytes, more: bytes) -> None:
    data = anchor_data(number, head)
    assert read_anchor(data) == (number, head)
    for other in (data[1:], more + data if more else b"", data + more if more else b"", b"x" + data[1:]):
        assert read_anchor(other) is None
