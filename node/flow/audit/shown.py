"""What a node shows, as plain values. Whatever it says is kept as it was said; nothing of it is believed.

None stands for what the node left out. Kinds and statuses are what was said, known or not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from node.flow.audit.findings import one_line

_HASH = re.compile(r"0x[0-9a-fA-F]{64}")


def is_hash(text: str) -> bool:
    """Whether a text is a transaction hash: 0x and 64 hex digits."""
    return _HASH.fullmatch(text) is not None


class _OneLine(Exception):
    """As a string it is one printable line, whatever the node or the endpoint put into it."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class AuditImpossible(_OneLine):
    """The audit can't be done, which says nothing about the node's honesty; the message says what to do."""


class Unanswered(AuditImpossible):
    """The node did not answer for these goods: it is away or busy, or it does not want to."""


class Unreadable(_OneLine):
    """The node answered, but with something that isn't the history of goods; the message says what it was."""


@dataclass(frozen=True, slots=True)
class ShownClass:
    """A class as the node shows it; the description is UTF-8."""

    id: int | None
    name: str | None
    description: bytes | None
    trademark: str | None
    material_id: int | None
    org_id: int | None


@dataclass(frozen=True, slots=True)
class ShownSerial:
    """A serial as the node shows it; ``product_time`` is in microseconds since 1970."""

    id: int | None
    product_time: int | None


@dataclass(frozen=True, slots=True)
class ShownCirc:
    """One circ as the node shows it. ``origin`` is the protocol's field ``from``.

    ``recorded_at`` is in microseconds since 1970. An ``erased`` circ's form was forgotten, as the node says.
    """

    goods_id: int | None
    circ_type: int
    operator: str | None
    origin: str | None
    to: str | None
    form: bytes
    salt: bytes
    trans_id: str | None
    tx_hash: str | None
    times: int | None
    status: str | None
    files: tuple[str, ...] = ()
    recorded_at: int | None = None
    erased: bool = False

    @property
    def is_withheld(self) -> bool:
        """Whether the node says that it has forgotten the form, and so shows neither salt nor form."""
        return self.erased and not self.salt and not self.form


@dataclass(frozen=True, slots=True)
class ShownGoods:
    """One goods with its circs in the order in which the node shows them. ``creator`` is a username."""

    goods_id: int | None
    goods_class: ShownClass | None
    serial: ShownSerial | None
    circs: tuple[ShownCirc, ...]
    creator: str | None = None


class NodeView(Protocol):
    """The node as an auditor meets it: from outside, as anybody may."""

    def history(self, goods_id: int) -> ShownGoods | None:
        """What the node shows of goods now, or None if it says that it doesn't know them.

        MUST ask the node anew at every call. Raises Unreadable for an answer that is none, Unanswered for none;
        nothing else, whatever the node sends.
        """
