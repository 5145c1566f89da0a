"""GS1 keys: GTINs, and GS1 Digital Link addresses of goods (GS1 Digital Link URI Syntax). No I/O.

A class whose description is a JSON object with the member ``gtin`` has that GTIN. Its serials are then the lots (AI 10)
and its goods the serial numbers (AI 21) of the GTIN.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from node.domain.trace import members_of
from node.errors import VTraceError, invalid

GTIN_LENGTHS = (8, 12, 13, 14)
GTIN_WANT = 'a text of 8, 12, 13 or 14 digits with the right check digit, such as "06901234567892"'
PATH_LENGTH_MAX = 200
GTIN, VARIANT, LOT, SERIAL = "01", "22", "10", "21"

_DIGITS = re.compile(r"[0-9]+", re.ASCII)
_QUALIFIERS = (VARIANT, LOT, SERIAL)
_VALUE = re.compile(r"[!\"%&'()*+,\-./0-9:;<=>?A-Z_a-z]{1,20}", re.ASCII)
"""What stands behind these AIs: 1 to 20 characters of GS1's set 82."""


class NoGtin(ValueError):
    """A text that is no GTIN; the message says why."""


class NoLink(ValueError):
    """A path that is no GS1 Digital Link of a GTIN; the message says why."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a GS1 Digital Link names. ``gtin`` has 14 digits; what the link leaves out is None."""

    gtin: str
    variant: str | None = None
    lot: str | None = None
    serial: str | None = None


def check_digit(digits: str) -> int:
    """The check digit that belongs behind ``digits``: weights 3, 1, 3 … from the right."""
    return -sum(int(digit) * (1 if at % 2 else 3) for at, digit in enumerate(reversed(digits))) % 10


def gtin14(text: str) -> str:
    """A GTIN-8, -12, -13 or -14 as 14 digits; NoGtin for any other text."""
    if not _DIGITS.fullmatch(text) or len(text) not in GTIN_LENGTHS:
        raise NoGtin(f"it has {len(text)} characters" if _DIGITS.fullmatch(text) else "it is not digits alone")
    if not text.strip("0"):
        raise NoGtin("it is nothing but zeros")
    right = check_digit(text[:-1])
    if int(text[-1]) != right:
        raise NoGtin(f"its check digit is {text[-1]}, not {right}")
    return text.zfill(GTIN_LENGTHS[-1])


def gtin_of(description: bytes) -> str | None:
    """The GTIN of a class, as 14 digits; None if its description names none, or none that is right."""
    named = _named(description)
    try:
        return gtin14(named) if type(named) is str else None
    except NoGtin:
        return None


def check_description(field: str, description: bytes) -> bytes:
    """A class's description, refused if it names a GTIN that is none."""
    named = _named(description)
    if named is None:
        return description
    if type(named) is not str:
        raise _refused(field, named, "it is no text")
    try:
        gtin14(named)
    except NoGtin as fault:
        raise _refused(field, named, str(fault)) from fault
    return description


def link_path(gtin: str, serial_id: int, goods_id: int) -> str:
    """The path of the GS1 Digital Link of one goods."""
    return f"/{GTIN}/{gtin}/{LOT}/{serial_id}/{SERIAL}/{goods_id}"


def parse(path: str) -> Link:
    """The path of a GS1 Digital Link whose key is a GTIN: ``/01/…``, percent-encoded, perhaps with a slash at its end.

    NoLink for what the syntax does not allow.
    """
    if len(path) > PATH_LENGTH_MAX:
        raise NoLink(f"{len(path)} characters, want at most {PATH_LENGTH_MAX}")
    parts = path.removeprefix("/").removesuffix("/").split("/")
    if len(parts) % 2 or parts[0] != GTIN:
        raise NoLink("want /01/GTIN, then /10/LOT and /21/SERIAL or one of them")
    try:
        gtin = gtin14(unquote(parts[1]))
    except NoGtin as fault:
        raise NoLink(f"GTIN: {fault}") from fault
    values = dict.fromkeys(_QUALIFIERS)
    last = -1
    for name, encoded in zip(parts[2::2], parts[3::2], strict=True):
        if name not in _QUALIFIERS or _QUALIFIERS.index(name) <= last:
            raise NoLink("want the qualifiers 22, 10 and 21 in this order, each at most once")
        last, value = _QUALIFIERS.index(name), unquote(encoded)
        if not _VALUE.fullmatch(value):
            raise NoLink(f"AI {name}: want 1 to 20 characters that GS1 allows")
        values[name] = value
    return Link(gtin, values[VARIANT], values[LOT], values[SERIAL])


def _named(description: bytes) -> object:
    """What the member ``gtin`` of a description holds, a number as its own kind of text; None without one."""
    members = members_of(description)
    return None if members is None else members.get("gtin")


def _refused(field: str, value: object, why: str) -> VTraceError:
    return invalid(f"{field}.gtin", value, f"{GTIN_WANT}: {why}")
