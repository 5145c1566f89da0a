"""What a page of goods is made of: the circs that it shows, and what forms say that nobody may miss. No I/O.

The convention: in the form of an exam, the member ``result`` is its verdict (``pass``, ``passed``, ``合格``; ``fail``,
``failed``, ``不合格``). In any form, the member ``recall`` is a recall, with the reason if it is a text; ``false``,
``null`` and ``""`` lift the recalls that the same operator made before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from node.domain import bounded_json
from node.domain.files import FileRecord
from node.domain.model import CircStatus, CircType
from node.domain.records import CircRecord, Goods

CIRCS_SHOWN_MAX = 600
FORM_BYTES_SHOWN_MAX = 512 * 1024
PASS_WORDS = ("pass", "passed", "合格")
FAIL_WORDS = ("fail", "failed", "不合格")


class Alarm(StrEnum):
    """What a circ says that a reader must not miss."""

    RECALL = "recall"
    LIFTED = "lifted"
    FAIL = "fail"
    PASS = "pass"  # nosec B105: of an exam


class Number(str):
    """A number of a form, as it is written there."""


@dataclass(frozen=True, slots=True)
class Placed:
    """When a circ was recorded (microseconds since 1970), and the block that holds its transaction, if one does."""

    recorded_at: int
    block_number: int | None
    block_hash: str | None


@dataclass(frozen=True, slots=True)
class Party:
    """A user as the contract knows it. ``nickname`` is what it calls itself; ``registered`` is the transaction that
    registered its actor, None while no block holds it."""

    username: str
    nickname: str
    actor: int
    registered: str | None


@dataclass(frozen=True, slots=True)
class Trace:
    """One goods and the circs that are shown of it, oldest first, none of them failed, as they stood at one moment.

    ``left_out`` more circs are not shown, where the history is too long. ``placed`` has the place of each circ by its
    id, ``parties`` each user by its username, ``files`` those files by CID that the forms name and the node has.
    """

    goods: Goods
    circs: tuple[CircRecord, ...]
    left_out: int
    placed: dict[int, Placed]
    parties: dict[str, Party]
    files: dict[str, FileRecord]


def members_of(form: bytes) -> dict[str, Any] | None:
    """The members of a form, numbers as they are written; None for what is no JSON object, such as an empty form."""
    try:
        value = bounded_json.loads(form, parse_int=Number, parse_float=Number)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def alarm_of(circ_type: CircType, members: dict[str, Any] | None) -> Alarm | None:
    """What a form says that must not be missed; a recall counts more than a verdict."""
    if members is None:
        return None
    if "recall" in members:
        return Alarm.LIFTED if members["recall"] in (False, None, "") else Alarm.RECALL
    result = members.get("result")
    if circ_type is CircType.EXAM and isinstance(result, str):
        word = result.strip(" \t\r\n").lower()
        if word in FAIL_WORDS:
            return Alarm.FAIL
        if word in PASS_WORDS:
            return Alarm.PASS
    return None


def shown_of(circs: Iterable[CircRecord]) -> tuple[tuple[CircRecord, ...], int]:
    """The circs that a page shows, and how many it leaves out.

    Never the first, the last final one that decides who holds the goods, nor one that must not be missed before one
    that may; else the newest. Failed circs count for nothing, not even as left out. The circs are gone through up to
    three times, and only those that are shown stay in memory.
    """
    taken: list[CircRecord] = []
    lengths: dict[int, int] = {}
    total, holder = 0, None
    for circ in _not_failed(circs):
        lengths[circ.id] = len(circ.form)
        total += len(circ.form)
        if circ.status is CircStatus.SUCCESS and circ.circ_type in _MOVES:
            holder = circ.id
        if len(lengths) <= CIRCS_SHOWN_MAX and total <= FORM_BYTES_SHOWN_MAX:
            taken.append(circ)
    if len(taken) == len(lengths):
        return tuple(taken), 0
    loud = {circ.id for circ in _not_failed(circs) if _is_loud(circ)}
    kept = _kept(lengths, {next(iter(lengths)), holder}, loud)
    return tuple(circ for circ in _not_failed(circs) if circ.id in kept), len(lengths) - len(kept)


def _kept(lengths: Mapping[int, int], must: Collection[int | None], loud: Collection[int]) -> set[int]:
    by_weight = sorted(lengths, key=lambda circ_id: (circ_id in must, circ_id in loud, circ_id), reverse=True)
    kept: set[int] = set()
    left = FORM_BYTES_SHOWN_MAX
    for circ_id in by_weight[:CIRCS_SHOWN_MAX]:
        left -= lengths[circ_id]
        if left < 0 and circ_id not in must:
            break
        kept.add(circ_id)
    return kept


def _not_failed(circs: Iterable[CircRecord]) -> Iterator[CircRecord]:
    return (circ for circ in circs if circ.status is not CircStatus.FAILED)


def _is_loud(circ: CircRecord) -> bool:
    return alarm_of(circ.circ_type, members_of(circ.form)) not in (None, Alarm.PASS)


_MOVES = (CircType.PRODUCE, CircType.TRANSFER)


def holder_of(circs: Sequence[CircRecord], *, final: bool) -> str | None:
    """Who holds the goods after the circs, or after those of them that are final; None before the first."""
    moves = [circ for circ in circs if circ.circ_type in _MOVES and (circ.status is CircStatus.SUCCESS or not final)]
    return moves[-1].to if moves else None
