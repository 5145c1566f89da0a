"""From the bytes that a caller sends to the numbers that a model takes. Pure: no model is touched here.

Understood are, by their first character: JCAMP-DX (``##``), a JSON object of analytes (``{``), and lines of text:
one value a line, ``x,value`` rows (a header row may name the units, as in ``wavenumber [1/cm],absorbance``), or two
rows of named analytes. Everything is bounded before it is looked at, by what the model's card can use at all.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.domain import bounded_json
from node.errors import VTraceError, invalid
from node.models.card import Axis, Input
from node.models.jdx import read_jdx

DATA_BYTES_MAX = 4 * 1024 * 1024
HEAD_BYTES_MAX = 32 * 1024
BYTES_PER_POINT_MAX = 64
POINTS_MAX = 65_536
FINER_THAN_AXIS_MAX = 16
"""A spectrum that is resampled may have this many times the card's points."""
GAP_OF_STEP_MAX = 2.0
"""Neighbouring x values of a spectrum that is resampled: at most this many steps of the card's axis apart."""
VALUE_MAX = 1e30
"""Beyond what single precision could square; no measurement is that large."""

_NUMERIC = re.compile(r"[0-9+\-.eE, \t\n]*")
_WITH_UNIT = re.compile(r"(?P<name>[^\[\]]*?)\s*(?:\[(?P<unit>[^\[\]]*)\])?\s*")

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spectrum:
    """A spectrum as given: y in the given order, x where there was one, units where they were named."""

    y: Numbers
    x: Numbers | None = None
    x_unit: str = ""
    y_unit: str = ""


def parse(data: bytes, wanted: Input) -> Numbers:
    """The model's input, as long as the card says, every value finite; INVALID_ARGUMENT otherwise."""
    if not data or not data.strip():
        raise _wrong("nothing", _want(wanted))
    if len(data) > (most := bytes_max(wanted)):
        raise _wrong(f"{len(data)} bytes", f"at most {most} bytes for this model: {_want(wanted)}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise _wrong(f"byte {fault.start} is not UTF-8", f"text: {_want(wanted)}") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    values = _analytes(text, wanted) if wanted.analytes else _fitted(_spectrum(text, wanted), wanted)
    if not np.max(np.abs(values)) <= VALUE_MAX:  # which NaN is not either
        raise _wrong("a value that is no finite number", f"numbers up to {VALUE_MAX:g}")
    return values


def points_max(wanted: Input) -> int:
    """The most points that the model can use."""
    return wanted.length if wanted.axis is None else min(POINTS_MAX, FINER_THAN_AXIS_MAX * wanted.length)


def bytes_max(wanted: Input) -> int:
    """The most bytes that the model's data can need."""
    return min(DATA_BYTES_MAX, HEAD_BYTES_MAX + BYTES_PER_POINT_MAX * points_max(wanted))


def _wrong(value: str, want: str) -> VTraceError:
    return invalid("data", value, want)


def _want(wanted: Input) -> str:
    if wanted.analytes:
        first = wanted.analytes[0]
        return (
            f"{wanted.length} named analytes as CSV (a header row and a row of values) or a JSON object, such as "
            f'{{"{first.name}": 1.5, …}}'
        )
    if wanted.axis is not None:
        axis = wanted.axis
        return f"a spectrum from {axis.first:g} to {axis.last:g} {axis.unit} as CSV of x,value rows or JCAMP-DX"
    return f"a spectrum of exactly {wanted.length} points: one value a line, x,value rows, or JCAMP-DX"


# Analytes


def _analytes(text: str, wanted: Input) -> Numbers:
    given = _from_json(text, wanted) if text.startswith("{") else _from_csv(text, wanted)
    units = {analyte.name: analyte.unit for analyte in wanted.analytes}
    values: dict[str, float] = {}
    for title, value in given.items():
        parts = _WITH_UNIT.fullmatch(title)
        name, unit = (parts["name"].strip(), parts["unit"]) if parts else (title, None)
        if name not in units:
            raise _wrong(f"the analyte {title}", f"only {', '.join(units)}")
        if unit is not None and units[name] and not _same_unit(unit, units[name]):
            raise _wrong(f"the unit of {title}", f"{name} in {units[name]}")
        if name in values:
            raise _wrong(f"the analyte {name} twice", "each analyte once")
        values[name] = value
    if missing := [name for name in units if name not in values]:
        raise _wrong(f"no value for {', '.join(missing[:5])}", _want(wanted))
    return np.array([values[name] for name in units], dtype=np.float64)


def _from_json(text: str, wanted: Input) -> Mapping[str, float]:
    try:
        given = bounded_json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_each_once)
    except ValueError:
        raise _wrong("a JSON object that can't be read", f"each analyte once, as a number: {_want(wanted)}") from None
    for name, value in given.items():
        if type(value) not in (int, float):
            raise _wrong(f"the value of {name}", "a number")
    return {name: _float(str(value)) for name, value in given.items()}


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name twice")
    return found


def _from_csv(text: str, wanted: Input) -> Mapping[str, float]:
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) != 2:
        raise _wrong(f"{len(lines)} rows", _want(wanted))
    try:
        header, row = csv.reader(lines, strict=True, skipinitialspace=True)
    except (csv.Error, ValueError):
        raise _wrong("CSV that can't be read", _want(wanted)) from None
    if len(header) != len(row) or len(set(header)) < len(header):
        raise _wrong(f"{len(header)} names and {len(row)} values", f"each name once, a value each: {_want(wanted)}")
    return {name.strip(): _float(value) for name, value in zip(header, row, strict=True)}


