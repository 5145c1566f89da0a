"""What an audit finds, and how it is worded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from node.domain.model import CircType
from node.errors import shown as printable

HASH_SHOWN_CHARACTERS = 14
LINE_CHARACTERS_MAX = 700


class What(StrEnum):
    """What differs: one word for programs."""

    UNREADABLE = "unreadable"
    UNKNOWN_GOODS = "unknown-goods"
    NO_CIRC = "no-circ"
    MISSHAPEN = "misshapen"
    NOT_ON_CHAIN = "not-on-chain"
    NOT_FAILED = "not-failed"
    LATE = "late"
    OTHER_GOODS = "other-goods"
    SHOWN_TWICE = "shown-twice"
    KIND = "kind"
    FORM = "form"
    SIGNATURE = "signature"
    NAME = "name"
    ORDER = "order"
    TIMES = "times"
    RECORDED_AT = "recorded-at"
    CUSTODY = "custody"
    LEFT_OUT = "left-out"
    HOLDER = "holder"
    PRODUCT = "product"
    FILE = "file"
    CREATOR = "creator"
    PREDICTION = "prediction"
    TWO_ANSWERS = "two-answers"


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which the node's answer is not what the chain says. As a string: one clear line.

    ``step`` is the number of the audit's step that found it; ``trans_id`` that of the circ shown, if it is about one.
    """

    goods_id: int
    what: What
    detail: str
    step: int
    trans_id: str | None = None

    def __str__(self) -> str:
        return one_line(f"goods {self.goods_id}: {self.detail}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the audit of one goods found: circs that are on the chain, circs that wait for it, and differences.

    ``fresh`` are goods that the node shows and of which the contract has taken no circ: nothing is proven of them.
    ``unproven`` counts circs that are on the chain under another hash than their trans_id, which it doesn't know, and
    ``erased`` those whose form the node says to have forgotten.
    """

    goods_id: int
    circs: int
    pending: int
    differences: tuple[Difference, ...]
    fresh: bool = False
    unproven: int = 0
    erased: int = 0


def unreadable(goods_id: int, detail: str) -> Verdict:
    """The verdict on goods of which the node does not answer a history."""
    return Verdict(goods_id, 0, 0, (Difference(goods_id, What.UNREADABLE, detail, 2),))


def one_line(text: str) -> str:
    """A text as a terminal may be given it, whoever wrote it: one line, all of it printable, not endless."""
    if not text.isprintable():
        text = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[: LINE_CHARACTERS_MAX + 1])
    return text if len(text) <= LINE_CHARACTERS_MAX else text[:LINE_CHARACTERS_MAX] + "…"


def short(tx_hash: str) -> str:
    """A hash as a line has room for it."""
    return tx_hash[:HASH_SHOWN_CHARACTERS] + "…" if len(tx_hash) > HASH_SHOWN_CHARACTERS else tx_hash


def quoted(value: object) -> str:
    """A value of the node as a line may hold it: short, printable, a text in quotes."""
    return "nothing" if value is None else printable(repr(value))


def actor_name(number: int) -> str:
    """An actor's number in words."""
    return f"actor {number}" if number else "nobody"


def kind_name(circ_type: int) -> str:
    """A kind by its name, whether there is such a kind or not."""
    try:
        return CircType(circ_type).name.lower()
    except ValueError:
        return f"kind {circ_type}"
