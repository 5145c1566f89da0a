"""Step 2: the contract's ledger, replayed from its first block on. Asks the chain, in batches.

How much is read is the caller's to say:

ACTORS  only the logs of actors, for an audit of named goods;
CIRCS   all logs of the contract, by which every circ that is left out can be named;
WHOLE   all logs and all blocks: each block must name the one before it, each circ must follow from those before it, no
        call that the chain took may be without its log, and calls that the contract refused are known too.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from node.chain import contract
from node.chain.rpc import Block, BlockHashes, ChainUnavailable, Log, Transaction
from node.flow.audit.checkpoint import Checkpoint, Stand
from node.flow.audit.endpoints import ChainView
from node.flow.audit.facts import ACTOR_TOPICS, ALL_TOPICS, Attempt, asked, place_of
from node.flow.audit.ledger import Ledger

LOG_BLOCKS_MAX = 10_000
"""Blocks that a log query asks for at most; ``Chain.logs`` halves what an endpoint finds too much."""
CIRC_LOG_BLOCKS_MAX = 2_000
"""The same, where circs are asked for, of which there may be many."""
BLOCKS_MAX = 100
"""Blocks that are asked for themselves at most."""
BLOCKS_FIRST = 10
"""Blocks that are asked for at first, when it isn't known how full they are."""
FEW_OF = 4
"""Where at most one in so many of a block's transactions is of interest, they are asked for one by one."""
TRANSACTIONS_AT_ONCE = 5_000
"""So many transactions, or logs, a question should bring; it takes fewer blocks where they are fuller."""
BEGINNINGS_MAX = 3
"""So often a replay begins anew when the chain drops blocks while it is read."""
SAVE_EVERY_CIRCS = 50_000
"""So many circs may be replayed between two writings of the checkpoint."""

Progress = Callable[[int, int], None]
"""Is told how much is done, of how much."""


class Depth(Enum):
    """How much of the ledger is read."""

    ACTORS = auto()
    CIRCS = auto()
    WHOLE = auto()


class _Dropped(Exception):
    """The chain has other blocks now than a moment ago."""


