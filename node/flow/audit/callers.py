"""Step 15: a node must answer everybody alike. It is asked over two connections, which look like two callers.

Between two questions a circ may be recorded, or settle: so a node that answers differently is asked by both in turn
again, and only if each caller keeps its own answer, or none of some answers is both's, they differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields

from node.flow.audit.findings import short
from node.flow.audit.shown import AuditImpossible, NodeView, ShownCirc, ShownGoods, Unanswered, Unreadable

Answer = ShownGoods | Unreadable | None

ROUNDS = 3
"""So often both callers ask before their answers count as different."""
RETRY_SECONDS = (0.2, 1.0)
"""Pauses before the second caller asks again for goods for which it got no answer."""


class Callers:
    """One caller whose answers are audited, and maybe a second whose answers must be the same."""

    def __init__(
        self, first: NodeView, second: NodeView | None = None, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._first = first
        self._second = second
        self._pause = pause
        self._second_answered = False

    @property
    def count(self) -> int:
        """How many they are."""
        return 1 if self._second is None else 2

    def ask(self, goods_id: int) -> Answer:
        """What the node answers the first caller now. Raises Unanswered."""
        return _answer(self._first, goods_id)

    def ask_both(self, goods_id: int) -> tuple[Answer, str | None]:
        """What the node answers, and in which words its answers to the two differ, None if they don't.

        Raises Unanswered if the first caller gets no answer, AuditImpossible if the second gets none for any goods.
        """
        first = self.ask(goods_id)
        if self._second is None:
            return first, None
        other: Answer = None
        for _ in range(ROUNDS):
            try:
                other = self._ask_patiently(self._second, goods_id)
            except Unanswered as fault:
                if not self._second_answered:
                    raise AuditImpossible(f"a second caller gets no answer: {fault}") from fault
                return first, f"the node answers one caller, but not another: {fault}"
            if _same(first, other):
                return other, None
            first = self.ask(goods_id)
            if _same(first, other):
                return first, None
        return first, f"the node answers two callers differently: {_in_words(first, other)}"

    def _ask_patiently(self, node: NodeView, goods_id: int) -> Answer:
        """What the node answers the second caller. Raises Unanswered if it does not for a while."""
        for seconds in RETRY_SECONDS:
            try:
                answer = _answer(node, goods_id)
                break
            except Unanswered:
                self._pause(seconds)
        else:
            answer = _answer(node, goods_id)
        self._second_answered = True
        return answer


def _answer(node: NodeView, goods_id: int) -> Answer:
    try:
        return node.history(goods_id)
    except Unreadable as fault:
        return fault


def _same(first: Answer, other: Answer) -> bool:
    """What can't be read is a difference of its own, whoever asks."""
    if isinstance(first, Unreadable) and isinstance(other, Unreadable):
        return True
    return first == other


def _in_words(first: Answer, other: Answer) -> str:
    if not isinstance(first, ShownGoods) or not isinstance(other, ShownGoods):
        return f"{_kind(first)} and {_kind(other)}"
    if len(first.circs) != len(other.circs):
        return f"{len(first.circs)} circs and {len(other.circs)}"
    for one, two in zip(first.circs, other.circs, strict=True):
        if one != two:
            return f"circ {short(one.trans_id or '')} with another {_names(one, two)}"
    return f"with another {_names(first, other)}"


def _kind(answer: Answer) -> str:
    if answer is None:
        return "that it does not know the goods"
    return f"no history of goods ({answer})" if isinstance(answer, Unreadable) else "a history of the goods"


def _names(first: ShownCirc | ShownGoods, other: ShownCirc | ShownGoods) -> str:
    """The names of the fields that differ."""
    return ", ".join(each.name for each in fields(first) if getattr(first, each.name) != getattr(other, each.name))
