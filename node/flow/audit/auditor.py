"""The auditor: asks the chain and the node, and holds the one against the other by the rules.

1. The chain answers, and the code at the contract's address is the code that this auditor knows, made for this
   chain and this address. From there on the contract's word counts.
2. For some goods at a time: the head is taken, the contract's logs are read up to it, then the node shows the
   goods, then the chain says what it has of them at that head. Steps 3 to 12 are in rules.py, step 13 in files.py.

What honest movement could explain is no difference. The head is taken before the node is asked: a node that hides
nothing then shows at least what the chain had at that head, and what came later waits. Goods that differ, and goods
of a block that the chain has dropped since, are audited once more from the beginning; only what differs again is
reported.

With ``audit_all`` the goods are those that the contract knows, so none can be hidden. Goods that only the node knows
are found out by ``audit``, when they are named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from node.chain import contract
from node.chain.rpc import Block, Chain, ChainUnavailable
from node.domain.model import GOODS_ID_MAX
from node.flow.audit.facts import Facts
from node.flow.audit.files import FileCheck, FileSource
from node.flow.audit.findings import Difference, Verdict, What
from node.flow.audit.reading import LOG_BLOCKS_MAX, Reading
from node.flow.audit.rules import is_hash, judge
from node.flow.audit.shown import AuditImpossible, NodeView, ShownGoods, Unreadable

GOODS_AT_ONCE = 100

Progress = Callable[[int, int], None]
"""Is told how many goods are done, of how many."""

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


@dataclass(frozen=True, slots=True)
class Report:
    """What an audit found. ``circs`` are those shown that are on the chain, ``pending`` those that wait for it."""

    goods: int
    circs: int
    pending: int
    differences: tuple[Difference, ...]

    @property
    def summary(self) -> str:
        """One line."""
        return (
            f"audit: {self.goods} goods, {self.circs} circs, {self.pending} pending, "
            f"{len(self.differences)} differences"
        )


class Auditor:
    """Audits a node against a contract. Trusts the chain's endpoint and the address, and nothing that the node says.

    Step 1 is done at once: AuditImpossible if there is no such contract. ``first_block`` is where its logs begin;
    without it the auditor looks for the block, and where the endpoint can't tell begins with block 0. ``files`` is
    where the files come from that circs name; without it they are not checked.
    """

    def __init__(
        self,
        node: NodeView,
        chain: Chain,
        address: str,
        *,
        first_block: int | None = None,
        files: FileSource | None = None,
    ) -> None:
        if not _ADDRESS.fullmatch(address):
            raise AuditImpossible(f"contract {address!r}: want an address, 0x and 40 hex digits")
        self._node = node
        self._chain = chain
        self._address = address
        self._files = FileCheck(files)
        try:
            self.chain_id = chain.chain_id()
            self._check_code()
            self._first_block = self._find_first_block() if first_block is None else first_block
        except ChainUnavailable as fault:
            raise _unavailable(fault) from fault

    @property
    def files_named(self) -> int:
        """How many files the audited circs name."""
        return self._files.named

    def audit(self, goods_ids: Sequence[int], progress: Progress | None = None) -> Report:
        """Audit the goods with these ids, each once. AuditImpossible if goods are nobody's: the id is wrong."""
        for goods_id in goods_ids:
            if not 1 <= goods_id <= GOODS_ID_MAX:
                raise AuditImpossible(f"goods {goods_id}: want an id from 1 to {GOODS_ID_MAX}")
        return self._audit(list(dict.fromkeys(goods_ids)), progress)

    def audit_all(self, progress: Progress | None = None) -> Report:
        """Audit every goods of which the contract has taken a circ."""
        return self._audit(None, progress)

    def _audit(self, goods_ids: list[int] | None, progress: Progress | None) -> Report:
        tell = progress or (lambda _done, _total: None)
        try:
            reading = self._reading(with_circs=goods_ids is None)
            if goods_ids is None:
                reading.advance()
                goods_ids = reading.goods_ids()
            verdicts: dict[int, Verdict] = {}
            doubtful: list[int] = []
            for goods_id, verdict in self._pass(reading, goods_ids):
                if verdict is None or verdict.differences:
                    doubtful.append(goods_id)
                else:
                    verdicts[goods_id] = verdict
                    tell(len(verdicts), len(goods_ids))
            if doubtful:
                self._files.look_again()
                # With the logs of circs every difference can be named.
                for goods_id, verdict in self._pass(self._reading(with_circs=True), doubtful):
                    if verdict is None:
                        raise AuditImpossible("the chain drops blocks again and again: try later, when it is calm")
                    verdicts[goods_id] = verdict
                    tell(len(verdicts), len(goods_ids))
        except ChainUnavailable as fault:
            raise _unavailable(fault) from fault
        return Report(
            goods=len(verdicts),
            circs=sum(verdict.circs for verdict in verdicts.values()),
            pending=sum(verdict.pending for verdict in verdicts.values()),
            differences=tuple(each for goods_id in goods_ids for each in verdicts[goods_id].differences),
        )

    def _pass(self, reading: Reading, goods_ids: Sequence[int]) -> Iterator[tuple[int, Verdict | None]]:
        """Step 2, and the rules; None for goods whose block the chain has dropped while they were audited."""
        for start in range(0, len(goods_ids), GOODS_AT_ONCE):
            some = goods_ids[start : start + GOODS_AT_ONCE]
            head = reading.advance()
            answers = [self._ask(goods_id) for goods_id in some]
            verdicts = self._judge(reading, head, some, answers)
            canonical = reading.is_canonical(head)
            for goods_id, verdict in zip(some, verdicts, strict=True):
                yield goods_id, verdict if canonical else None

    def _ask(self, goods_id: int) -> ShownGoods | Unreadable | None:
        try:
            return self._node.history(goods_id)
        except Unreadable as fault:
            return fault

    def _judge(
        self,
        reading: Reading,
        head: Block,
        goods_ids: Sequence[int],
        answers: Sequence[ShownGoods | Unreadable | None],
    ) -> list[Verdict]:
        named = [_hashes(answer) for answer in answers]
        verdicts = []
        for goods_id, answer, facts in zip(
            goods_ids, answers, reading.facts(list(zip(goods_ids, named, strict=True)), head), strict=True
        ):
            verdict = _verdict(goods_id, answer, facts)
            if isinstance(answer, ShownGoods):
                wrong = tuple(self._files.differences(goods_id, answer))
                verdict = replace(verdict, differences=(*verdict.differences, *wrong))
            verdicts.append(verdict)
        return verdicts

    def _reading(self, *, with_circs: bool) -> Reading:
        return Reading(self._chain, self.chain_id, self._address, self._first_block, with_circs=with_circs)

    def _check_code(self) -> None:
        """Step 1."""
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


def _hashes(answer: ShownGoods | Unreadable | None) -> list[str]:
    """The well-formed transaction hashes that the node names."""
    if not isinstance(answer, ShownGoods):
        return []
    named = (tx_hash for circ in answer.circs for tx_hash in (circ.trans_id, circ.tx_hash))
    return [tx_hash for tx_hash in named if tx_hash is not None and is_hash(tx_hash)]


def _verdict(goods_id: int, answer: ShownGoods | Unreadable | None, facts: Facts) -> Verdict:
    if isinstance(answer, Unreadable):
        difference = Difference(goods_id, What.UNREADABLE, f"the node's answer is no history of goods: {answer}")
        return Verdict(goods_id, 0, 0, (difference,))
    if answer is None and not facts.times:
        raise AuditImpossible(f"goods {goods_id}: neither the node nor the contract knows them: is the id right?")
    return judge(goods_id, answer, facts)


def _unavailable(fault: ChainUnavailable) -> AuditImpossible:
    return AuditImpossible(f"the chain can't be asked: {fault}. Is the endpoint the right one, and does it answer?")