class Replay:
    """The ledger up to the block of the last ``advance``.

    When the chain drops the block of the last ``advance``, everything is read anew. ``notes`` has a line for whatever
    whoever reads the report should know. ``block_hashes`` are those of blocks with events; ``block_times``, in seconds
    since 1970, is known of those blocks that were read themselves.
    """

    def __init__(
        self,
        chain: ChainView,
        chain_id: int,
        address: str,
        first_block: int,
        depth: Depth,
        *,
        checkpoint: Checkpoint | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._chain = chain
        self._chain_id = chain_id
        self._address = address
        self._first_block = first_block
        self._depth = depth
        self._checkpoint = checkpoint
        self._tell = progress or (lambda _done, _total: None)
        self.notes: list[str] = []
        self._begin()
        if checkpoint is not None:
            self._take_up(checkpoint)

    def _begin(self) -> None:
        self.head: Block | None = None
        self.ledger = Ledger(by_rules=self._depth is Depth.WHOLE)
        self.block_hashes: dict[int, str] = {}
        self.block_times: dict[int, int] = {}
        self._stand: Stand | None = None
        self._saved_circs = 0
        self._stride = LOG_BLOCKS_MAX if self._depth is Depth.ACTORS else BLOCKS_FIRST

    def _take_up(self, checkpoint: Checkpoint) -> None:
        """Go on where a former audit stood, if the chain still has its block."""
        found = checkpoint.load()
        if found is None:
            return
        ledger, stand = found
        if not self._has(stand):
            self.notes.append(
                f"checkpoint {checkpoint.path}: the chain no longer has its block {stand.number} {stand.hash}; "
                "everything was replayed anew"
            )
            return
        self.ledger, self._stand, self._saved_circs = ledger, stand, ledger.circs

    def advance(self) -> Block:
        """Replay up to the chain's head; answers the head, at which the next goods are audited."""
        for _ in range(BEGINNINGS_MAX):
            if self._stand is not None and not self._has(self._stand):
                self._begin()
            head = self._chain.head()
            try:
                self._go_on(head)
            except _Dropped:
                self._begin()
                continue
            self.head = head
            return head
        raise ChainUnavailable(
            "the chain drops blocks again and again, or the endpoint has forgotten old transactions: try when it is "
            "calm, or an endpoint that keeps all"
        )

    def is_canonical(self, block: Block) -> bool:
        """Whether the chain still has the block."""
        return self._has(Stand(block.number, block.hash))

    def _has(self, stand: Stand) -> bool:
        now = self._chain.block(stand.number)
        return now is not None and now.hash == stand.hash

    def _go_on(self, head: Block) -> None:
        first = self._first_block if self._stand is None else self._stand.number + 1
        begun = first
        try:
            while first <= head.number:
                self._tell(first - begun, head.number + 1 - begun)
                last = min(first + self._stride - 1, head.number)
                found, last = self._whole(first, last, head) if self._depth is Depth.WHOLE else self._logs(first, last)
                self._adapt(found)
                first = last + 1
                if self._checkpoint is not None and self.ledger.circs - self._saved_circs >= SAVE_EVERY_CIRCS:
                    self._save()
        finally:
            # What was replayed is worth keeping, whatever ended it; what came while goods were audited is little.
            if self.head is None:
                self._save()
        if self._stand is None or self._stand.number < head.number:
            self._stand = Stand(head.number, head.hash)
        self._tell(head.number + 1 - begun, head.number + 1 - begun)

    def _save(self) -> None:
        stand = self._stand
        if self._checkpoint is not None and stand is not None:
            self._checkpoint.save(self.ledger, stand)
            self._saved_circs = self.ledger.circs

    def _adapt(self, found: int) -> None:
        """Ask for more blocks where they are empty, for fewer where they are full."""
        most = {Depth.ACTORS: LOG_BLOCKS_MAX, Depth.CIRCS: CIRC_LOG_BLOCKS_MAX, Depth.WHOLE: BLOCKS_MAX}[self._depth]
        if found > TRANSACTIONS_AT_ONCE:
            self._stride = max(1, self._stride // 2)
        elif found < TRANSACTIONS_AT_ONCE // 2:
            self._stride = min(most, self._stride * 2)

    def _logs(self, first: int, last: int) -> tuple[int, int]:
        topics = ALL_TOPICS if self._depth is Depth.CIRCS else ACTOR_TOPICS
        logs = self._chain.logs(self._address, [topics], first, last)
        for log in logs:
            self._learn(log)
        return len(logs), last

    def _whole(self, first: int, last: int, head: Block) -> tuple[int, int]:
        """The blocks from ``first`` on and their logs. Answers how much there was, and the last block."""
        blocks = _beginning(self._chain.block_hashes(first, last))
        last = blocks[-1].block.number
        stand = self._stand
        for each in blocks:
            if stand is not None and each.block.parent_hash != stand.hash:
                raise _Dropped
            stand = Stand(each.block.number, each.block.hash)
        if stand is None or (last == head.number and stand.hash != head.hash):
            raise _Dropped
        # A block without calls of the contract may have its logs all the same: another contract may have called it.
        logs = self._chain.logs(self._address, [ALL_TOPICS], first, last)
        hashes = {each.block.number: each.block.hash for each in blocks}
        if any(log.block_hash != hashes[log.block_number] for log in logs):
            raise _Dropped
        refused = self._refused(blocks, {log.tx_hash for log in logs})
        telling = {log.block_number for log in logs} | {number for _, (number, _) in refused}
        self.block_times |= {each.block.number: each.block.timestamp for each in blocks if each.block.number in telling}
        for log in logs:
            while refused and refused[-1][1] < (log.block_number, log.tx_index):
                self._refuse(refused.pop()[0])
            self._learn(log)
        while refused:
            self._refuse(refused.pop()[0])
        self._stand = stand
        return sum(len(each.hashes) for each in blocks), last

    def _refused(self, blocks: list[BlockHashes], logged: set[str]) -> list[tuple[Transaction, tuple[int, int]]]:
        """Calls of ``circulate`` that were reverted, with their places in the chain, the last first."""
        silent = [each for each in self._without_logs(blocks, logged) if contract.is_circulate(each.input)]
        found = []
        for call, receipt in zip(silent, self._chain.receipts([each.hash for each in silent]), strict=True):
            if receipt is None:
                raise _Dropped
            if receipt.status:
                raise ChainUnavailable(
                    f"eth_getLogs: the contract took the circ of {call.hash}, but its log is missing"
                )
            found.append((call, (receipt.block_number, receipt.tx_index)))
        return sorted(found, key=lambda each: each[1], reverse=True)

    def _without_logs(self, blocks: list[BlockHashes], logged: set[str]) -> list[Transaction]:
        """The transactions to the contract that have no logs of it.

        Where few transactions of a block have none, these are asked for; where many, the block with all of them.
        """
        few: list[str] = []
        busy: list[int] = []
        for each in blocks:
            silent = [tx_hash for tx_hash in each.hashes if tx_hash not in logged]
            if len(silent) * FEW_OF <= len(each.hashes):
                few += silent
            else:
                busy.append(each.block.number)
        transactions = self._chain.sent_to(self._address, busy)
        for transaction in self._chain.transactions(few):
            if transaction is None:
                raise _Dropped
            transactions.append(transaction)
        ours = self._address.lower()
        return [
            each for each in transactions if each.hash not in logged and each.to is not None and each.to.lower() == ours
        ]

    def _refuse(self, call: Transaction) -> None:
        circ, signed_by = asked(call, self._chain_id, self._address)
        if circ is None or signed_by is None or call.block_number is None:
            return
        custodial = self.ledger.is_custodial(circ.operator)
        self.ledger.refuse(Attempt(call.hash, call.block_number, call.sender, circ, custodial), signed_by)

    def _learn(self, log: Log) -> None:
        self.block_hashes[log.block_number] = log.block_hash
        try:
            event = contract.decode_log(log.topics, log.data)
            if event is not None:
                self.ledger.learn(place_of(log), log.tx_hash, event)
        except ValueError as fault:
            raise ChainUnavailable(f"eth_getLogs: a log of the contract can't be understood: {fault}") from fault


def _beginning(blocks: list[BlockHashes]) -> list[BlockHashes]:
    """So many of the blocks, one at least, that the answer to a question for their logs has a bound."""
    transactions = 0
    for place, each in enumerate(blocks):
        transactions += len(each.hashes)
        if place and transactions > TRANSACTIONS_AT_ONCE:
            return blocks[:place]
    return blocks
