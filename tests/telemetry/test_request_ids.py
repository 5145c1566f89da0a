"""A request's id is the caller's if it is one; else it gets a new one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.request_ids import request_id

VALID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z", re.ASCII)


@given(st.lists(st.one_of(st.text(max_size=70), st.binary(max_size=9), st.from_regex(VALID)), max_size=4))
def test_whatever_is_given_an_id_comes_out(given_ids: list[str | bytes]) -> None:
    found = request_id(given_ids)
    assert VALID.match(found)
    valid = [each for each in given_ids if isinstance(each, str) and VALID.match(each)]
    assert found == valid[0] if valid else found not in given_ids


@pytest.mark.parametrize("text", ["", "a" * 65, "a b", "a\n", "ä", "a/b", '"', "\x00"])
def test_what_would_break_a_line_or_a_header_is_none(text: str) -> None:
    assert request_id([text]) != text


def test_new_ones_differ() -> None:
    assert len({request_id([]) for _ in range(1_000)}) == 1_000
