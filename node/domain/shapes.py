"""What the value of a field may look like at most, whatever it means. Each check answers the value to go on with.

The rules of meaning (which phone is one, which id is known) are in ``limits`` and the flows; these stand before them,
so nothing boundless comes that far. Errors of fields that name a person or are secret tell lengths, never values.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection
from typing import Any

from node.errors import Reason, VTraceError, invalid

HANDLE_LENGTH_MAX = 128
SECRET_LENGTH_MAX = 1_024
ADDRESS_LENGTH_MAX = 64
YEAR_MIN, YEAR_MAX = 1900, 2100
SECONDS_MIN, SECONDS_MAX = -2_208_988_800, 4_102_444_800
"""From the beginning of YEAR_MIN to that of YEAR_MAX, since 1970."""
INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Categories of Unicode that no name has: controls, format characters (bidirectional overrides, zero width), halves of
pairs, separators of lines."""

Check = Callable[[str, Any, Reason], Any]

_HANDLE = re.compile(r"[\x21-\x7e]*")


def named(length_max: int, *, hidden: bool = False) -> Check:
    """A name that people read, or empty: in NFC, of visible characters."""

    def check(field: str, value: str, reason: Reason) -> str:
        if value.isascii() and value.isprintable() and len(value) <= length_max:
            return value
        # Composed it has at most as many characters, but for a few that count double or threefold.
        plain = unicodedata.normalize("NFC", value) if len(value) <= 4 * length_max else value
        if len(plain) > length_max:
            raise _refused(field, value, f"1 to {length_max} characters", reason, hidden)
        if any(unicodedata.category(character) in INVISIBLE for character in plain):
            raise _refused(field, value, "no control or invisible characters", reason, hidden)
        return plain

    return check


def handle(length_max: int = HANDLE_LENGTH_MAX, *, hidden: bool = False) -> Check:
    """A name that programs read, or empty: visible ASCII, without blanks."""

    def check(field: str, value: str, reason: Reason) -> str:
        if len(value) > length_max or not _HANDLE.fullmatch(value):
            want = f"at most {length_max} characters of ASCII, without blanks"
            raise _refused(field, value, want, reason, hidden)
        return value

    return check


def line(length_max: int, *, hidden: bool = False) -> Check:
    """One line of text as its rule of meaning will look at it, or empty."""

    def check(field: str, value: str, reason: Reason) -> str:
        if len(value) > length_max:
            raise _refused(field, value, f"at most {length_max} characters", reason, hidden)
        return value

    return check


secret = line(SECRET_LENGTH_MAX, hidden=True)
"""A password: any characters, never shown."""


def octets(bytes_max: int) -> Check:
    """Bytes; of what is in them the rule of meaning decides."""

    def check(field: str, value: bytes, reason: Reason) -> bytes:
        if len(value) > bytes_max:
            raise invalid(field, f"{len(value)} bytes", f"at most {bytes_max} bytes", reason)
        return value

    return check


def whole(low: int, high: int) -> Check:
    """A whole number."""

    def check(field: str, value: int, reason: Reason) -> int:
        if not low <= value <= high:
            raise invalid(field, value, f"{low} to {high}", reason)
        return value

    return check


def one_of(numbers: Collection[int], want: str) -> Check:
    """A value of an enum."""

    def check(field: str, value: int, reason: Reason) -> int:
        if value not in numbers:
            raise invalid(field, value, want, reason)
        return value

    return check


def moment(field: str, value: Any, reason: Reason) -> Any:
    """A Timestamp within sane years."""
    if not SECONDS_MIN <= value.seconds < SECONDS_MAX:
        raise invalid(field, value.seconds, f"seconds since 1970, from the year {YEAR_MIN} to {YEAR_MAX}", reason)
    if not 0 <= value.nanos < 1_000_000_000:
        raise invalid(f"{field}.nanos", value.nanos, "0 to 999999999", reason)
    return value


def flag(_: str, value: bool, __: Reason) -> bool:
    """Yes or no, which is all that it can be."""
    return value


def _refused(field: str, value: str, want: str, reason: Reason, hidden: bool) -> VTraceError:
    return invalid(field, f"{len(value)} characters" if hidden else value, want, reason)
