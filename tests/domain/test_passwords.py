"""New passwords: long enough, not everybody's, not the user's own phone again, and never in a refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.passwords import LENGTH_MAX, LENGTH_MIN, accepted, normalised
from node.errors import Reason, Status, VTraceError

CONTEXT = ("13800138000", "li.si@example.com", "u0123456789abcdef", "Li Si", "李四", "")
COMMON = {"password1234", "straße12"}


def _accepted(password: str) -> str:
    return accepted("passwd", password, CONTEXT, COMMON.__contains__)


GOOD = [
    "x7" * 4,
    "correct horse battery",
    "密码密码密码密码",
    "li si has a secret",
    "vtrace, but with a rest",
    "13800138000 and more",
    "        x",
    "aA1" * 42,
]
BAD = {
    "": "8 to 128 characters",
    "1234567": "8 to 128 characters",
    "密码密码密码": "8 to 128 characters",
    "x" * (LENGTH_MAX + 1): "8 to 128 characters",
    "ﷺ" * 64: "8 to 128 characters",
    "password1234": "few people",
    "PASSWORD1234": "few people",
    "ｐａｓｓｗｏｒｄ１２３４": "few people",
    "STRASSE12": "",
    "13800138000": "beside phone",
    "a13800138000": "beside phone",
    "138001380001234567"[:14]: "beside phone",
    "li.si@example.com": "beside phone",
    "LI.SI@example.com!": "beside phone",
    "li.si2026"[:8]: "beside phone",
    "u0123456789ABCDEF": "beside phone",
    "VTrace1!": "beside phone",
    "vtracevtrace": "beside phone",
    "lone \ud800 half": "Unicode text",
}


@pytest.mark.parametrize("password", GOOD)
def test_a_good_password_is_taken_normalised(password: str) -> None:
    assert _accepted(password) == normalised(password)


@pytest.mark.parametrize("password", [p for p in BAD if BAD[p]])
def test_a_bad_password_is_refused_by_its_field_and_never_shown(password: str) -> None:
    with pytest.raises(VTraceError) as refused:
        _accepted(password)
    fault = refused.value
    assert (fault.status, fault.reason) == (Status.INVALID_ARGUMENT, Reason.PARAMS_ERR)
    assert [wrong.field for wrong in fault.fields] == ["passwd"]
    assert BAD[password] in fault.message
    told = repr((fault.message, fault.metadata, fault.fields, str(fault)))
    assert not password or (password not in told and ascii(password)[1:-1] not in told)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=LENGTH_MIN, max_size=LENGTH_MAX))
def test_only_length_counts_where_no_list_and_no_word_says_otherwise(password: str) -> None:
    fits = LENGTH_MIN <= len(normalised(password)) <= LENGTH_MAX and "vtrace" not in normalised(password).casefold()
    try:
        assert accepted("f", password, (), lambda _: False) == normalised(password)
    except VTraceError:
        assert not fits
    else:
        assert fits or "vtrace" in normalised(password).casefold()


@pytest.mark.parametrize("one", ["é", "\uac00", "ﬁ"])
def test_a_password_is_the_same_however_it_is_composed(one: str) -> None:
    import unicodedata

    forms = {unicodedata.normalize(form, f"{one} some words") for form in ("NFC", "NFD", "NFKC", "NFKD")}
    assert len({_accepted(form) for form in forms}) == 1
