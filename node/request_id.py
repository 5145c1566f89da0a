"""The id of a call, which its entry in the audit log, its lines in the process's log and its refusal have in common.

A caller may name it in the metadata or header ``x-request-id``, as proxies do: 32 hex digits, with or without the
dashes of a UUID. Anything else that it says there is not taken, since the id is kept and logged: nobody is to put a
phone into it. Who says none gets one.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "x-request-id"
_HEX = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_BYTES = 16

_current: ContextVar[str] = ContextVar("request_id", default="")


def id_in(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The id of a call with this metadata (names in lower case): the one that it says, or a new one."""
    for name, value in metadata:
        if name == HEADER and isinstance(value, str) and _HEX.fullmatch(value):
            return value
    return secrets.token_hex(_BYTES)


def current() -> str:
    """The id of the call that this thread, or task, works for; empty outside of a call."""
    return _current.get()


@contextmanager
def working_for(request_id: str) -> Iterator[None]:
    """For the length of a block this thread, or task, works for that call."""
    before = _current.set(request_id)
    try:
        yield
    finally:
        _current.reset(before)
