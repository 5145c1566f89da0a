"""One goods under judgement: what is known of them, and what has been found so far."""

from __future__ import annotations

from dataclasses import dataclass

from node.flow.audit.facts import Event, Facts, Place
from node.flow.audit.findings import Difference, Verdict, What, short
from node.flow.audit.shown import ShownCirc

LATE_BLOCKS = 64
"""So many blocks after its transaction a circ may still be shown as pending."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A shown circ with the event that it is."""

    shown: ShownCirc
    event: Event
    form_holds: bool


class Case:
    """The judging of one goods; differences are collected as they are found.

    ``claims`` are the circs that are on the chain, ``waiting`` those that wait for it, both in the order shown.
    ``doomed`` has the trans_ids of waiting circs whose transaction was reverted, ``unsettled`` counts the failed ones
    of which the chain has yet to say so, ``unproven`` the trans_ids of claims that the chain doesn't know, ``erased``
    the claims whose form the node says to have forgotten.
    ``recorded`` is the circ with the latest time of record that could be so.
    """

    def __init__(self, goods_id: int, facts: Facts, late_blocks: int) -> None:
        self.goods_id = goods_id
        self.facts = facts
        self.late_blocks = late_blocks
        self.claims: dict[Place, Claim] = {}
        self.waiting: list[ShownCirc] = []
        self.doomed: set[str] = set()
        self.unsettled = 0
        self.unproven = 0
        self.erased = 0
        self.recorded: ShownCirc | None = None
        self.ambiguous: set[str] = set()
        self._seen: set[str] = set()
        self._differences: list[Difference] = []

    def differ(self, step: int, what: What, detail: str) -> None:
        """Note a difference of the goods that a step has found."""
        self._differences.append(Difference(self.goods_id, what, detail, step))

    def differ_circ(self, step: int, what: What, circ: ShownCirc, detail: str) -> None:
        """Note a difference of one of their circs."""
        detail = f"circ {short(circ.trans_id or '')} {detail}"
        self._differences.append(Difference(self.goods_id, what, detail, step, circ.trans_id))

    def is_repeated(self, trans_id: str) -> bool:
        """Whether a circ with this trans_id was shown before."""
        if trans_id in self._seen:
            return True
        self._seen.add(trans_id)
        return False

    def verdict(self, *, fresh: bool) -> Verdict:
        """What has been found."""
        pending = len(self.waiting) + self.unsettled
        return Verdict(
            self.goods_id, len(self.claims), pending, tuple(self._differences), fresh, self.unproven, self.erased
        )
