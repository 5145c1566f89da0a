"""Model cards: what is right is read, and what is wrong is named with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from node.models.card import CARD_BYTES_MAX, CardFault, read_card
from node.models.catalogue import SHIPPED

from . import make


def _read(made: Any) -> Any:
    return read_card(json.dumps(made).encode())


def test_a_card_says_what_it_says() -> None:
    made = _read(make.card())
    assert (made.name, made.version, made.input.length) == ("tiny", 1, 3)
    assert [one.material.name for one in made.classes] == ["First", "Second"]
    assert made.materials[0].alias == "1st"
    assert made.shown.keys() >= {"input", "preprocessing", "classes", "reject", "training", "accuracy", "limits"}
    assert made.shown.keys().isdisjoint({"name", "version", "description"})


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*/*/card.json")), ids=lambda path: path.parts[-3])
def test_the_shipped_cards_are_cards(path: Any) -> None:
    made = read_card(path.read_bytes())
    assert (made.name, str(made.version)) == path.parts[-3:-1]
    assert made.sha256


SPECTRUM = make.CARD["input"]
TWO = make.CARD["classes"]
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"name": None}, "card: want the entry name"),
    "a path as name": ({"name": "../etc"}, "card.name: want 1 to 63 of"),
    "version 0": ({"version": 0}, "card.version: want a whole number from 1"),
    "version true": ({"version": True}, "card.version"),
    "an unknown entry": ({"licence": "MIT"}, "card: want no entry licence"),
    "no limits": ({"limits": []}, "card.limits: want a list of 1 to"),
    "limits that are no text": ({"limits": [1]}, r"card.limits\[0\]: want printable text"),
    "a kind of input that is none": ({"input": {"kind": "image"}}, "card.input.kind: want analytes or spectrum"),
    "input that is no object": ({"input": 3}, "card.input: want an object|card.input.kind"),
    "a length of a billion": ({"input": {**SPECTRUM, "length": 10**9}}, "card.input.length"),
    "an axis of one point": (
        {"input": {**SPECTRUM, "axis": {"unit": "nm", "first": 1, "last": 1}}},
        "card.input.axis: want first and last that differ",
    ),
    "an analyte twice": (
        {"input": {"kind": "analytes", "analytes": [{"name": "a"}, {"name": "a"}]}},
        "card.input.analytes: want each name once",
    ),
    "an analyte with a comma": (
        {"input": {"kind": "analytes", "analytes": [{"name": "a,b"}]}},
        r"card.input.analytes\[0\].name",
    ),
    "one class": ({"classes": TWO[:1]}, "card.classes: want at least two"),
    "a class without material": ({"classes": [{"label": "a"}, TWO[0]]}, r"card.classes\[0\]: want the entry material"),
    "a material told twice": (
        {"classes": [{"label": "a", "material": {"name": "M"}}, {"label": "b", "material": {"name": "M", "des": "x"}}]},
        "card.classes: want the same alias",
    ),
    "scores of another kind": ({"scores": "percent"}, "card.scores: want probability, or none"),
    "nothing that refuses": ({"reject": {}}, "card.reject: want an object of measures"),
    "a bound without a number": ({"reject": {"measure": {}}}, "card.reject.measure: want least, most or both"),
    "a bound that is text": ({"reject": {"measure": {"most": "1"}}}, "card.reject.measure.most: want a number up to"),
    "a measure that is no name": ({"reject": {"A b": {"most": 1}}}, "want the name of an output"),
    "training without licence": ({"training": {"data": "x", "samples": 1}}, "card.training.licence"),
    "accuracy without method": ({"accuracy": {}}, "card.accuracy.method"),
    "a digest that is none": ({"sha256": "ff"}, "card.sha256: want 64 hex digits"),
    "a server that is none": ({"remote": {"address": "http://a", "model": "m"}}, "card.remote.address: want HOST:PORT"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_card_that_is_wrong_is_refused_with_its_place(name: str) -> None:
    changes, want = WRONG[name]
    with pytest.raises(CardFault, match=want):
        _read(make.card(**changes))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1]",
        b"\xff",
        b"[" * 50_000,
        b'{"name": NaN}',
        b" " * (CARD_BYTES_MAX + 1),
        b'{"version": ' + b"9" * 10_000 + b"}",
    ],
    ids=["empty", "a list", "no UTF-8", "deep", "NaN", "large", "a huge number"],
)
def test_what_is_no_card_is_refused(content: bytes) -> None:
    with pytest.raises(CardFault, match="card"):
        read_card(content)
