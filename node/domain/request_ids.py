"""The id by which a request is found again in logs and traces: the caller's own, or one that is made here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

_VALID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def request_id(given: Iterable[object]) -> str:
    """The first of ``given`` that can be an id: 1 to 64 of A-Z, a-z, 0-9, ``.``, ``_`` and ``-``; else a new one."""
    valid = (text for text in given if isinstance(text, str) and _VALID.fullmatch(text))
    return next(valid, None) or os.urandom(12).hex()
