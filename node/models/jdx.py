"""JCAMP-DX, read by jcamp, within bounds of our own before and after.

jcamp believes what a file declares, multiplies what a line abbreviates, and prints where it has doubts. So a file is
held to be one spectrum of a bounded number of points before jcamp sees it, and whatever jcamp doubts is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NoReturn

import jcamp
import numpy as np
from numpy.typing import NDArray

from node.errors import VTraceError, invalid

LINES_PER_HEAD_MAX = 1_000
LINE_LENGTH_MAX = 256
REPEATS_PER_POINT_MAX = 64
WANT = "JCAMP-DX with one spectrum: ##FIRSTX, ##LASTX, ##NPOINTS and ##XYDATA=(X++(Y..Y)), or ##XYPOINTS=(XY..XY)"
FORMS = {"xydata": "(X++(Y..Y))", "xypoints": "(XY..XY)"}
NUMERIC = ("npoints", "firstx", "lastx", "xfactor", "yfactor")


def _doubt(message: object, *_: object) -> NoReturn:
    raise ValueError(str(message))


# jcamp prints its doubts to stdout, which belongs to the ready line; here each ends the reading.
setattr(jcamp, "print", _doubt)  # noqa: B010


@dataclass(frozen=True, slots=True)
class Jdx:
    """The spectrum of a file."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    x_unit: str
    y_unit: str


def read_jdx(text: str, points_max: int) -> Jdx:
    """The one spectrum of a JCAMP-DX text; INVALID_ARGUMENT when it has none, several, or too many points."""
    lines = text.split("\n")
    labels = _checked(lines, points_max)
    try:
        found: dict[str, Any] = jcamp.read(lines)
        x, y = np.asarray(found["x"], np.float64), np.asarray(found["y"], np.float64)
    except Exception as fault:
        raise _wrong(f"JCAMP-DX that can't be read ({fault})") from fault
    declared = int(float(labels["npoints"])) if "npoints" in labels else len(y)
    if not 2 <= len(y) <= points_max or len(x) != len(y) or len(y) != declared:
        raise _wrong(f"{len(y)} points where {declared} are declared, at most {points_max} of use")
    return Jdx(x, y, labels.get("xunits", ""), labels.get("yunits", ""))


def _checked(lines: list[str], points_max: int) -> dict[str, str]:
    """The labels of a file that may be read."""
    if len(lines) > LINES_PER_HEAD_MAX + points_max:
        raise _wrong(f"{len(lines)} lines")
    labels: dict[str, str] = {}
    repeats = 0
    for line in lines:
        if len(line) > LINE_LENGTH_MAX:
            raise _wrong(f"a line of {len(line)} characters, at most {LINE_LENGTH_MAX}")
        if not line.isascii() and not line.startswith("#"):
            raise _wrong(f"the line {line}")
        if not line.startswith("##"):
            repeats += _repeats(line)
            continue
        name, equals, value = line.strip("#").partition("=")
        name = name.strip().lower()
        if not equals or name in labels:
            raise _wrong(f"the line {line}, or its label twice")
        labels[name] = value.strip()
    if repeats > REPEATS_PER_POINT_MAX * points_max:
        raise _wrong("more repeated values than points of use")
    _check_labels(labels, points_max)
    return labels


def _check_labels(labels: dict[str, str], points_max: int) -> None:
    if "link" in (labels.get("data type", "").lower(), labels.get("datatype", "").lower()) or "ntuples" in labels:
        raise _wrong("several spectra in one file")
    forms = [(name, labels[name]) for name in (*FORMS, "peak table") if name in labels]
    if len(forms) != 1 or FORMS.get(forms[0][0]) != forms[0][1]:
        raise _wrong(f"data as {', '.join(f'##{name.upper()}={form}' for name, form in forms) or 'no table'}")
    for name in NUMERIC:
        if name in labels:
            _number(name, labels[name])
    if forms[0][0] == "xydata" and not {"npoints", "firstx", "lastx"} <= labels.keys():
        raise _wrong("no ##FIRSTX, ##LASTX or ##NPOINTS")
    points = _number("npoints", labels.get("npoints", "2"))
    if not 2 <= points <= points_max or points != int(points):
        raise _wrong(f"##NPOINTS={labels['npoints']}, from 2 to {points_max}")


def _number(name: str, text: str) -> float:
    try:
        value = float(text.replace(",", ".", 1))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _wrong(f"##{name.upper()}={text}, no number")
    return value


def _repeats(line: str) -> int:
    """How many characters jcamp makes of a line's duplicate digits."""
    total, since = 0, 0
    for at, character in enumerate(line):
        if character in jcamp.DIF_digits:
            since = at
        elif character in jcamp.DUP_digits:
            total += (at - since) * jcamp.DUP_digits[character]
    return total


def _wrong(value: str) -> VTraceError:
    return invalid("data", value, WANT)
