"""What came of requests."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

FAULTS_KEPT_MAX = 50
SHOWN_BYTES_MAX = 2_000
INSIDE = ("INTERNAL", "UNKNOWN", "DATA_LOSS", "500")
"""What tells that something went wrong inside the node."""
SILENT = ("UNANSWERED", "UNAVAILABLE", "DEADLINE_EXCEEDED")
"""What tells that the node is gone, or hangs."""


@dataclass
class Tally:
    """Counts by kind and status; of each status that must not be, who asked for what."""

    statuses: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)

    def add(self, kind: str, status: str, about: str = "") -> None:
        """One request and its status."""
        self.statuses[kind, status] += 1
        if status in INSIDE or status in SILENT:
            self.fault(f"{status}: {about}")

    def fault(self, told: str) -> None:
        """Something that must not be."""
        if len(self.faults) < FAULTS_KEPT_MAX:
            self.faults.append(told)

    def join(self, other: Tally) -> None:
        """Take in another's."""
        self.statuses.update(other.statuses)
        self.changes.extend(other.changes)
        for told in other.faults:
            self.fault(told)

    def count(self, among: tuple[str, ...] = ()) -> int:
        """How many requests, or those with one of these statuses."""
        return sum(count for (_, status), count in self.statuses.items() if not among or status in among)


def shown(content: bytes) -> str:
    """Bytes for a report, whole unless they are many."""
    cut = "" if len(content) <= SHOWN_BYTES_MAX else f"… ({len(content)} bytes)"
    return f"{content[:SHOWN_BYTES_MAX]!r}{cut}"
