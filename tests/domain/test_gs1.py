"""GTINs and GS1 Digital Links, judged by biip."""

from __future__ import annotations

import json
from typing import Any

import pytest
from biip import ParseError
from biip.gs1_digital_link_uris import GS1DigitalLinkURI
from biip.gtin import Gtin
from hypothesis import given
from hypothesis import strategies as st

from node.domain import gs1
from node.errors import VTraceError

GOOD = "06901234567892"
DIGITS = "0123456789"
_texts = st.one_of(st.text(DIGITS, min_size=6, max_size=16), st.text(max_size=15))
_payloads = st.sampled_from((7, 11, 12, 13)).flatmap(lambda size: st.text(DIGITS, min_size=size, max_size=size))
_right = _payloads.filter(lambda text: text.strip("0")).map(lambda text: f"{text}{gs1.check_digit(text)}")
_ids = st.integers(1, 2**31 - 1)


@given(_right)
def test_a_right_gtin_is_one_to_biip_and_has_14_digits(text: str) -> None:
    assert gs1.gtin14(text) == Gtin.parse(text).as_gtin_14()
    assert gs1.gtin14(gs1.gtin14(text)) == gs1.gtin14(text)


@given(_texts)
def test_any_text_is_a_gtin_to_both_or_to_neither(text: str) -> None:
    try:
        ours = gs1.gtin14(text)
    except gs1.NoGtin:
        ours = None
    try:
        theirs = Gtin.parse(text).as_gtin_14() if text == text.strip() else None
    except ParseError:
        theirs = None
    if text.isascii() and text.strip("0"):  # biip takes digits of other scripts, and zeros alone
        assert ours == theirs


@given(_right, st.data())
def test_one_wrong_digit_is_noticed(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    wrong = data.draw(st.sampled_from([digit for digit in DIGITS if digit != text[at]]))
    with pytest.raises(gs1.NoGtin):
        gs1.gtin14(text[:at] + wrong + text[at + 1 :])


@pytest.mark.parametrize(
    "text", ["", "0" * 8, "0" * 14, "٦٩٠١٢٣٤٥٦٧٨٩٢", "690123456789２", " 96385074", "9638507", "1" * 15]
)
def test_what_is_no_gtin(text: str) -> None:
    with pytest.raises(gs1.NoGtin):
        gs1.gtin14(text)


@given(_right, _ids, _ids, st.sampled_from(["https://trace.example.com", "http://h:8080/x"]))
def test_a_link_comes_back_from_itself_and_from_biip(text: str, serial_id: int, goods_id: int, base: str) -> None:
    gtin = gs1.gtin14(text)
    path = gs1.link_path(gtin, serial_id, goods_id)
    assert gs1.parse(path) == gs1.Link(gtin, lot=str(serial_id), serial=str(goods_id))
    read = GS1DigitalLinkURI.parse(f"{base}{path}#c=1:0x{'ab' * 20}").element_strings
    assert [(one.ai.ai, one.value) for one in read] == [("01", gtin), ("10", str(serial_id)), ("21", str(goods_id))]
    assert read[0].gtin is not None
    assert read[0].gtin_error is None


@given(_right.filter(lambda text: len(text) == 14), st.integers(1, 9))
def test_biip_too_finds_the_check_digit_of_a_link_wrong(gtin: str, by: int) -> None:
    wrong = f"{gtin[:-1]}{(int(gtin[-1]) + by) % 10}"
    path = gs1.link_path(wrong, 1, 1)
    with pytest.raises(gs1.NoLink, match="check digit"):
        gs1.parse(path)
    assert GS1DigitalLinkURI.parse(f"https://h.example{path}").element_strings[0].gtin_error


@pytest.mark.parametrize(
    ("path", "link"),
    [
        (f"/01/{GOOD}", gs1.Link(GOOD)),
        (f"/01/{GOOD}/", gs1.Link(GOOD)),
        ("/01/6901234567892", gs1.Link(GOOD)),
        ("/01/96385074", gs1.Link("00000096385074")),
        ("/01/012345678905", gs1.Link("00012345678905")),
        (f"/01/{GOOD}/10/12", gs1.Link(GOOD, lot="12")),
        (f"/01/{GOOD}/21/17", gs1.Link(GOOD, serial="17")),
        (f"/01/{GOOD}/22/A/10/12/21/17", gs1.Link(GOOD, "A", "12", "17")),
        (f"/01/{GOOD}/10/A%2F1%25", gs1.Link(GOOD, lot="A/1%")),
    ],
)
def test_what_is_a_link(path: str, link: gs1.Link) -> None:
    assert gs1.parse(path) == link


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/", "want /01/GTIN"),
        ("/01", "want /01/GTIN"),
        ("/01/", "want /01/GTIN"),
        (f"/00/{GOOD}", "want /01/GTIN"),
        (f"/01/{GOOD}/10", "want /01/GTIN"),
        (f"//01/{GOOD}", "want /01/GTIN"),
        ("/01/06901234567893", "check digit"),
        ("/01/x", "GTIN"),
        (f"/01/{GOOD}/21/17/10/12", "in this order"),
        (f"/01/{GOOD}/10/12/10/12", "in this order"),
        (f"/01/{GOOD}/17/261031", "in this order"),
        (f"/01/{GOOD}/10/" + "1" * 21, "1 to 20 characters"),
        (f"/01/{GOOD}/10//21/17", "1 to 20 characters"),
        (f"/01/{GOOD}/10/%E6%89%B9", "1 to 20 characters"),
        (f"/01/{GOOD}/10/%00", "1 to 20 characters"),
        (f"/01/{GOOD}/10/" + "1" * 300, "at most 200"),
    ],
)
def test_what_is_no_link(path: str, why: str) -> None:
    with pytest.raises(gs1.NoLink, match=why):
        gs1.parse(path)


@pytest.mark.parametrize(
    "description", [b"", b"washed", b"[1]", b"{}", b'{"GTIN": 1}', b'{"gtin": null}', b"\xff", b"[" * 9_999]
)
def test_a_description_need_not_name_a_gtin(description: bytes) -> None:
    assert gs1.check_description("goods_des", description) == description
    assert gs1.gtin_of(description) is None


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (6901234567892, "it is no text"),
        (True, "it is no text"),
        ([GOOD], "it is no text"),
        ("", "not digits alone"),
        ("690123456789", "its check digit is 9, not 7"),
        ("6901234567893", "its check digit is 3, not 2"),
        ("123", "it has 3 characters"),
        ("6901234 567892", "not digits alone"),
        ("00000000", "nothing but zeros"),
    ],
)
def test_a_description_with_a_wrong_gtin_is_refused(value: Any, why: str) -> None:
    description = json.dumps({"gtin": value}).encode()
    with pytest.raises(VTraceError, match=why) as refused:
        gs1.check_description("goods_des", description)
    assert [field.field for field in refused.value.fields] == ["goods_des.gtin"]
    assert "06901234567892" in refused.value.fields[0].description
    assert gs1.gtin_of(description) is None


def test_the_gtin_of_a_description() -> None:
    assert gs1.gtin_of(json.dumps({"variety": "Catimor", "gtin": "6901234567892"}).encode()) == GOOD
