"""The shapes of JSON-RPC values, checked while they are read.

Every function takes any JSON value and gives a plain one, or raises ShapeError that says what
was found and what was wanted. Nothing that an endpoint says reaches the node unchecked.
"""

from __future__ import annotations

import re
from typing import Any

_HASH = re.compile(r"0x[0-9a-f]{64}")
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")
_SHOWN_MAX = 60


class ShapeError(ValueError):
    """A JSON value isn't what the JSON-RPC specification says it should be."""


def obj(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ShapeError(f"want an object, got {shown(value)}")
    return value


def array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ShapeError(f"want an array, got {shown(value)}")
    return value


def field(value: dict[str, Any], name: str) -> Any:
    """A member that must be there; it may be null."""
    if name not in value:
        raise ShapeError(f"has no {name}")
    return value[name]


def quantity(value: Any) -> int:
    """A number of at most 256 bits: ``0x`` and hex digits."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise ShapeError(f"want a quantity (0x and 1 to 64 hex digits), got {shown(value)}")
    return int(value, 16)


def data(value: Any, size: int | None = None) -> bytes:
    """Bytes: ``0x`` and two hex digits a byte; exactly ``size`` of them if it is given."""
    try:
        found = bytes.fromhex(value[2:]) if isinstance(value, str) and value[:2] == "0x" else None
    except ValueError:
        found = None
    # Spaces between the digits are nothing to fromhex, but make the text longer than it should be.
    if found is None or len(value) != 2 + 2 * len(found):
        raise ShapeError(f"want bytes (0x and pairs of hex digits), got {shown(value)}")
    if size is not None and len(found) != size:
        raise ShapeError(f"want {size} bytes, got {len(found)}")
    return found


def hash32(value: Any) -> str:
    """A hash as ``0x`` + 64 lower-case hex digits."""
    if isinstance(value, str) and _HASH.fullmatch(value):
        return value
    return "0x" + data(value, 32).hex()


def account(value: Any) -> bytes:
    """The 20 bytes of an address."""
    return data(value, 20)


def shown(value: Any) -> str:
    """A value as it may stand in a message: short."""
    text = repr(value)
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "…"
