"""Limits of every input, and the checks that hold them. Each raises the error that the caller is told."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Sequence

from node.domain.form import form_fault
from node.domain.model import GOODS_ID_MAX
from node.errors import Reason, VTraceError, invalid

NAME_LENGTH_MAX = 64
LONG_NAME_LENGTH_MAX = 128
EMAIL_LENGTH_MAX = 254
AVATAR_LENGTH_MAX = 512
TEXT_BYTES_MAX = 16_384
LIST_ROWS_DEFAULT = 20
LIST_ROWS_MAX = 1_000
GOODS_PER_CALL_MAX = 10_000
IDEMPOTENCY_KEY_LENGTH_MAX = 128
SIGNATURE_BYTES_MAX = 4_096
"""Of an account that is a contract: 65 bytes for each of its owners, and room."""
PRODUCT_TIME_AHEAD_MAX_MICROS = 86_400 * 1_000_000
CLOCKS_APART_MICROS = 30 * 1_000_000
"""So far may the clocks of node, auditor and chain be apart, and so far may the node's be set back."""
DEPLOYMENT_WAIT_MICROS = 86_400 * 1_000_000
"""A new node takes circs while its contract's deployment waits to be mined; so long a circ may be the older one."""

_PHONE = re.compile(r"1[3-9][0-9]{9}")
_OFFICE_PHONE = re.compile(r"\+?[0-9](?:[0-9]|[ -](?=[0-9])){4,19}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+")


def name(field: str, value: str, reason: Reason, length_max: int = NAME_LENGTH_MAX) -> str:
    """A name that people read: 1 to ``length_max`` characters, none of them a control or format character."""
    if not 1 <= len(value) <= length_max or not value.strip():
        raise invalid(field, value, f"1 to {length_max} characters", reason)
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in value):
        raise invalid(field, value, "no control or invisible characters", reason)
    return value


def optional_name(field: str, value: str, reason: Reason, length_max: int = NAME_LENGTH_MAX) -> str:
    """As ``name``, or empty."""
    return name(field, value, reason, length_max) if value else ""


def text(field: str, value: bytes, reason: Reason) -> bytes:
    """Longer text: UTF-8 of at most TEXT_BYTES_MAX bytes; line breaks and tabs are its only controls."""
    if len(value) > TEXT_BYTES_MAX:
        raise invalid(field, f"{len(value)} bytes", f"at most {TEXT_BYTES_MAX} bytes", reason)
    try:
        decoded = value.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise invalid(field, f"byte {fault.start} of {len(value)}", "UTF-8 text", reason) from fault
    if any(unicodedata.category(c) == "Cc" and c not in "\n\r\t" for c in decoded):
        raise invalid(field, decoded, "no control characters but line breaks and tabs", reason)
    return value


def phone(field: str, value: str) -> str:
    """The login: a mainland Chinese mobile number of 11 digits."""
    if not _PHONE.fullmatch(value):
        raise invalid(field, value, "a mobile number of 11 digits such as 13800138000", Reason.PARAMS_ERR)
    return value


def office_phone(field: str, value: str) -> str:
    """A number where an org can be reached, mobile or fixed: 5 to 20 digits, spaces and dashes."""
    if not _OFFICE_PHONE.fullmatch(value):
        raise invalid(field, value, "a phone number such as 13800138000 or 0871-6512345", Reason.PARAMS_ERR)
    return value


def email(field: str, value: str) -> str:
    """An e-mail address, or empty."""
    if value and (len(value) > EMAIL_LENGTH_MAX or not value.isprintable() or not _EMAIL.fullmatch(value)):
        raise invalid(field, value, "an e-mail address such as name@example.com", Reason.PARAMS_ERR)
    return value


def avatar(field: str, value: str) -> str:
    """The address of a picture, or empty."""
    fits = len(value) <= AVATAR_LENGTH_MAX and value.isprintable() and " " not in value
    if value and not (fits and value.startswith(("https://", "http://", "ipfs://", "/"))):
        want = f"an http, https or ipfs URL of at most {AVATAR_LENGTH_MAX} characters"
        raise invalid(field, value, want, Reason.PARAMS_ERR)
    return value


def identifier(field: str, value: int, reason: Reason = Reason.INVALID_PARAMS) -> int:
    """An id of goods, a class, a serial or an org: 1 .. 2^31-1."""
    if not 1 <= value <= GOODS_ID_MAX:
        raise invalid(field, value, f"an id from 1 to {GOODS_ID_MAX}", reason)
    return value


def goods_ids(field: str, values: Sequence[int]) -> list[int]:
    """The goods of one call: 1 to GOODS_PER_CALL_MAX different ids, answered in ascending order."""
    if not 1 <= len(values) <= GOODS_PER_CALL_MAX:
        raise invalid(field, f"{len(values)} ids", f"1 to {GOODS_PER_CALL_MAX} ids")
    ordered = sorted(values)
    identifier(field, ordered[0])
    identifier(field, ordered[-1])
    for before, after in itertools.pairwise(ordered):
        if before == after:
            raise invalid(field, after, "each goods id once")
    return ordered


def goods_sum(field: str, value: int) -> int:
    """How many goods one call makes: 1 to GOODS_PER_CALL_MAX."""
    if not 1 <= value <= GOODS_PER_CALL_MAX:
        raise invalid(field, value, f"1 to {GOODS_PER_CALL_MAX}")
    return value


def page(offset: int, limit: int, reason: Reason = Reason.INVALID_PARAMS) -> tuple[int, int]:
    """Rows to skip and rows at most (0 means LIST_ROWS_DEFAULT)."""
    if offset < 0:
        raise invalid("offset", offset, "0 or more", reason)
    if not 0 <= limit <= LIST_ROWS_MAX:
        raise invalid("limit", limit, f"0 to {LIST_ROWS_MAX}", reason)
    return offset, limit or LIST_ROWS_DEFAULT


def idempotency_key(field: str, value: str) -> str:
    """The name that a caller gives a call: 1 to IDEMPOTENCY_KEY_LENGTH_MAX printable ASCII characters."""
    if not (1 <= len(value) <= IDEMPOTENCY_KEY_LENGTH_MAX and value.isascii() and value.isprintable()):
        raise invalid(field, value, f"1 to {IDEMPOTENCY_KEY_LENGTH_MAX} printable ASCII characters")
    return value


def form(field: str, value: bytes) -> bytes:
    """The form of a circ: empty, or a UTF-8 JSON object within the limit."""
    fault = form_fault(value)
    if fault:
        raise VTraceError(
            Reason.INVALID_PARAMS,
            f"{field}: {fault}",
            metadata={"field": field, "value": f"{len(value)} bytes"},
            fields=invalid(field, "", "a UTF-8 JSON object of at most 65536 bytes, or empty").fields,
        )
    return value
