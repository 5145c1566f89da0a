"""Texts of the pages: strangers' text made harmless to look at, numbers, times and names of fields.

``node/page/script/text.ts`` has the same rules a second time, so that a reader's device can tell what a page must say
without believing the node. A change here is a change there; tests hold the two together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from node.domain.trace import Number

LANGUAGES = ("en", "zh")

_HARMFUL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)
_SPACES = re.compile("[ \t\r\n]+")
_PLACES = re.compile(r"\{([a-z]+)\}")
_FILE = re.compile(r"(?:ipfs:/|https?://[^\s/]{1,255}/ipfs)/baf(?:krei|ybei)[a-z2-7]{52}", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_RFC3339 = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{1,6})?Z", re.ASCII)
_WITH_UNIT = re.compile(r"(?!.*_per_)(.*[a-z]{4})_([a-z]+)", re.DOTALL)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Goods of a batch have their circs, and so times, in common.
_TIMES_KEPT_MAX = 4_096


@cache
def labels() -> Mapping[str, Any]:
    """The texts of the pages by language, the names of units and of common members of forms."""
    made: dict[str, Any] = json.loads(Path(__file__).with_name("labels.json").read_text(encoding="utf-8"))
    return made


def say(language: str, label: str, **values: object) -> str:
    """A text of the page. Values are put in as they are."""
    text: str = labels()[language][label]
    return _PLACES.sub(lambda place: str(values[place[1]]), text) if values else text


def clean(text: str) -> str:
    """A stranger's text on one line, without what would hide or reorder other text."""
    if text.isprintable() and "  " not in text:  # as nearly all are: then the two below find nothing
        return text.strip(" ")
    return _SPACES.sub(" ", _HARMFUL.sub("\ufffd", text)).strip(" ")


@lru_cache(_TIMES_KEPT_MAX)
def moment(language: str, seconds: int) -> str:
    """Seconds since 1970 for readers: in Beijing time in Chinese, in UTC in English."""
    when = _EPOCH + timedelta(seconds=seconds, hours=8 if language == "zh" else 0)
    clock = f"{when.hour:02d}:{when.minute:02d}"
    if language == "zh":
        return f"{when.year}年{when.month}月{when.day}日 {clock} 北京时间"
    return f"{when.day} {_MONTHS[when.month - 1]} {when.year}, {clock} UTC"


@lru_cache(_TIMES_KEPT_MAX)
def machine_time(seconds: int) -> str:
    """Seconds since 1970 as RFC 3339, for the datetime of a time element."""
    return (_EPOCH + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def moment_of(language: str, rfc3339: str) -> str:
    """A time of a produce circ's form for readers; what is no such time stays as it is."""
    found = _RFC3339.fullmatch(rfc3339)
    if found is None or rfc3339.startswith("9999"):  # in Beijing that year may be over
        return clean(rfc3339)
    try:
        when = datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
        return moment(language, int((when - _EPOCH).total_seconds()))
    except (ValueError, OverflowError):
        return clean(rfc3339)


def size(count: int) -> str:
    """Bytes for readers."""
    if count < 1_000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count // 1_000} kB"
    return f"{count // 1_000_000} MB"


def unit_of(name: str, value: object) -> tuple[str, str]:
    """A member's name without the unit at its end, and the unit, if the value is a number that has one.

    What could be part of another unit (``_per_kg``, ``_ug_kg``, ``_350_ml``) stays as it is.
    """
    found = _WITH_UNIT.fullmatch(name)
    unit = labels()["units"].get(found[2]) if found and isinstance(value, Number) else None
    return (found[1], f" {unit}") if found and unit else (name, "")


def heading(language: str, name: str) -> str:
    """A member's name for readers."""
    if language == "zh" and name in labels()["members"]:
        return str(labels()["members"][name])
    text = clean(name.replace("_", " "))
    return text[:1].upper() + text[1:] if text[:1].isascii() else text


def scalar(language: str, value: object) -> str:
    """A value of a form that is neither object nor array."""
    if isinstance(value, bool):
        return say(language, "yes" if value else "no")
    if isinstance(value, str) and _FILE.fullmatch(value):
        return say(language, "see_file")
    text = "" if value is None else clean(str(value))
    return text or say(language, "none")


Tree = str | tuple[str, list[Any]]
"""A text, ("fields", [(heading, Tree), …]) or ("list", [Tree, …])."""


def tree(language: str, value: Any) -> Tree:
    """A value of a form as it is shown."""
    if isinstance(value, dict) and value:
        pairs = []
        for name, inner in value.items():
            stem, unit = unit_of(name, inner)
            shown = tree(language, inner)
            pairs.append((heading(language, stem) or say(language, "none"), f"{shown}{unit}" if unit else shown))
        return "fields", pairs
    if isinstance(value, list) and value:
        return "list", [tree(language, inner) for inner in value]
    return scalar(language, None if isinstance(value, dict | list) else value)
