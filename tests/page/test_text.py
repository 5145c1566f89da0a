"""Texts of the page, as readers see them. That the script has the same rules is held in a browser, by test_check."""

from __future__ import annotations

import pytest

from node.domain.trace import Number, members_of
from node.page import text
from node.page.view import within_script


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (" a\r\n b\t", "a b"),
        ("a\u202eb", "a\ufffdb"),
        ("\x00\x7f\ufeff\ud800", "\ufffd" * 4),
        ("👩‍🌾 中文 é", "👩‍🌾 中文 é"),
    ],
)
def test_strangers_text_is_made_harmless(written: str, shown: str) -> None:
    assert text.clean(written) == shown


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("gross_kg", Number("728.50"), ("Gross", "728.50 kg")),
        ("moisture_percent", Number("11.2"), ("Moisture", "11.2 %")),
        ("gross_kg", "728", ("Gross kg", "728")),
        ("price_per_kg", Number("9"), ("Price per kg", "9")),
        ("lead_ug_kg", Number("3"), ("Lead ug kg", "3")),
        ("defects_per_350_ml", Number("4"), ("Defects per 350 ml", "4")),
        ("sample_350_ml", Number("4"), ("Sample 350 ml", "4")),
        ("vitamin_c", Number("30"), ("Vitamin c", "30")),
        ("_kg", Number("1"), ("Kg", "1")),
        ("", None, ("—", "—")),
    ],
)
def test_a_unit_is_read_only_where_it_can_be_nothing_else(name: str, value: object, shown: tuple[str, str]) -> None:
    assert text.tree("en", {name: value}) == ("fields", [shown])


def test_numbers_stay_as_they_are_written() -> None:
    form = members_of(b'{"a": 1.50, "b": -0, "c": 1E+400, "d": 12345678901234567890, "e": true}')
    assert text.tree("en", form) == (
        "fields",
        [("A", "1.50"), ("B", "-0"), ("C", "1E+400"), ("D", "12345678901234567890"), ("E", "yes")],
    )


def test_times() -> None:
    assert text.moment("en", 1_760_000_000) == "9 Oct 2025, 08:53 UTC"
    assert text.moment("zh", 1_760_025_600) == "2025年10月10日 00:00 北京时间"
    assert text.moment_of("en", "2025-10-09T08:53:20.000000Z") == "9 Oct 2025, 08:53 UTC"
    for other in (
        "2025-13-09T08:53:20Z",
        "2025-02-30T08:53:20Z",
        "9999-12-31T23:59:59Z",
        "soon",
        "0000-01-01T00:00:00Z",
    ):
        assert text.moment_of("zh", other) == other


def test_a_value_that_is_put_in_is_not_filled_in_itself() -> None:
    assert text.say("en", "by_at", who="{when}", when="now") == "{when}, now"


def test_data_can_not_end_its_element() -> None:
    assert within_script({"a": "</script><!--&\u2028"}) == '{"a":"\\u003c/script\\u003e\\u003c!--\\u0026\\u2028"}'
