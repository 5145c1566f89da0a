"""The model card: what ``card.json`` must say. A card that doesn't is refused with the place and what is wanted."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from node.domain import bounded_json
from node.domain.recognition import MaterialFacts

CARD_BYTES_MAX = 64 * 1024
LENGTH_MAX = 16_384
CLASSES_MAX = 256
VERSION_MAX = 2**31 - 1
NUMBER_MAX = 1e30
SHORT_LENGTH_MAX = 128
LONG_LENGTH_MAX = 4_096
LIST_LENGTH_MAX = 64
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
MEASURE = re.compile(r"[a-z][a-z0-9_]{0,30}")
ADDRESS = re.compile(r"[A-Za-z0-9.\-\[\]:]{1,255}:[0-9]{1,5}")

T = TypeVar("T")


class CardFault(Exception):
    """The card can't be used; the message says where and what is wanted."""


@dataclass(frozen=True, slots=True)
class Analyte:
    """One named value of the input, in order; ``unit`` is empty for a pure number."""

    name: str
    unit: str


@dataclass(frozen=True, slots=True)
class Axis:
    """The x values that a spectrum is resampled to: ``length`` evenly spaced ones from first to last."""

    unit: str
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class Input:
    """What the model looks at: named analytes, or a spectrum of ``length`` points."""

    length: int
    analytes: tuple[Analyte, ...] = ()
    value_unit: str = ""
    axis: Axis | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """A measure within which the model may name a class."""

    least: float = -math.inf
    most: float = math.inf

    def holds(self, value: float) -> bool:
        """Whether ``value`` is a number within the bound; NaN never is."""
        return self.least <= value <= self.most


@dataclass(frozen=True, slots=True)
class ModelClass:
    """One answer of the model, at its place among the scores."""

    label: str
    material: MaterialFacts


@dataclass(frozen=True, slots=True)
class Remote:
    """A model that another server runs, over the Open Inference Protocol v2 (gRPC)."""

    address: str
    model: str
    version: str
    input: str


@dataclass(frozen=True, slots=True)
class Card:
    """A whole card. ``reject`` names the model's measures and the bounds beyond which nothing is told."""

    name: str
    version: int
    description: str
    input: Input
    classes: tuple[ModelClass, ...]
    scores_are_probabilities: bool
    reject: Mapping[str, Bound]
    sha256: str | None
    remote: Remote | None
    shown: Mapping[str, object]

    @property
    def materials(self) -> tuple[MaterialFacts, ...]:
        """The materials that the model can name, each once."""
        return tuple(dict.fromkeys(one.material for one in self.classes))


def read_card(content: bytes) -> Card:
    """The card in ``content``, or CardFault."""
    if len(content) > CARD_BYTES_MAX:
        raise CardFault(f"card.json: {len(content)} bytes, want at most {CARD_BYTES_MAX}")
    try:
        value = bounded_json.loads(content, parse_constant=_no_constant)
    except ValueError as fault:
        raise CardFault(f"card.json: want one JSON object: {fault}") from fault
    return _card(_Entry("card", value))


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A value of the card and where it stands."""

    at: str
    value: Any

    def fault(self, want: str) -> CardFault:
        return CardFault(f"{self.at}: want {want}")

    def object(self, *, needs: set[str], takes: set[str]) -> None:
        """Hold this to be an object with these keys."""
        if not isinstance(self.value, dict):
            raise self.fault("an object")
        if missing := sorted(needs - self.value.keys()):
            raise self.fault(f"the entry {missing[0]}")
        if unknown := sorted(self.value.keys() - needs - takes):
            raise self.fault(f"no entry {unknown[0][:SHORT_LENGTH_MAX]}; known are {', '.join(sorted(needs | takes))}")

    def __getitem__(self, key: str) -> _Entry:
        if not isinstance(self.value, dict):
            raise self.fault("an object")
        return _Entry(f"{self.at}.{key}", self.value.get(key))

    @property
    def given(self) -> bool:
        return self.value is not None

    def text(self, length_max: int = SHORT_LENGTH_MAX, *, empty: bool = False) -> str:
        value = self.value
        if empty and value is None:
            return ""
        fits = isinstance(value, str) and len(value) <= length_max and (empty or value.strip())
        if not fits or not value.replace("\n", "").isprintable():
            raise self.fault(f"printable text of {0 if empty else 1} to {length_max} characters")
        return str(value)

    def matching(self, pattern: re.Pattern[str], want: str) -> str:
        if not isinstance(self.value, str) or not pattern.fullmatch(self.value):
            raise self.fault(want)
        return self.value

    def whole(self, least: int, most: int) -> int:
        if type(self.value) is not int or not least <= self.value <= most:
            raise self.fault(f"a whole number from {least} to {most}")
        return self.value

    def number(self) -> float:
        if type(self.value) not in (int, float) or not -NUMBER_MAX <= self.value <= NUMBER_MAX:
            raise self.fault(f"a number up to {NUMBER_MAX:g}")
        return float(self.value)

    def list(self, read: Callable[[_Entry], T], length_max: int) -> tuple[T, ...]:
        if not isinstance(self.value, list) or not 1 <= len(self.value) <= length_max:
            raise self.fault(f"a list of 1 to {length_max}")
        return tuple(read(_Entry(f"{self.at}[{number}]", one)) for number, one in enumerate(self.value))


_NEEDED = {"name", "version", "description", "input", "preprocessing", "classes", "scores", "reject", "training"}
_NEEDED |= {"accuracy", "limits"}


def _card(card: _Entry) -> Card:
    card.object(needs=_NEEDED, takes={"sha256", "remote"})
    card["preprocessing"].list(lambda one: one.text(LONG_LENGTH_MAX), LIST_LENGTH_MAX)
    card["limits"].list(lambda one: one.text(LONG_LENGTH_MAX), LIST_LENGTH_MAX)
    training, accuracy = card["training"], card["accuracy"]
    if not isinstance(training.value, dict) or not training["data"].text(LONG_LENGTH_MAX):
        raise training.fault("an object with data, licence and samples")
    training["licence"].text()
    training["samples"].whole(1, 2**31 - 1)
    if not isinstance(accuracy.value, dict):
        raise accuracy.fault("an object with method, and what was measured")
    accuracy["method"].text(LONG_LENGTH_MAX)
    scores = card["scores"].matching(re.compile("probability|none"), "probability, or none where they mean nothing")
    sha256 = card["sha256"].matching(re.compile("[0-9a-f]{64}"), "64 hex digits") if card["sha256"].given else None
    classes = card["classes"].list(_class, CLASSES_MAX)
    if len(classes) < 2 or len({one.label for one in classes}) < len(classes):
        raise card["classes"].fault("at least two classes, each label once")
    facts = {one.material.name: one.material for one in classes}
    if any(facts[one.material.name] != one.material for one in classes):
        raise card["classes"].fault("the same alias and des wherever the same material stands")
    return Card(
        name=card["name"].matching(NAME, "1 to 63 of a-z, 0-9, dot, dash and underscore"),
        version=card["version"].whole(1, VERSION_MAX),
        description=card["description"].text(LONG_LENGTH_MAX),
        input=_input(card["input"]),
        classes=classes,
        scores_are_probabilities=scores == "probability",
        reject=_reject(card["reject"]),
        sha256=sha256,
        remote=_remote(card["remote"]) if card["remote"].given else None,
        shown={key: value for key, value in card.value.items() if key not in _OWN_FIELDS},
    )


_OWN_FIELDS = {"name", "version", "description", "remote"}
"""What stands in fields of a model's own, or is nobody's business but the node's."""


