"""One audit: which goods, what was found of them so far, and what could not be checked.

What honest movement could explain is no difference. The head is taken before the node is asked: a node that hides
nothing then shows at least what the chain had at that head, and what came later waits. Goods that differ, and goods
of a block that the chain has dropped since, are audited once more; only what differs again is reported.

What can't be checked is told apart from what differs. A node that answers for some goods must answer for all of
them: a refusal for one is asked again, and then is a difference, unless the node proves to be away altogether. Then,
and when the chain's endpoint goes away, the report ends with what was found so far and says what is missing.

Where all goods are audited they are those that the contract's ledger names, so none can be hidden. Goods that only the
node knows are found out when they are named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from node.chain.rpc import Block, ChainUnavailable
from node.flow.audit.callers import Answer
from node.flow.audit.endpoints import unavailable
from node.flow.audit.findings import Difference, Verdict, What, unreadable
from node.flow.audit.reading import Reading
from node.flow.audit.replay import Depth, Progress
from node.flow.audit.report import Report
from node.flow.audit.shown import AuditImpossible, Unanswered

if TYPE_CHECKING:
    from node.flow.audit.auditor import Auditor

GOODS_AT_ONCE = 100
RETRY_SECONDS = (0.2, 1.0)
"""Pauses before the node is asked once more for goods for which it did not answer."""
SILENT_GOODS_MAX = 5
"""A node that has answered nothing is asked for so many goods before it counts as away."""
PATIENT_GOODS_MAX = 20
"""For so many goods the auditor waits before it asks again; a node that refuses more has had its chance."""


class _NodeAway(Exception):
    """The node answers nothing any more."""


class Run:
    """An audit of the goods with these ids, or of all that the contract knows. Used once."""

    def __init__(
        self,
        auditor: Auditor,
        goods_ids: list[int] | None,
        progress: Progress | None,
        replayed: Progress | None = None,
    ) -> None:
        self._auditor = auditor
        self._goods_ids = goods_ids
        self._tell = progress or (lambda _done, _total: None)
        self._tell_replayed = replayed
        self._verdicts: dict[int, Verdict] = {}
        self._done: set[int] = set()
        self._doubts: dict[int, Verdict | None] = {}
        self._unchecked: list[str] = []
        self._whole: Reading | None = None
        self._head: Block | None = None
        self._answered: int | None = None
        self._refusals = 0

    def report(self) -> Report:
        """Run the audit. AuditImpossible if nothing at all could be checked."""
        try:
            self._run()
        except (ChainUnavailable, _NodeAway, AuditImpossible) as fault:
            impossible = unavailable(fault) if isinstance(fault, ChainUnavailable) else AuditImpossible(str(fault))
            # What the first look found is not confirmed, but it was found.
            self._verdicts |= {goods_id: verdict for goods_id, verdict in self._doubts.items() if verdict is not None}
            if not (self._verdicts or self._done) or self._head is None:
                raise impossible from fault
            missing = len(self._goods_ids or ()) - len(self._done)
            self._unchecked.append(f"{missing} goods are not checked to the end: {impossible}")
        if self._head is None:
            raise AssertionError("an audit that ran has taken a head")
        found = [self._verdicts[goods_id] for goods_id in self._goods_ids or () if goods_id in self._verdicts]
        return Report(
            subject=self._auditor.subject,
            head=self._head,
            goods=len(found),
            circs=sum(verdict.circs for verdict in found),
            pending=sum(verdict.pending for verdict in found),
            differences=tuple(each for verdict in found for each in verdict.differences),
            fresh=tuple(verdict.goods_id for verdict in found if verdict.fresh),
            unproven=sum(verdict.unproven for verdict in found),
            erased=sum(verdict.erased for verdict in found),
            replayed=None if self._whole is None else self._whole.circs,
            unchecked=tuple(self._unchecked),
            notes=() if self._whole is None else tuple(self._whole.notes),
        )

    def _run(self) -> None:
        if self._goods_ids is None:
            reading = self._whole = self._auditor.reading(Depth.WHOLE, self._tell_replayed)
            self._head = reading.advance()
            self._goods_ids = reading.goods_ids()
        else:
            reading = self._auditor.reading(Depth.ACTORS)
        self._look(reading, self._goods_ids, last=False)
        if self._doubts:
            self._auditor.files.look_again()
            # With the logs of circs every difference can be named.
            again = self._whole or self._auditor.reading(Depth.CIRCS)
            self._look(again, list(self._doubts), last=True)

    def _look(self, reading: Reading, goods_ids: Sequence[int], *, last: bool) -> None:
        """Step 2 and the rules for goods, some at a time. What is doubtful is looked at once more."""
        for start in range(0, len(goods_ids), GOODS_AT_ONCE):
            some = goods_ids[start : start + GOODS_AT_ONCE]
            head = self._head = reading.advance()
            answers, splits, refused, away = self._ask(some)
            verdicts: dict[int, Verdict | None] = dict(refused)
            for (goods_id, _), verdict in zip(answers, self._auditor.judge(reading, head, answers), strict=True):
                verdicts[goods_id] = _with_split(goods_id, verdict, splits.get(goods_id))
            dropped = not reading.is_canonical(head)
            for goods_id in some:
                if goods_id in verdicts:
                    self._settle(goods_id, verdicts[goods_id], dropped=dropped, last=last)
            if away is not None:
                raise away

    def _settle(self, goods_id: int, verdict: Verdict | None, *, dropped: bool, last: bool) -> None:
        if not last and (dropped or verdict is None or verdict.differences):
            self._doubts[goods_id] = None if dropped else verdict
            return
        self._doubts.pop(goods_id, None)
        self._done.add(goods_id)
        if dropped:
            # Asked for last: the rest would fare no better, and says so itself.
            self._unchecked.append(f"goods {goods_id}: the chain drops blocks again and again: try when it is calm")
        elif verdict is None:
            self._unchecked.append(f"goods {goods_id}: neither the node nor the contract knows them: is the id right?")
        else:
            self._verdicts[goods_id] = verdict
        self._tell(len(self._done), len(self._goods_ids or ()))

    def _ask(
        self, goods_ids: Sequence[int]
    ) -> tuple[list[tuple[int, Answer]], dict[int, str], dict[int, Verdict], _NodeAway | AuditImpossible | None]:
        """What the node answers for each of the goods; in which words it answers another caller something else; a
        verdict for each goods for which it won't answer; and why it could not be asked to the end.

        Goods asked for before the node went away are answered; the rest are missing from all.
        """
        answers: list[tuple[int, Answer]] = []
        splits: dict[int, str] = {}
        refused: dict[int, Verdict] = {}
        silent: list[int] = []
        try:
            for goods_id in goods_ids:
                try:
                    answer, split = self._auditor.callers.ask_both(goods_id)
                    answers.append((goods_id, answer))
                    if split is not None:
                        splits[goods_id] = split
                    self._answered = goods_id
                except Unanswered as fault:
                    silent.append(goods_id)
                    if self._answered is None and len(silent) < min(SILENT_GOODS_MAX, len(goods_ids)):
                        continue  # perhaps it answers for others
                    if self._answered is None:
                        raise _NodeAway(str(fault)) from fault
                for again in silent if self._answered is not None else ():
                    self._ask_again(again, answers, refused)
                silent = silent if self._answered is None else []
        except (_NodeAway, AuditImpossible) as fault:
            return answers, splits, refused, fault
        return answers, splits, refused, None

    def _ask_again(self, goods_id: int, answers: list[tuple[int, Answer]], refused: dict[int, Verdict]) -> None:
        """Ask once more for goods for which the node, which answers for others, did not answer."""
        self._refusals += 1
        refusal: Unanswered | None = None
        for seconds in RETRY_SECONDS:
            if self._refusals <= PATIENT_GOODS_MAX:
                self._auditor.pause(seconds)
            try:
                answers.append((goods_id, self._auditor.callers.ask(goods_id)))
                return
            except Unanswered as fault:
                refusal = fault
        if not self._is_there():
            raise _NodeAway(str(refusal))
        detail = f"the node answers for other goods, but not for these: {refusal}"
        refused[goods_id] = unreadable(goods_id, detail)

    def _is_there(self) -> bool:
        """Whether the node still answers for goods for which it has answered."""
        try:
            self._auditor.callers.ask(self._answered or 0)
        except Unanswered:
            return False
        return True


def _with_split(goods_id: int, verdict: Verdict | None, split: str | None) -> Verdict | None:
    """Step 15: the verdict, and that the node answers another caller something else."""
    if split is None:
        return verdict
    found = verdict or Verdict(goods_id, 0, 0, ())
    return replace(found, differences=(*found.differences, Difference(goods_id, What.TWO_ANSWERS, split, 15)))
