"""JSON as messages: what is right comes through whole, whatever it is; what is wrong is refused by its name."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from node.api import protojson
from node.api.services import message_class
from node.errors import Status, VTraceError
from tests.http import servers

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


FLOAT_LAST = 2.0**128 - 2.0**104
"""The largest float of 32 bits. The library writes it, but does not read what it wrote."""


def _floats(width: int) -> Any:
    """JSON has one NaN; that of Python stands for all."""
    some = st.floats(width=width).filter(lambda value: abs(value) != FLOAT_LAST)  # type: ignore[call-overload]
    return some.map(lambda value: math.nan if math.isnan(value) else value)


SCALARS: dict[int, Any] = {
    FieldDescriptor.TYPE_STRING: TEXT,
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=20),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_FLOAT: _floats(32),
    FieldDescriptor.TYPE_DOUBLE: _floats(64),
    FieldDescriptor.TYPE_ENUM: st.integers(-(2**31), 2**31 - 1),
    **{kind: st.integers(low, high) for kind, (low, high) in protojson._INTEGERS.items()},
}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Any:
    service = servers.odd_service(Path(tmp_path_factory.mktemp("proto")) / "odd.pb")
    return message_class(service.methods_by_name["Whole"].input_type)


def _message(draw: Any, message: Any, levels: int = 2) -> Any:
    for field in message.DESCRIPTOR.fields:
        if not draw(st.booleans()) or (field.containing_oneof and message.WhichOneof(field.containing_oneof.name)):
            continue
        kind = field.message_type
        if kind is None:
            values = SCALARS[field.type]
            if field.is_repeated:
                getattr(message, field.name).extend(draw(st.lists(values, max_size=3)))
            else:
                setattr(message, field.name, draw(values))
        elif kind.full_name in protojson.WRAPPERS:
            getattr(message, field.name).value = draw(SCALARS[kind.fields_by_name["value"].type])
        elif (
            not field.is_repeated
            and kind.full_name == message.DESCRIPTOR.full_name.replace("Asked", "Inner")
            and levels
        ):
            _message(draw, getattr(message, field.name), levels - 1)
        elif kind.GetOptions().map_entry and kind.fields_by_name["value"].message_type is None:
            key, value = SCALARS[kind.fields_by_name["key"].type], SCALARS[kind.fields_by_name["value"].type]
            getattr(message, field.name).update(draw(st.dictionaries(key, value, max_size=3)))
        elif kind.name == "Timestamp":
            getattr(message, field.name).seconds = draw(st.integers(-62_135_596_800, 253_402_300_799))
        elif kind.name == "Struct":
            getattr(message, field.name).update(
                draw(st.dictionaries(TEXT, TEXT | st.booleans() | st.none(), max_size=3))
            )
    return message


def test_the_largest_float_comes_back(asked: Any) -> None:
    name = next(field.name for field in asked.DESCRIPTOR.fields if field.type == FieldDescriptor.TYPE_FLOAT)
    message, again = asked(), asked()
    setattr(message, name, FLOAT_LAST)
    protojson.fill(again, protojson.parse(protojson.to_json(message)))
    assert getattr(again, name) == FLOAT_LAST


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_message_comes_back_from_its_json(asked: Any, data: Any) -> None:
    message = _message(data.draw, asked())
    again = asked()
    protojson.fill(again, protojson.parse(protojson.to_json(message)))
    assert again.SerializeToString(deterministic=True) == message.SerializeToString(deterministic=True)
    judged = json_format.ParseDict(protojson.parse(protojson.to_json(message)), asked())
    assert judged.SerializeToString(deterministic=True) == message.SerializeToString(deterministic=True)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.data())
def test_whatever_comes_is_taken_or_refused(asked: Any, data: Any) -> None:
    names = st.sampled_from([field.json_name for field in asked.DESCRIPTOR.fields])
    value = data.draw(st.dictionaries(names | TEXT, JSON_VALUES, max_size=4) | JSON_VALUES)
    refusals = []
    try:
        protojson.fill(asked(), value)
    except VTraceError as fault:
        refusals.append(fault)
    for refusal in refusals:
        assert refusal.status is Status.INVALID_ARGUMENT
        assert len(refusal.message) < 1_000


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"inner":{"deeper":{"number":"x"}}}', "inner.deeper.number: x, want a whole number"),
        (b'{"list":[{},{"tags":["a",5]}]}', "list[1].tags[1]: 5, want text"),
        (b'{"counts":{"a":"b"}}', "counts.a: b, want a whole number"),
        (b'{"inners":{"yes":{}}}', "inners.yes: yes, want true or false"),
        (b'{"kind":"fourth"}', "kind: fourth, want one of none, first, third"),
        (b'{"data":"*"}', "data: *, want base64"),
        (b'{"at":"today"}', "at: today, want an RFC 3339 time"),
        (b'{"left":"a","right":1}', "right: said beside left"),
        (b'{"inner":{"nam":1}}', "inner.nam: unknown, want a field of odd.v1.Inner: name, number"),
        (b'{"text":"a","text":"b"}', "the name text twice"),
        (b'{"half":NaN}', 'as text it is "NaN"'),
        (b"{", "line 1 column 2"),
        (b'{"text":"\xff"}', "byte 9 of 12, want JSON in UTF-8"),
    ],
)
def test_a_refusal_names_field_value_and_what_is_wanted(asked: Any, body: bytes, said: str) -> None:
    with pytest.raises(VTraceError) as refused:
        protojson.fill(asked(), protojson.parse(body))
    assert said in refused.value.message
