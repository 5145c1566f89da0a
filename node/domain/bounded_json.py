"""JSON of strangers, its depth known before it is parsed.

Python's parser goes down the C stack, and what stops it is Python's limit of recursion, which libraries lift for the
whole process (py-evm to 100,000): then a few kilobytes of brackets end the process. So nothing deep gets to the parser.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Any

LEVELS_MAX = 100
"""Of what is no rule of its own; a tenth of what a small stack holds."""

_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_NO_BRACKET = re.compile(r"[^\[\]{}]+")
_NO_MARK = bytes(sorted(set(range(256)) - set(b'"[]{}')))
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}


class TooDeep(ValueError):
    """Nested deeper than asked for."""


def loads(text: bytes | str, levels: int = LEVELS_MAX, **hooks: Any) -> Any:
    """``json.loads`` of a text with at most ``levels`` of objects and arrays; TooDeep for more.

    Bytes are in UTF-8, or else as ``json`` finds. ValueError for what is no JSON, UnicodeDecodeError among them.
    """
    if not isinstance(text, str):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    if deeper_than(text, levels):
        raise TooDeep(f"nested more than {levels} levels deep")
    return json.loads(text, **hooks)


def deeper_than(text: str, levels: int) -> bool:
    """Whether a text opens more than ``levels`` of objects and arrays at once, outside of strings."""
    if text.count("[") + text.count("{") <= levels:
        return False
    if "\\" not in text:
        # Each quote begins or ends a string, so two that meet change nothing for the brackets behind them.
        marks = text.encode("utf-8", "surrogatepass").translate(None, _NO_MARK)
        text = marks.replace(b'""', b"").decode()
    brackets = _NO_BRACKET.sub("", _STRING.sub("", text))
    return any(depth > levels for depth in accumulate(map(_STEP.__getitem__, brackets)))
