"""Protobuf's JSON mapping, strictly: what is said twice, or is unknown, or of another type, is refused by name.

``google.protobuf.json_format`` writes; it is not used for reading, since it drops what is no base64, takes numbers such
as ``1_0``, and does not say where in a request a value is wrong.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections import Counter
from functools import cache
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from node.domain import bounded_json
from node.errors import VTraceError, invalid, shown

DEPTH_MAX = 32
FLOAT_MAX = 3.4028235677973366e38
"""The first double that does not round to a float."""

_F = FieldDescriptor
_INTEGERS = {
    **dict.fromkeys((_F.TYPE_INT32, _F.TYPE_SINT32, _F.TYPE_SFIXED32), (-(2**31), 2**31 - 1)),
    **dict.fromkeys((_F.TYPE_INT64, _F.TYPE_SINT64, _F.TYPE_SFIXED64), (-(2**63), 2**63 - 1)),
    **dict.fromkeys((_F.TYPE_UINT32, _F.TYPE_FIXED32), (0, 2**32 - 1)),
    **dict.fromkeys((_F.TYPE_UINT64, _F.TYPE_FIXED64), (0, 2**64 - 1)),
}
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?", re.ASCII)
_BASE64 = re.compile(r"([A-Za-z0-9+/]*|[A-Za-z0-9_-]*)(={0,2})", re.ASCII)
_SPECIAL_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

_GOOGLE = "google.protobuf."
WRAPPERS = frozenset(
    f"{_GOOGLE}{kind}Value"
    for kind in ("String", "Bytes", "Bool", "Int32", "Int64", "UInt32", "UInt64", "Float", "Double")
)
AS_TEXT = {
    f"{_GOOGLE}Timestamp": "an RFC 3339 time such as 2026-05-01T08:00:00Z",
    f"{_GOOGLE}Duration": "seconds such as 1.5s",
    f"{_GOOGLE}FieldMask": "names of fields such as a,b.c",
}
VALUE = f"{_GOOGLE}Value"
_LOOSE = {VALUE: "a JSON value", f"{_GOOGLE}Struct": "an object", f"{_GOOGLE}ListValue": "an array"}


def parse(body: bytes) -> Any:
    """A JSON text (RFC 8259, UTF-8) as Python has it; INVALID_ARGUMENT for anything else."""
    try:
        return bounded_json.loads(body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except UnicodeDecodeError as fault:
        raise invalid("body", f"byte {fault.start} of {len(body)}", "JSON in UTF-8") from None
    except json.JSONDecodeError as fault:
        at = f"line {fault.lineno} column {fault.colno}: {fault.msg}"
        raise invalid("body", at, "JSON") from None
    except bounded_json.TooDeep:
        raise _too_deep("body") from None
    except ValueError as fault:  # a number of more digits than Python takes
        raise invalid("body", str(fault), "JSON with numbers of a usual length") from None


def to_json(message: Message) -> bytes:
    """A message as JSON; fields that can't be told from unset ones are always there."""
    made = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    return json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode()


def fill(message: Message, value: Any, at: str = "", depth: int = 1) -> None:
    """Set the fields that a JSON object names; ``at`` is where it stands in the request."""
    if depth > DEPTH_MAX:
        raise _too_deep(at)
    if not isinstance(value, dict):
        raise invalid(at or "body", _told(value), f"an object: {message.DESCRIPTOR.full_name}")
    fields = names(message.DESCRIPTOR)
    said: dict[Any, str] = {}
    for name, given in value.items():
        where = f"{at}.{name}" if at else name
        field = fields.get(name)
        if field is None:
            known = ", ".join(one.json_name for one in message.DESCRIPTOR.fields) or "none, it is empty"
            unknown = f"{at}.{shown(name)}" if at else shown(name)
            raise invalid(unknown, "unknown", f"a field of {message.DESCRIPTOR.full_name}: {known}")
        if given is None and not _takes_null(field):
            continue
        place = field.containing_oneof or field
        if place in said:
            raise invalid(where, f"said beside {said[place]}", "one of the two")
        said[place] = name
        set_field(message, field, given, where, depth)


def set_field(message: Message, field: Any, value: Any, at: str, depth: int = 1) -> None:
    """Set one field, a map or a repeated one too, to a JSON value."""
    target: Any = getattr(message, field.name) if field.is_repeated or field.message_type else None
    if field.message_type and field.message_type.GetOptions().map_entry:
        if not isinstance(value, dict):
            raise invalid(at, _told(value), "an object")
        _fill_map(target, field, value, at, depth)
    elif field.is_repeated:
        if not isinstance(value, list):
            raise invalid(at, _told(value), "an array")
        for index, one in enumerate(value):
            where = f"{at}[{index}]"
            if field.message_type:
                _fill_message(target.add(), one, where, depth + 1)
            else:
                target.append(_scalar(field, one, where))
    elif field.message_type:
        _fill_message(target, value, at, depth + 1)
        target.SetInParent()
    else:
        setattr(message, field.name, _scalar(field, value, at))


