"""Forms and their digests.

``formDigest = sha256(salt ‖ form)``; the form is the bytes as given: a UTF-8 JSON object of at most
FORM_BYTES_MAX bytes, or empty. The produce circ that makes goods carries a form written by the node:
the class, serial and org as they were, as canonical JSON (sorted keys, no spaces, UTF-8).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from node.domain import bounded_json
from node.errors import shown

FORM_BYTES_MAX = 65_536
FORM_DEPTH_MAX = 32
FORM_NAMES_MAX = 4_096
"""Names of members in all objects of a form together; elements of arrays are bounded by its bytes."""
SALT_BYTES = 16
NO_SALT = bytes(SALT_BYTES)
"""Stands in the index, with an empty form, where salt and form were lost and only the chain's digest is left."""


def form_digest(salt: bytes, form: bytes) -> bytes:
    """The 32 bytes that the contract keeps of a form."""
    if len(salt) != SALT_BYTES:
        raise ValueError(f"salt: {len(salt)} bytes, want {SALT_BYTES}")
    return hashlib.sha256(salt + form).digest()


def name_digest(username: str) -> bytes:
    """The 32 bytes that the contract keeps of a user name: sha256 of its UTF-8 bytes."""
    return hashlib.sha256(username.encode()).digest()


def canonical_json(value: Any) -> bytes:
    """``value`` as JSON with sorted keys, no spaces and UTF-8 text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def form_fault(form: bytes) -> str | None:
    """What is wrong with ``form``, or None for a form that may be recorded."""
    if not form:
        return None
    if len(form) > FORM_BYTES_MAX:
        return f"{len(form)} bytes, want at most {FORM_BYTES_MAX}"
    fault, value = _read(form)
    if fault is None and not isinstance(value, dict):
        return 'not a JSON object, want one such as {"moisture_percent": 11.2}'
    return fault


def text_fault(text: bytes) -> str | None:
    """What is wrong with a text that may be JSON, or None. What is not JSON is free text."""
    if text.lstrip()[:1] not in (b"{", b"["):
        return None
    try:
        bounded_json.loads(text, FORM_DEPTH_MAX, parse_int=str, parse_float=str)
    except bounded_json.TooDeep as fault:
        return f"{fault}, want fewer"
    except ValueError:
        return None
    return _read(text)[0]


def _read(form: bytes) -> tuple[str | None, Any]:
    """What is wrong with a JSON text, if anything, and its value."""
    try:
        # Numbers stay as they are written: JSON sets them no bounds, Python's integers do.
        value = bounded_json.loads(
            form.decode("utf-8"),
            FORM_DEPTH_MAX,
            parse_constant=_no_constant,
            parse_int=str,
            parse_float=str,
            object_pairs_hook=_each_name_once,
        )
    except UnicodeDecodeError as fault:
        return f"not UTF-8 at byte {fault.start}, want a UTF-8 JSON object", None
    except bounded_json.TooDeep as fault:
        return f"{fault}, want fewer", None
    except ValueError as fault:
        return f"not JSON ({fault}), want a UTF-8 JSON object", None
    names = _names(value)
    if names > FORM_NAMES_MAX:
        return f"{names} names in its objects, want at most {FORM_NAMES_MAX}", None
    return None, value


def rfc3339(micros: int) -> str:
    """A time as forms have it: RFC 3339 in UTC, with microseconds. What no calendar has is said in numbers."""
    try:
        when = datetime.fromtimestamp(micros // 1_000_000, UTC).replace(microsecond=micros % 1_000_000)
    except (OverflowError, ValueError, OSError):
        return f"{micros} microseconds since 1970"
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def micros_of(text: str) -> int:
    """The time that ``rfc3339`` wrote; ValueError for any other text."""
    number, told, _ = text.partition(" microseconds since 1970")
    if told:
        return int(number)
    when = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _names(value: Any) -> int:
    """How many names the objects of a JSON value have."""
    names, level = 0, [value]
    while level:
        inner = [member for member in level if isinstance(member, dict | list)]
        names += sum(len(one) for one in inner if isinstance(one, dict))
        level = [each for one in inner for each in (one.values() if isinstance(one, dict) else one)]
    return names


def _each_name_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of a name that stands twice one reader shows the first value and another the last, under one digest.
    value = dict(members)
    if len(value) < len(members):
        names = [name for name, _ in members]
        raise ValueError(f"{shown(next(name for name in names if names.count(name) > 1))} stands twice in one object")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


@dataclass(frozen=True, slots=True)
class ProducedClass:
    """A class as it was when its goods were produced."""

    id: int
    name: str
    description: str
    trademark: str
    material_id: int


@dataclass(frozen=True, slots=True)
class ProducedSerial:
    """A serial as it was; ``product_time`` is RFC 3339 in UTC."""

    id: int
    product_time: str


@dataclass(frozen=True, slots=True)
class ProducedOrg:
    """The org that made the goods, as it was."""

    id: int
    name: str
    code: str


@dataclass(frozen=True, slots=True)
class ProduceForm:
    """What the first produce circ of goods says of them."""

    goods_class: ProducedClass
    serial: ProducedSerial
    org: ProducedOrg

    def to_bytes(self) -> bytes:
        """The form's bytes: canonical JSON of class, serial and org."""
        return canonical_json(
            {"class": asdict(self.goods_class), "serial": asdict(self.serial), "org": asdict(self.org)}
        )

    @classmethod
    def from_bytes(cls, form: bytes) -> ProduceForm:
        """Read a form that ``to_bytes`` wrote; raises ValueError for any other."""
        try:
            value = bounded_json.loads(form, object_pairs_hook=_each_name_once)
            return cls(
                ProducedClass(**value["class"]),
                ProducedSerial(**value["serial"]),
                ProducedOrg(**value["org"]),
            )
        except (KeyError, TypeError, UnicodeDecodeError) as fault:
            raise ValueError(f"not the form of a first produce circ: {fault!r}") from fault
