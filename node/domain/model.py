"""The values that every room of the house speaks of.

Units: ids are integers as the contract packs them (goods_id int32 from 1, actor uint32 from 1);
an actor of 0 means "nobody". Hashes and addresses are ``bytes`` inside the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag, StrEnum

GOODS_ID_MAX = 2**31 - 1
ACTOR_MAX = 2**20 - 1
TIMES_MAX = 2**12 - 1
"""How many circs goods can have."""
EXAM_TIMES_MAX = 3 * 2**10
"""How many circs goods can have had for an exam by another than the holder: the holder needs what is left."""
NOBODY = 0


class CircType(IntEnum):
    """The kind of a circ; the numbers are those of circ.v1.CircType and of the contract."""

    PRODUCE = 0
    PROCESS = 1
    TRANSFER = 3
    EXAM = 4


class Rights(IntFlag):
    """What the contract lets an actor do. Without CIRCULATE an actor is disabled, but can still receive."""

    NONE = 0
    CIRCULATE = 1
    PRODUCE = 2
    EXAMINE = 4


class CircStatus(StrEnum):
    """How far a circ is; the names are those of circ.v1.RecordStatus."""

    PENDING = "pending"
    FAILED = "failed"
    SUCCESS = "success"


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Goods ``first .. first + count - 1``, as the contract's struct Range."""

    first: int
    count: int

    @property
    def end(self) -> int:
        """The first id behind the range."""
        return self.first + self.count

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.end))

    def __contains__(self, goods_id: object) -> bool:
        return isinstance(goods_id, int) and self.first <= goods_id < self.end


@dataclass(frozen=True, slots=True)
class Circ:
    """One call of the contract's ``circulate``: what an operator signs."""

    goods: tuple[Range, ...]
    circ_type: CircType
    operator: int
    to: int
    form_digest: bytes
    version: int


def ranges_of(goods_ids: Iterable[int]) -> tuple[Range, ...]:
    """The shortest ascending ranges that cover exactly ``goods_ids`` (distinct, in any order)."""
    found: list[Range] = []
    first = count = 0
    for goods_id in sorted(goods_ids):
        if count and goods_id == first + count:
            count += 1
            continue
        if count:
            found.append(Range(first, count))
        first, count = goods_id, 1
    if count:
        found.append(Range(first, count))
    return tuple(found)


def ids_of(ranges: Sequence[Range]) -> list[int]:
    """Every goods id of ``ranges``, in their order."""
    return [goods_id for span in ranges for goods_id in span]