@cache
def names(descriptor: Any) -> dict[str, Any]:
    """The fields of a message by both of their names."""
    return {name: field for field in descriptor.fields for name in (field.name, field.json_name)}


def from_base64(value: Any, at: str) -> bytes:
    """The bytes of a text in either base64 alphabet, padded or not; ``at`` is where it stands in the request."""
    found = _BASE64.fullmatch(value) if isinstance(value, str) else None
    if found is None or len(found[1]) % 4 == 1 or (found[2] and len(value) % 4):
        raise invalid(at, _told(value), "base64, of the usual or the URL-safe alphabet")
    return base64.urlsafe_b64decode(found[1].replace("+", "-").replace("/", "_") + "=" * (-len(found[1]) % 4))


def _fill_map(target: Any, field: Any, value: dict[str, Any], at: str, depth: int) -> None:
    key_field, value_field = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
    for text, one in value.items():
        where = f"{at}.{shown(text)}"
        given: Any = {"true": True, "false": False}.get(text, text) if key_field.type == _F.TYPE_BOOL else text
        key = _scalar(key_field, given, where)
        if key in target:
            raise invalid(where, "said twice", "each key once")
        if value_field.message_type:
            _fill_message(target[key], one, where, depth + 1)
        else:
            target[key] = _scalar(value_field, one, where)


def _fill_message(message: Any, value: Any, at: str, depth: int) -> None:
    full_name = message.DESCRIPTOR.full_name
    if full_name in WRAPPERS:
        message.value = _scalar(message.DESCRIPTOR.fields_by_name["value"], value, at)
    elif full_name in AS_TEXT or full_name in _LOOSE:
        wanted = AS_TEXT.get(full_name) or _LOOSE[full_name]
        if full_name in AS_TEXT and not isinstance(value, str):
            raise invalid(at, _told(value), wanted)
        _hold_depth(value, at, depth)
        try:
            json_format.ParseDict(value, message)
        except (json_format.ParseError, ValueError, OverflowError):
            raise invalid(at, _told(value), wanted) from None
    else:
        fill(message, value, at, depth)


def _scalar(field: Any, value: Any, at: str) -> Any:
    kind = field.type
    if kind in _INTEGERS:
        return _integer(value, at, *_INTEGERS[kind])
    if kind == _F.TYPE_STRING:
        if isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value):
            return value
        raise invalid(at, _told(value), "text")
    if kind == _F.TYPE_BYTES:
        return from_base64(value, at)
    if kind == _F.TYPE_BOOL:
        if isinstance(value, bool):
            return value
        raise invalid(at, _told(value), "true or false")
    if kind == _F.TYPE_ENUM:
        return _enum(field.enum_type, value, at)
    if kind in (_F.TYPE_DOUBLE, _F.TYPE_FLOAT):
        return _float(value, at, FLOAT_MAX if kind == _F.TYPE_FLOAT else math.inf)
    raise invalid(at, _told(value), "nothing: a field of this type has no JSON")


def _integer(value: Any, at: str, low: int, high: int) -> int:
    found: int | None = None
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        found = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        found = value
    elif isinstance(value, float) and value.is_integer():
        found = int(value)
    if found is None or not low <= found <= high:
        raise invalid(at, _told(value), f"a whole number from {low} to {high}")
    return found


def _float(value: Any, at: str, bound: float) -> float:
    if isinstance(value, str) and value in _SPECIAL_FLOATS:
        return _SPECIAL_FLOATS[value]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        try:
            found = float(value)
        except OverflowError:
            found = math.inf
        if abs(found) < bound:
            return found
    raise invalid(at, _told(value), 'a number within range, "NaN", "Infinity" or "-Infinity"')


def _enum(enum: Any, value: Any, at: str) -> int:
    if isinstance(value, str):
        if value in enum.values_by_name:
            return int(enum.values_by_name[value].number)
        if _INTEGER.fullmatch(value) and int(value) in enum.values_by_number:
            return int(value)
        raise invalid(at, value, f"one of {', '.join(enum.values_by_name)}")
    return _integer(value, at, -(2**31), 2**31 - 1)


def _takes_null(field: Any) -> bool:
    return bool(field.message_type) and field.message_type.full_name == VALUE and not field.is_repeated


def _hold_depth(value: Any, at: str, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise _too_deep(at)
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _hold_depth(one, at, depth + 1)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise invalid("body", f"the name {shown(twice)} twice in an object", "each name once")
    return made


def _no_constant(text: str) -> Any:
    raise invalid("body", text, f'JSON, which has no {text}; as text it is "{text}"')


def _too_deep(at: str) -> VTraceError:
    return invalid(shown(at or "body"), "deeper", f"at most {DEPTH_MAX} levels of objects and arrays")


def _told(value: Any) -> str:
    """A JSON value as an error shows it; of what is large only the kind."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str):
        return value
    return json.dumps(value) if not isinstance(value, int) or abs(value) < 10**80 else "a huge number"