def _float(text: str) -> float:
    """A plain decimal number; what Python takes besides (nan, inf, 1_000, other digits) is refused."""
    if not text.strip() or not _NUMERIC.fullmatch(text):
        raise _wrong(f"the value {text}", "decimal numbers such as 12.5 or 1.25e1")
    try:
        return float(text)
    except ValueError:
        raise _wrong(f"the value {text}", "decimal numbers such as 12.5 or 1.25e1") from None


# Spectra


def _spectrum(text: str, wanted: Input) -> Spectrum:
    if text.startswith("##"):
        found = read_jdx(text, points_max(wanted))
        return Spectrum(found.y, found.x, found.x_unit, found.y_unit)
    if text.startswith("{"):
        raise _wrong("a JSON object", _want(wanted))
    first, _, rest = text.partition("\n")
    x_unit = y_unit = ""
    if not _NUMERIC.fullmatch(first):
        x_unit, y_unit = _units(first, wanted)
        text = rest
    if not _NUMERIC.fullmatch(text):
        bad = next((line for line in text.split("\n") if not _NUMERIC.fullmatch(line)), "")
        raise _wrong(f"the line {bad}", f"decimal numbers such as 12.5: {_want(wanted)}")
    lines = text.split("\n")
    if len(lines) > (most := points_max(wanted)):
        raise _wrong(f"{len(lines)} lines", f"at most {most} points: {_want(wanted)}")
    has_x = "," in lines[0]
    if "," in text and (not has_x or any(line.count(",") != 1 for line in lines)):
        raise _wrong("rows of unequal or more than two values", _want(wanted))
    try:
        numbers = list(map(float, text.replace(",", "\n").split("\n") if has_x else lines))
    except ValueError:
        raise _wrong("a row without a number, or with two", _want(wanted)) from None
    if not has_x:
        return Spectrum(np.array(numbers), None, x_unit, y_unit)
    return Spectrum(np.array(numbers[1::2]), np.array(numbers[0::2]), x_unit, y_unit)


def _units(header: str, wanted: Input) -> tuple[str, str]:
    """The units that a header row names, for x and for the value."""
    cells = header.split(",")
    parts = [_WITH_UNIT.fullmatch(cell) for cell in cells]
    if len(cells) > 2 or not all(parts):
        raise _wrong(f"the line {header}", _want(wanted))
    units = [(part["unit"] or "").strip() for part in parts if part]
    return (units[0], units[1]) if len(units) == 2 else ("", units[0])


def _fitted(given: Spectrum, wanted: Input) -> Numbers:
    """The spectrum on the card's points: as it is, or resampled where the card gives an axis."""
    if given.y_unit and wanted.value_unit and not _same_unit(given.y_unit, wanted.value_unit):
        raise _wrong(f"values in {given.y_unit}", f"values in {wanted.value_unit}")
    if wanted.axis is None:
        if len(given.y) != wanted.length:
            raise _wrong(f"{len(given.y)} points", _want(wanted))
        if given.x is not None:
            _ordered(given.x)
        return given.y
    if given.x is None:
        raise _wrong("values without x", _want(wanted))
    if given.x_unit and not _same_unit(given.x_unit, wanted.axis.unit):
        raise _wrong(f"x in {given.x_unit}", f"x in {wanted.axis.unit}")
    return _resampled(given.x, given.y, wanted.axis, wanted)


def _ordered(x: Numbers) -> bool:
    """Whether x ascends; it may also descend, but nothing else."""
    steps = np.diff(x)
    if not np.all(np.isfinite(x)) or not (np.all(steps > 0) or np.all(steps < 0)):
        raise _wrong("x values out of order", "x that only ascends, or only descends")
    return bool(len(steps) == 0 or steps[0] > 0)


def _resampled(x: Numbers, y: Numbers, axis: Axis, wanted: Input) -> Numbers:
    if not _ordered(x):
        x, y = x[::-1], y[::-1]
    points = np.linspace(axis.first, axis.last, wanted.length)
    low, high = min(axis.first, axis.last), max(axis.first, axis.last)
    step = (high - low) / (wanted.length - 1)
    if x[0] > low + step / 2 or x[-1] < high - step / 2:
        raise _wrong(f"x from {x[0]:g} to {x[-1]:g}", f"x that covers {low:g} to {high:g} {axis.unit}")
    inside = x[(x >= low - step) & (x <= high + step)]
    widest = float(np.max(np.diff(inside))) if len(inside) > 1 else math.inf
    if widest > GAP_OF_STEP_MAX * step:
        raise _wrong(f"x values up to {widest:g} apart", f"at most {GAP_OF_STEP_MAX * step:g} {axis.unit} apart")
    resampled: Numbers = np.interp(points, x, y)
    return resampled


def _same_unit(one: str, other: str) -> bool:
    return _plain(one) == _plain(other)


def _plain(unit: str) -> str:
    text = re.sub(r"[\s.*]", "", unit).lower()
    return {"cm-1": "1/cm", "cm^-1": "1/cm", "nm": "nanometers", "nanometer": "nanometers"}.get(text, text)
