"""The auditor: asks the chain and the node, and holds the one against the other by the rules.

1. The chain answers, and the code at the contract's address is the code that this auditor knows, made for this
   chain and this address. From there on the contract's word counts.
2. For some goods at a time: the head is taken, the contract's logs are read up to it, then the node shows the
   goods, then the chain says what it has of them at that head. Steps 3 to 12 are in rules.py, step 13 in files.py.

What honest movement could explain is no difference. The head is taken before the node is asked: a node that hides
nothing then shows at least what the chain had at that head, and what came later waits. Goods that differ, and goods
of a block that the chain has dropped since, are audited once more from the beginning; only what differs again is
reported.

What can't be checked is told apart from what differs. A node that answers for some goods must answer for all of
them: a refusal for one is asked again, and then is a difference, unless the node proves to be away altogether. Then,
and when the chain's endpoint goes away, the report ends with what was found so far and says what is missing.

With ``audit_all`` the goods are those that the contract knows, so none can be hidden. Goods that only the node knows
are found out by ``audit``, when they are named.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from node.chain import contract
from node.chain.rpc import Block, Chain, ChainUnavailable
from node.domain.model import GOODS_ID_MAX
from node.flow.audit.facts import Facts
from node.flow.audit.files import FileCheck, FileSource
from node.flow.audit.findings import Difference, Verdict, What, one_line
from node.flow.audit.predictions import Predictions
from node.flow.audit.reading import LOG_BLOCKS_MAX, Reading
from node.flow.audit.rules import LATE_BLOCKS, is_hash, judge
from node.flow.audit.shown import AuditImpossible, NodeView, ShownGoods, Unanswered, Unreadable

GOODS_AT_ONCE = 100
RETRY_SECONDS = (0.2, 1.0)
"""Pauses before the node is asked once more for goods for which it did not answer."""
SILENT_GOODS_MAX = 5
"""A node that has answered nothing is asked for so many goods before it counts as away."""
PATIENT_GOODS_MAX = 20
"""For so many goods the auditor waits before it asks again; a node that refuses more has had its chance."""
GOODS_LISTED_MAX = 20

Progress = Callable[[int, int], None]
"""Is told how many goods are done, of how many."""

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


Answer = ShownGoods | Unreadable | None


@dataclass(frozen=True, slots=True)
class Report:
    """What an audit found. ``circs`` are those shown that are on the chain, ``pending`` those that wait for it.

    ``subject`` says what was audited. ``fresh`` are goods that the node shows and of which the contract has taken no
    circ, so that nothing of them is proven yet. ``unchecked`` has a line for whatever could not be checked.
    """

    subject: str
    goods: int
    circs: int
    pending: int
    differences: tuple[Difference, ...]
    fresh: tuple[int, ...] = ()
    unchecked: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """The report as it is printed: the subject first, the summary last, each one printable line."""
        lines = [self.subject, *(str(each) for each in self.differences)]
        if self.fresh:
            listed = ", ".join(str(goods_id) for goods_id in self.fresh[:GOODS_LISTED_MAX])
            more = ", …" if len(self.fresh) > GOODS_LISTED_MAX else ""
            lines.append(f"not on the chain yet, so nothing of them is proven: {len(self.fresh)} goods: {listed}{more}")
        lines += [f"could not check: {each}" for each in self.unchecked]
        return [one_line(line) for line in [*lines, self.summary]]

    @property
    def summary(self) -> str:
        """One line."""
        return (
            f"audit: {self.goods} goods, {self.circs} circs, {self.pending} pending, "
            f"{len(self.differences)} differences"
        )


class Auditor:
    """Audits a node against a contract. Trusts the chain's endpoint and the address, and nothing that the node says.

    Step 1 is done at once: AuditImpossible if there is no such contract, or if the chain isn't ``chain_id``.
    ``first_block`` is where its logs begin; without it the auditor looks for the block, and where the endpoint can't
    tell begins with block 0. ``late_blocks`` is how long a circ may be shown as pending after it was mined: more than
    the blocks that the node waits for. ``files`` is where the files come from that circs name; without it they are
    not checked. With ``predictions`` those that stand in exam circs are run again.
    """

    def __init__(
        self,
        node: NodeView,
        chain: Chain,
        address: str,
        *,
        chain_id: int | None = None,
        first_block: int | None = None,
        late_blocks: int = LATE_BLOCKS,
        files: FileSource | None = None,
        pause: Callable[[float], None] = time.sleep,
        predictions: Predictions | None = None,
    ) -> None:
        if not _ADDRESS.fullmatch(address):
            raise AuditImpossible(f"contract {address!r}: want an address, 0x and 40 hex digits")
        self._node = node
        self._chain = chain
        self._address = address
        self._late_blocks = late_blocks
        self.files = FileCheck(files)
        self._pause = pause
        self._predictions = predictions
        try:
            self.chain_id = chain.chain_id()
            if chain_id not in (None, self.chain_id):
                raise AuditImpossible(f"the endpoint serves chain {self.chain_id}, want chain {chain_id}")
            self.code_hash = self._check_code()
            self._first_block = self._find_first_block() if first_block is None else first_block
        except ChainUnavailable as fault:
            raise _unavailable(fault) from fault

    def audit(self, goods_ids: Sequence[int], progress: Progress | None = None) -> Report:
        """Audit the goods with these ids, each once. Goods that nobody knows are ``unchecked``: the id is wrong."""
        for goods_id in goods_ids:
            if not 1 <= goods_id <= GOODS_ID_MAX:
                raise AuditImpossible(f"goods {goods_id}: want an id from 1 to {GOODS_ID_MAX}")
        return _Run(self, list(dict.fromkeys(goods_ids)), progress).report()

    def audit_all(self, progress: Progress | None = None) -> Report:
        """Audit every goods of which the contract has taken a circ."""
        return _Run(self, None, progress).report()

    def subject(self, head: Block) -> str:
        """What is audited, in one line: whoever reads a report can say whether it is about the right contract."""
        return (
            f"audit of chain {self.chain_id}, contract {self._address}, code hash {self.code_hash}, "
            f"at block {head.number} {head.hash}"
        )

    def ask(self, goods_id: int) -> Answer:
        """Step 2: what the node answers now. Raises Unanswered."""
        try:
            return self._node.history(goods_id)
        except Unreadable as fault:
            return fault

    def wait(self, seconds: float) -> None:
        """Give the node time."""
        self._pause(seconds)

    def judge(self, reading: Reading, head: Block, answers: Sequence[tuple[int, Answer]]) -> list[Verdict | None]:
        """Steps 3 to 13 for some goods; None for goods that neither the node nor the contract knows."""
        facts = reading.facts([(goods_id, _hashes(answer)) for goods_id, answer in answers], head)
        return [self._verdict(goods_id, answer, said) for (goods_id, answer), said in zip(answers, facts, strict=True)]

    def _verdict(self, goods_id: int, answer: Answer, facts: Facts) -> Verdict | None:
        if isinstance(answer, Unreadable):
            return _unreadable(goods_id, f"the node's answer is no history of goods: {answer}")
        if answer is None and not facts.times:
            return None
        verdict = judge(goods_id, answer, facts, self._late_blocks)
        if answer is None:
            return verdict
        wrong = [*self.files.differences(goods_id, answer)]
        if self._predictions is not None:
            wrong += self._predictions.differences(goods_id, answer)
        return replace(verdict, differences=(*verdict.differences, *wrong))

    def reading(self, *, with_circs: bool) -> Reading:
        """What the chain says, to be read from the contract's first block on."""
        return Reading(self._chain, self.chain_id, self._address, self._first_block, with_circs=with_circs)

    def _check_code(self) -> str:
        """Step 1. Answers the code's hash."""
        code = self._chain.code(self._address)
        if not code:
            raise AuditImpossible(
                f"there is no contract at {self._address} on chain {self.chain_id}: does the endpoint serve the "
                "node's chain, and is the address the one that the node printed when it was ready?"
            )
        if not contract.code_matches(code, self.chain_id, self._address):
            raise AuditImpossible(
                f"the code at {self._address} on chain {self.chain_id} is not the contract that this auditor knows: "
                "its word proves nothing. If the node runs another version, audit it with that version"
            )
        return contract.code_hash(code)

    def _find_first_block(self) -> int:
        """The block that made the contract: the first whose state has its code. 0 where reading all costs nothing."""
        low, high = 0, self._chain.head().number
        if high < LOG_BLOCKS_MAX:
            return 0
        while low < high:
            middle = (low + high) // 2
            try:
                there = self._chain.code(self._address, middle)
            except ChainUnavailable:
                return 0  # many endpoints forget old states, but not old logs
            low, high = (low, middle) if there else (middle + 1, high)
        return low


