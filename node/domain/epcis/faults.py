"""What is wrong with a document of events: every fault, with the event, its field, the value, and what is wanted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from node.errors import shown

FAULTS_MAX = 100
"""How many faults of one document are told; the others are counted."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. ``event`` is the event's place in the document, from 0, or None for the document itself."""

    event: int | None
    field: str
    value: str
    want: str

    @property
    def at(self) -> str:
        """Where it is, as in ``eventList[2].action``."""
        place = "" if self.event is None else f"eventList[{self.event}]"
        return ".".join(part for part in (place, self.field) if part) or "body"

    def __str__(self) -> str:
        return f"{self.at}: {self.value}, want {self.want}"


class Faulty(Exception):
    """A document that can't be captured. ``left_out`` more faults are not in ``faults``."""

    def __init__(self, faults: Iterable[Fault], left_out: int = 0) -> None:
        self.faults = tuple(faults)
        self.left_out = left_out
        super().__init__(str(self.faults[0]))


class TooLarge(Exception):
    """A document over one of the limits."""


class Faults:
    """Faults as they are found."""

    def __init__(self) -> None:
        self._found: list[Fault] = []
        self._total = 0

    def __bool__(self) -> bool:
        return bool(self._total)

    @property
    def total(self) -> int:
        """How many there are, those that are not told too."""
        return self._total

    def add(self, event: int | None, field: str, value: Any, want: str) -> None:
        """Note a fault; of a value that is no text only the kind is told."""
        self._total += 1
        if len(self._found) < FAULTS_MAX:
            self._found.append(Fault(event, field, told(value), want))

    def refuse_if_any(self) -> None:
        """Faulty, if there is a fault."""
        if self._found:
            raise Faulty(self._found, self._total - len(self._found))


def told(value: Any) -> str:
    """A JSON value as a fault shows it."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    return shown(value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value))
