"""Forms: their digest, what may be recorded, and the form that the node writes itself."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node.domain.form import (
    FORM_BYTES_MAX,
    FORM_DEPTH_MAX,
    FORM_NAMES_MAX,
    ProducedClass,
    ProducedOrg,
    ProducedSerial,
    ProduceForm,
    canonical_json,
    form_digest,
    form_fault,
    name_digest,
)

_TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
_NUMBER = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_VALUE = st.recursive(
    st.none() | st.booleans() | _NUMBER | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)
_OBJECT = st.dictionaries(_TEXT, _VALUE, max_size=6)
_SALT = st.binary(min_size=16, max_size=16)


def _deep(levels: int, opening: str = '{"a":', closing: str = "}") -> bytes:
    return (opening * levels + "1" + closing * levels).encode()


@given(_SALT, st.binary(max_size=300))
def test_the_digest_is_sha256_of_salt_and_form(salt: bytes, form: bytes) -> None:
    assert form_digest(salt, form) == hashlib.sha256(salt + form).digest()


@pytest.mark.parametrize("length", [0, 15, 17, 32])
def test_a_salt_of_another_length_is_a_mistake(length: int) -> None:
    with pytest.raises(ValueError, match=f"salt: {length} bytes, want 16"):
        form_digest(bytes(length), b"")


def test_a_known_digest() -> None:
    expected = hashlib.sha256(bytes(16) + b'{"moisture_percent":11.2}').hexdigest()
    assert form_digest(bytes(16), b'{"moisture_percent":11.2}').hex() == expected
    assert name_digest("u1").hex() == hashlib.sha256(b"u1").hexdigest()


@given(_VALUE)
def test_canonical_json_says_the_same_and_is_the_only_writing(value: Any) -> None:
    written = canonical_json(value)
    assert json.loads(written) == value
    assert canonical_json(json.loads(written)) == written


def test_canonical_json_is_sorted_without_spaces_in_utf8() -> None:
    assert canonical_json({"b": [1, 2], "a": "咖啡"}) == '{"a":"咖啡","b":[1,2]}'.encode()


def _names(count: int) -> bytes:
    return b'{"a":{' + b",".join(b'"%d":1' % number for number in range(count - 1)) + b"}}"


@given(_OBJECT, st.sampled_from([None, 2]), st.booleans())
def test_json_objects_may_be_recorded(value: dict[str, Any], indent: int | None, as_ascii: bool) -> None:
    assert form_fault(json.dumps(value, indent=indent, ensure_ascii=as_ascii).encode()) is None


@given(_VALUE.filter(lambda value: not isinstance(value, dict)))
def test_other_json_is_refused(value: Any) -> None:
    assert "JSON object" in str(form_fault(json.dumps(value).encode()))


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-16")))
@example(b"\xef\xbb\xbf{}")
@example(b'{"a":' + b"9" * 10_000 + b"}")
@example(_deep(10_000))
@example(_deep(10_000, "[", "]"))
def test_no_bytes_make_it_fail(form: bytes) -> None:
    fault = form_fault(form)
    assert fault is None or (fault and "\n" not in fault)


@pytest.mark.parametrize(
    "form",
    [
        b"",
        b"{}",
        b' {"a": [1, {"b": null}]}\r\n',
        '{"品种":"卡蒂姆"}'.encode(),
        b'{"escaped":"\\ud83c\\udf31\\n"}',
        b'{"long":' + b"1" * 5_000 + b"}",
        b'{"large":1e999}',
        _deep(FORM_DEPTH_MAX),
        _names(FORM_NAMES_MAX),
        b'{"spectrum":[' + b",".join([b"1.25"] * 12_000) + b"]}",
        b'{"a":"' + b"x" * (FORM_BYTES_MAX - 8) + b'"}',
    ],
)
def test_may_be_recorded(form: bytes) -> None:
    assert form_fault(form) is None


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        (b'{"a":"' + b"x" * (FORM_BYTES_MAX - 7) + b'"}', "65537 bytes, want at most 65536"),
        (b" ", "not JSON"),
        (b"null", "not a JSON object"),
        (b"[{}]", "not a JSON object"),
        (b'"{}"', "not a JSON object"),
        (b"{}{}", "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b'{"a":1,}', "not JSON"),
        (b'{"a":NaN}', "NaN is not a JSON value"),
        (b'{"a":-Infinity}', "-Infinity is not a JSON value"),
        (b'{"a":"\n"}', "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a":"\xff"}', "not UTF-8 at byte 6"),
        ('{"a":1}'.encode("utf-16"), "not UTF-8 at byte 0"),
        (_deep(FORM_DEPTH_MAX + 1), "nested more than 32 levels"),
        (b'{"a":' + _deep(FORM_DEPTH_MAX, "[", "]") + b"}", "nested more than 32 levels"),
        (_deep(10_000), "nested more than 32 levels"),
        (_names(FORM_NAMES_MAX + 1), "4097 names in its objects, want at most 4096"),
    ],
)
def test_is_refused(form: bytes, fault: str) -> None:
    assert fault in str(form_fault(form))


@given(st.integers(1, 2**31), _TEXT, _TEXT)
def test_the_form_of_a_first_produce_comes_back(number: int, name: str, description: str) -> None:
    form = ProduceForm(
        ProducedClass(number, name, description, "Red Cherry", 0),
        ProducedSerial(number, "2026-11-02T08:00:00Z"),
        ProducedOrg(number, name, "915301000000000000"),
    )
    assert ProduceForm.from_bytes(form.to_bytes()) == form
    assert canonical_json(json.loads(form.to_bytes())) == form.to_bytes()


@pytest.mark.parametrize("form", [b"", b"{}", b"[]", b"1", b"\xff", b'{"class":1,"serial":{},"org":{}}', _deep(10_000)])
def test_other_bytes_are_no_form_of_a_first_produce(form: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        ProduceForm.from_bytes(form)
