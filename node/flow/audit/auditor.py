"""The auditor: asks the chain and the node, and holds the one against the other.

The steps, by number, as the report and docs/audit.md name them:

1.  The chain answers, all its endpoints alike, and the code at the contract's address is the code that was made known,
    or else the code that this auditor knows, made for this chain and this address. From there on the contract's word
    counts (here, and endpoints.py).
2.  For some goods at a time: the head is taken, the contract's ledger is replayed up to it (replay.py), then the node
    shows the goods (run.py), then the chain says what it has of them at that head (reading.py).
3.  to 12. The rules that hold the one against the other (rules/).
13. The files that circs name (files.py).
14. The predictions that stand in exam circs, if asked for (predictions.py).
15. The node answers two callers alike (callers.py).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from node.chain import contract
from node.chain.rpc import Block, ChainUnavailable
from node.clock import Clock, now_micros
from node.domain.model import GOODS_ID_MAX
from node.flow.audit.callers import Answer, Callers
from node.flow.audit.checkpoint import Checkpoint
from node.flow.audit.endpoints import ChainView, EndpointsDisagree, unavailable
from node.flow.audit.facts import Facts
from node.flow.audit.files import FileCheck, FileSource
from node.flow.audit.findings import Verdict, unreadable
from node.flow.audit.predictions import Predictions
from node.flow.audit.reading import Reading
from node.flow.audit.replay import LOG_BLOCKS_MAX, Depth, Progress, Replay
from node.flow.audit.report import Report, Subject
from node.flow.audit.rules import LATE_BLOCKS, judge
from node.flow.audit.run import Run
from node.flow.audit.shown import AuditImpossible, NodeView, ShownGoods, Unreadable, is_hash

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


class Auditor:
    """Audits a node against a contract. Trusts the chain's endpoints, the address and the code's hash, and nothing that
    the node says.

    Step 1 is done at once: AuditImpossible if there is no such contract, or if the chain isn't ``chain_id``.
    ``code_hash`` is that of the contract's code as its owner made it known (EXTCODEHASH); without it the code must be
    that of this version's contract. ``first_block`` is where its logs begin; without it the auditor looks for the
    block, and where the endpoint can't tell begins with block 0. ``late_blocks`` is how long a circ may be shown as
    pending after it was mined: more than the blocks that the node waits for. ``second`` is the node as another caller
    meets it. ``files`` is where the files come from that circs name; without it they are not checked. With
    ``predictions`` those that stand in exam circs are run again. ``checkpoint`` is a file for ``audit_all`` to go on
    from, and ``endpoints`` what the endpoints are called in the report. By ``clock`` no circ that waits may have been
    recorded in the future.
    """

    def __init__(
        self,
        node: NodeView,
        chain: ChainView,
        address: str,
        *,
        second: NodeView | None = None,
        endpoints: Sequence[str] = (),
        chain_id: int | None = None,
        code_hash: str | None = None,
        first_block: int | None = None,
        late_blocks: int = LATE_BLOCKS,
        files: FileSource | None = None,
        pause: Callable[[float], None] = time.sleep,
        predictions: Predictions | None = None,
        checkpoint: Path | None = None,
        clock: Clock = now_micros,
    ) -> None:
        if not _ADDRESS.fullmatch(address):
            raise AuditImpossible(f"contract {address!r}: want an address, 0x and 40 hex digits")
        if code_hash is not None and not is_hash(code_hash):
            raise AuditImpossible(f"code hash {code_hash!r}: want 0x and 64 hex digits")
        self.callers = Callers(node, second, pause)
        self.files = FileCheck(files)
        self.predictions = predictions
        self.pause = pause
        self._chain = chain
        self._address = address
        self._late_blocks = late_blocks
        self._clock = clock
        try:
            self.chain_id = chain.chain_id()
            if chain_id not in (None, self.chain_id):
                raise AuditImpossible(f"the endpoint serves chain {self.chain_id}, want chain {chain_id}")
            genesis = chain.block(0)
            self.code_hash = self._check_code(code_hash)
            self._first_block = self._find_first_block() if first_block is None else first_block
            first = genesis if self._first_block == 0 else chain.block(self._first_block)
        except ChainUnavailable as fault:
            raise unavailable(fault) from fault
        if genesis is None:
            raise AuditImpossible("the endpoint does not know the chain's first block: it can't be the whole chain's")
        self._began = genesis.timestamp if first is None else first.timestamp
        self.subject = Subject(tuple(endpoints), self.chain_id, genesis.hash, address, self.code_hash)
        self._checkpoint = (
            None if checkpoint is None else Checkpoint(checkpoint, self.chain_id, address, self.code_hash)
        )

    def audit(self, goods_ids: Sequence[int], progress: Progress | None = None) -> Report:
        """Audit the goods with these ids, each once. Goods that nobody knows are ``unchecked``: the id is wrong."""
        for goods_id in goods_ids:
            if not 1 <= goods_id <= GOODS_ID_MAX:
                raise AuditImpossible(f"goods {goods_id}: want an id from 1 to {GOODS_ID_MAX}")
        return Run(self, list(dict.fromkeys(goods_ids)), progress).report()

    def audit_all(self, progress: Progress | None = None, replayed: Progress | None = None) -> Report:
        """Audit every goods that the contract's ledger names; ``replayed`` is told of the blocks of its replay."""
        return Run(self, None, progress, replayed).report()

    def reading(self, depth: Depth, replayed: Progress | None = None) -> Reading:
        """What the chain says, to be read from the contract's first block on, or from where a checkpoint stands."""
        checkpoint = self._checkpoint if depth is Depth.WHOLE else None
        try:
            replay = Replay(
                self._chain,
                self.chain_id,
                self._address,
                self._first_block,
                depth,
                checkpoint=checkpoint,
                progress=replayed,
            )
        except ChainUnavailable as fault:
            raise unavailable(fault) from fault
        return Reading(self._chain, self.chain_id, self._address, replay, depth, began=self._began, clock=self._clock)

    def judge(self, reading: Reading, head: Block, answers: Sequence[tuple[int, Answer]]) -> list[Verdict | None]:
        """Steps 3 to 14 for some goods; None for goods that neither the node nor the contract knows."""
        facts = reading.facts([(goods_id, _hashes(answer)) for goods_id, answer in answers], head)
        return [self._verdict(goods_id, answer, said) for (goods_id, answer), said in zip(answers, facts, strict=True)]

    def _verdict(self, goods_id: int, answer: Answer, facts: Facts) -> Verdict | None:
        if isinstance(answer, Unreadable):
            return unreadable(goods_id, f"the node's answer is no history of goods: {answer}")
        if answer is None and not facts.times:
            return None
        verdict = judge(goods_id, answer, facts, self._late_blocks)
        if answer is None:
            return verdict
        wrong = [*self.files.differences(goods_id, answer)]
        if self.predictions is not None:
            wrong += self.predictions.differences(goods_id, answer)
        return replace(verdict, differences=(*verdict.differences, *wrong))

    def _check_code(self, code_hash: str | None) -> str:
        """Step 1. Answers the code's hash."""
        code = self._chain.code(self._address)
        if not code:
            raise AuditImpossible(
                f"there is no contract at {self._address} on chain {self.chain_id}: does the endpoint serve the "
                "node's chain, and is the address the one that the node printed when it was ready?"
            )
        found = contract.code_hash(code)
        if code_hash is None and not contract.code_matches(code, self.chain_id, self._address):
            raise AuditImpossible(
                f"the code at {self._address} on chain {self.chain_id} is not the contract that this auditor knows: "
                "its word proves nothing. If the node runs another version, audit it with that version"
            )
        if code_hash is not None and code_hash.lower() != found:
            raise AuditImpossible(
                f"the code at {self._address} on chain {self.chain_id} has the hash {found}, want {code_hash.lower()}: "
                "its word proves nothing"
            )
        return found

    def _find_first_block(self) -> int:
        """The block that made the contract: the first whose state has its code. 0 where reading all costs nothing."""
        low, high = 0, self._chain.head().number
        if high < LOG_BLOCKS_MAX:
            return 0
        while low < high:
            middle = (low + high) // 2
            try:
                there = self._chain.code(self._address, middle)
            except EndpointsDisagree:
                raise
            except ChainUnavailable:
                return 0  # many endpoints forget old states, but not old logs
            low, high = (low, middle) if there else (middle + 1, high)
        return low


def _hashes(answer: Answer) -> list[str]:
    """The well-formed transaction hashes that the node names."""
    if not isinstance(answer, ShownGoods):
        return []
    named = (tx_hash for circ in answer.circs for tx_hash in (circ.trans_id, circ.tx_hash))
    return [tx_hash for tx_hash in named if tx_hash is not None and is_hash(tx_hash)]