class _NodeAway(Exception):
    """The node answers nothing any more."""


class _Run:
    """One audit: which goods, and what was found of them so far."""

    def __init__(self, auditor: Auditor, goods_ids: list[int] | None, progress: Progress | None) -> None:
        self._auditor = auditor
        self._goods_ids = goods_ids
        self._tell = progress or (lambda _done, _total: None)
        self._verdicts: dict[int, Verdict] = {}
        self._done: set[int] = set()
        self._doubts: dict[int, Verdict | None] = {}
        self._unchecked: list[str] = []
        self._head: Block | None = None
        self._answered: int | None = None
        self._refusals = 0

    def report(self) -> Report:
        """Run the audit. AuditImpossible if nothing at all could be checked."""
        try:
            self._run()
        except (ChainUnavailable, _NodeAway, AuditImpossible) as fault:
            impossible = _unavailable(fault) if isinstance(fault, ChainUnavailable) else AuditImpossible(str(fault))
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
            subject=self._auditor.subject(self._head),
            goods=len(found),
            circs=sum(verdict.circs for verdict in found),
            pending=sum(verdict.pending for verdict in found),
            differences=tuple(each for verdict in found for each in verdict.differences),
            fresh=tuple(verdict.goods_id for verdict in found if verdict.fresh),
            unchecked=tuple(self._unchecked),
        )

    def _run(self) -> None:
        reading = self._auditor.reading(with_circs=self._goods_ids is None)
        if self._goods_ids is None:
            self._head = reading.advance()
            self._goods_ids = reading.goods_ids()
        self._look(reading, self._goods_ids, last=False)
        if self._doubts:
            self._auditor.files.look_again()
            # With the logs of circs every difference can be named.
            self._look(self._auditor.reading(with_circs=True), list(self._doubts), last=True)

    def _look(self, reading: Reading, goods_ids: Sequence[int], *, last: bool) -> None:
        """Step 2 and the rules for goods, some at a time. What is doubtful is looked at once more."""
        for start in range(0, len(goods_ids), GOODS_AT_ONCE):
            some = goods_ids[start : start + GOODS_AT_ONCE]
            head = self._head = reading.advance()
            answers, refused, away = self._ask(some)
            verdicts: dict[int, Verdict | None] = dict(refused)
            for (goods_id, _), verdict in zip(answers, self._auditor.judge(reading, head, answers), strict=True):
                verdicts[goods_id] = verdict
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

    def _ask(self, goods_ids: Sequence[int]) -> tuple[list[tuple[int, Answer]], dict[int, Verdict], _NodeAway | None]:
        """What the node answers for each of the goods, a verdict for each for which it won't, and whether it is away.

        Goods asked for before the node went away are answered; the rest are missing from both.
        """
        answers: list[tuple[int, Answer]] = []
        refused: dict[int, Verdict] = {}
        silent: list[int] = []
        try:
            for goods_id in goods_ids:
                try:
                    answers.append((goods_id, self._auditor.ask(goods_id)))
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
        except _NodeAway as fault:
            return answers, refused, fault
        return answers, refused, None

    def _ask_again(self, goods_id: int, answers: list[tuple[int, Answer]], refused: dict[int, Verdict]) -> None:
        """Ask once more for goods for which the node, which answers for others, did not answer."""
        self._refusals += 1
        refusal: Unanswered | None = None
        for seconds in RETRY_SECONDS:
            if self._refusals <= PATIENT_GOODS_MAX:
                self._auditor.wait(seconds)
            try:
                answers.append((goods_id, self._auditor.ask(goods_id)))
                return
            except Unanswered as fault:
                refusal = fault
        if not self._is_there():
            raise _NodeAway(str(refusal))
        refused[goods_id] = _unreadable(goods_id, f"the node answers for other goods, but not for these: {refusal}")

    def _is_there(self) -> bool:
        """Whether the node still answers for goods for which it has answered."""
        try:
            self._auditor.ask(self._answered or 0)
        except Unanswered:
            return False
        return True


def _hashes(answer: Answer) -> list[str]:
    """The well-formed transaction hashes that the node names."""
    if not isinstance(answer, ShownGoods):
        return []
    named = (tx_hash for circ in answer.circs for tx_hash in (circ.trans_id, circ.tx_hash))
    return [tx_hash for tx_hash in named if tx_hash is not None and is_hash(tx_hash)]


def _unreadable(goods_id: int, detail: str) -> Verdict:
    return Verdict(goods_id, 0, 0, (Difference(goods_id, What.UNREADABLE, detail),))


def _unavailable(fault: ChainUnavailable) -> AuditImpossible:
    return AuditImpossible(f"the chain can't be asked: {fault}. Is the endpoint the right one, and does it answer?")
