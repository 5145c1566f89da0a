"""Changes of circs, and cursors: places in their order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from node.domain import limits
from node.domain.model import CircStatus, CircType
from node.errors import Reason, Status, VTraceError, invalid

GOODS_WATCHED_MAX = 100
KEPT_MICROS = 7 * 86_400 * 1_000_000
"""How long changes are kept."""

_CURSOR = re.compile(r"([0-9a-f]{8})-([0-9]{1,18})")


class ChangeKind(IntEnum):
    """What happened to a circ; the numbers are those of the protocol."""

    NONE = 0
    RECORDED = 1
    FINALISED = 2
    REFUSED = 3
    FORKED = 4
    RESIGNED = 5


STATUS_AFTER = {
    ChangeKind.RECORDED: CircStatus.PENDING,
    ChangeKind.FINALISED: CircStatus.SUCCESS,
    ChangeKind.REFUSED: CircStatus.FAILED,
    ChangeKind.FORKED: CircStatus.PENDING,
    ChangeKind.RESIGNED: CircStatus.PENDING,
}


@dataclass(frozen=True, slots=True)
class Change:
    """One change; ``number`` is its place in the order, ``at`` microseconds since 1970."""

    number: int
    kind: ChangeKind
    circ_id: int
    circ_type: CircType
    goods_ids: tuple[int, ...]
    trans_id: str
    tx_hash: str
    reason: str
    at: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place behind the change ``number`` of the feed called ``epoch``."""

    epoch: str
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.number}"


@dataclass(frozen=True, slots=True)
class Kept:
    """What a feed has: every change behind ``first`` and up to ``last``."""

    first: Cursor
    last: Cursor

    def place(self, cursor: Cursor) -> int | None:
        """The number to go on behind, or None where changes behind the cursor are lost."""
        is_there = cursor.epoch == self.last.epoch and self.first.number <= cursor.number <= self.last.number
        return cursor.number if is_there else None


def parse_cursor(text: str) -> Cursor:
    """A cursor as callers send it back; INVALID_ARGUMENT for what is none."""
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise invalid("cursor", text, "the cursor of a message, or empty")
    return Cursor(found[1], int(found[2]))


def gone(cursor: Cursor, kept: Kept) -> VTraceError:
    """The refusal of a cursor behind which changes are lost."""
    return VTraceError(
        Reason.INVALID_PARAMS,
        f"cursor: {cursor}, but the changes behind it are no more (they are kept for 7 days, or until the index is "
        "rebuilt): begin without a cursor, then read GetCirc",
        metadata={"field": "cursor", "value": str(cursor), "first": str(kept.first), "last": str(kept.last)},
        status=Status.OUT_OF_RANGE,
    )


def watched(field: str, goods_ids: Sequence[int]) -> frozenset[int]:
    """The goods that one watcher names."""
    if not 1 <= len(goods_ids) <= GOODS_WATCHED_MAX:
        want = f"1 to {GOODS_WATCHED_MAX} ids; WatchOrgCirc watches all goods of an org"
        raise invalid(field, f"{len(goods_ids)} ids", want)
    return frozenset(limits.goods_ids(field, goods_ids))