def _class(entry: _Entry) -> ModelClass:
    entry.object(needs={"label", "material"}, takes=set())
    material = entry["material"]
    material.object(needs={"name"}, takes={"alias", "des"})
    facts = MaterialFacts(
        material["name"].text(), material["alias"].text(empty=True), material["des"].text(LONG_LENGTH_MAX, empty=True)
    )
    return ModelClass(entry["label"].text(), facts)


def _input(entry: _Entry) -> Input:
    if isinstance(entry.value, dict) and entry.value.get("kind") == "analytes":
        entry.object(needs={"kind", "analytes"}, takes=set())
        analytes = entry["analytes"].list(_analyte, LENGTH_MAX)
        if len({one.name for one in analytes}) < len(analytes):
            raise entry["analytes"].fault("each name once")
        return Input(len(analytes), analytes)
    if isinstance(entry.value, dict) and entry.value.get("kind") == "spectrum":
        entry.object(needs={"kind", "length"}, takes={"value_unit", "axis"})
        length = entry["length"].whole(2, LENGTH_MAX)
        axis = _axis(entry["axis"]) if entry["axis"].given else None
        return Input(length, value_unit=entry["value_unit"].text(empty=True), axis=axis)
    raise entry["kind"].fault("analytes or spectrum")


def _analyte(entry: _Entry) -> Analyte:
    entry.object(needs={"name"}, takes={"unit"})
    name = entry["name"].text()
    if name != name.strip() or set(name) & set(',"[]\n'):
        raise entry["name"].fault("no commas, quotes, brackets or blanks around")
    return Analyte(name, entry["unit"].text(empty=True))


def _axis(entry: _Entry) -> Axis:
    entry.object(needs={"unit", "first", "last"}, takes=set())
    axis = Axis(entry["unit"].text(), entry["first"].number(), entry["last"].number())
    if axis.first == axis.last:
        raise entry.fault("first and last that differ")
    return axis


def _reject(entry: _Entry) -> dict[str, Bound]:
    if not isinstance(entry.value, dict) or not 1 <= len(entry.value) <= LIST_LENGTH_MAX:
        raise entry.fault("an object of measures, each with least, most or both")
    bounds = {}
    for name in entry.value:
        _Entry(f"{entry.at} {name[:SHORT_LENGTH_MAX]!r}", name).matching(MEASURE, "the name of an output of the model")
        bound = entry[name]
        bound.object(needs=set(), takes={"least", "most"})
        if not (bound["least"].given or bound["most"].given):
            raise bound.fault("least, most or both")
        least = bound["least"].number() if bound["least"].given else -math.inf
        bounds[name] = Bound(least, bound["most"].number() if bound["most"].given else math.inf)
    return bounds


def _remote(entry: _Entry) -> Remote:
    entry.object(needs={"address", "model"}, takes={"version", "input"})
    return Remote(
        entry["address"].matching(ADDRESS, "HOST:PORT of the server's gRPC"),
        entry["model"].text(),
        entry["version"].text(empty=True),
        entry["input"].text() if entry["input"].given else "x",
    )
