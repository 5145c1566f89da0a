"""The confirmer: follows the chain's head and settles what it holds.

A transaction is final once ``confirmations`` blocks stand on it, its own counted. Until then a fork can take
it out again, or the chain can lose it from its pool: then it is sent again, and nothing that was answered is
lost. Nonces go up, so the oldest transaction that no block holds tells how all behind it are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.chain import contract
from node.chain.rpc import Block, Chain, Receipt
from node.domain.model import CircStatus
from node.domain.records import OutboxTx, TxKind, TxState
from node.flow.ledger import Ledger
from node.flow.worker import LedgerFault
from node.store import circs, outbox
from node.store.db import Store

LOOK_MAX = 1_000
RESEND_HEADS = 20
"""Blocks that may pass the oldest transaction by before it is sent again."""
UNKNOWN_SECONDS = 5.0
"""How long the oldest may be in no block until the chain is asked whether it has it at all."""
CARRIED_BLOCKS_MAX = 10_000
"""How far back a reverted circ is looked for in somebody else's transaction."""
FEES_SECONDS = 5.0
"""How old the fees of the next transaction may be while nothing is on its way."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Oldest:
    """The oldest transaction that was sent and is in no block, and when it was first seen so."""

    tx_id: int
    head: int
    seconds: float


class Confirmer:
    """Settles what the chain holds. ``step`` is one look at the head."""

    def __init__(
        self,
        store: Store,
        chain: Chain,
        ledger: Ledger,
        *,
        confirmations: int,
        resend: Callable[[], None],
    ) -> None:
        self._store = store
        self._chain = chain
        self._ledger = ledger
        self._confirmations = confirmations
        self._resend = resend
        self._oldest: _Oldest | None = None
        self._fees_seconds = time.monotonic()

    def step(self) -> bool:
        """Settle the oldest unfinished transactions; answers whether more may be settled at once."""
        waiting = outbox.in_state([TxState.SENT, TxState.MINED], LOOK_MAX)
        if waiting or time.monotonic() - self._fees_seconds >= FEES_SECONDS:
            self._ledger.fees = self._chain.fees()
            self._fees_seconds = time.monotonic()
        if not waiting:
            return False
        head = self._chain.head()
        receipts = self._chain.receipts([tx.tx_hash for tx in waiting])
        missing = [tx for tx, receipt in zip(waiting, receipts, strict=True) if receipt is None]
        lost = missing if self._are_lost(missing, head) else []
        news = [
            (tx, receipt)
            for tx, receipt in zip(waiting, receipts, strict=True)
            if receipt is not None and self._is_news(tx, receipt, head)
        ]
        carriers = self._carriers(news)
        settled = 0
        with self._store.write():
            for tx, receipt in news:
                settled += self._settle(tx, receipt, head, carriers.get(tx.id))
            outbox.mark([tx.id for tx in lost], TxState.SIGNED)
        if lost:
            log.warning("%d transactions are in no block: sending them again", len(lost))
            self._resend()
        return settled == LOOK_MAX

    def _are_lost(self, missing: Sequence[OutboxTx], head: Block) -> bool:
        """Whether what is in no block must be sent again: after a fork, or when the oldest gets nowhere."""
        oldest, self._oldest = self._oldest, None
        if not missing or any(tx.state is TxState.MINED for tx in missing):
            return bool(missing)
        if oldest is None or oldest.tx_id != missing[0].id:
            self._oldest = _Oldest(missing[0].id, head.number, time.monotonic())
            return False
        if head.number - oldest.head >= RESEND_HEADS:
            return True
        if time.monotonic() - oldest.seconds >= UNKNOWN_SECONDS:
            (known,) = self._chain.transactions([missing[0].tx_hash])
            if known is None:
                return True
        self._oldest = oldest
        return False

    def _is_deep(self, receipt: Receipt, head: Block) -> bool:
        return head.number - receipt.block_number + 1 >= self._confirmations

    def _is_news(self, tx: OutboxTx, receipt: Receipt, head: Block) -> bool:
        """Whether the index has to learn something of a mined transaction: its block, or that it is final."""
        return self._is_deep(receipt, head) or (tx.state, tx.block_hash) != (TxState.MINED, receipt.block_hash)

    def _carriers(self, news: Sequence[tuple[OutboxTx, Receipt]]) -> dict[int, str]:
        """Reverted circs that the contract took all the same, by row: the transactions that carried them.

        Anyone may send what an operator signed. Whoever copies a waiting circ and is mined first makes the
        node's own transaction revert; the salt makes the digest this circ's own, so its event tells.
        """
        found: dict[int, str] = {}
        for tx, receipt in news:
            if receipt.status or tx.kind is not TxKind.CIRC:
                continue
            operator, digest = circs.signed(tx.id)
            topics = [contract.CIRCULATED_TOPIC, operator.to_bytes(32, "big")]
            first = max(0, receipt.block_number - CARRIED_BLOCKS_MAX)
            for entry in self._chain.logs(self._ledger.contract, topics, first, receipt.block_number):
                event = contract.decode_log(entry.topics, entry.data)
                if isinstance(event, contract.Circulated) and event.circ.form_digest == digest:
                    found[tx.id] = entry.tx_hash
        return found

    def _settle(self, tx: OutboxTx, receipt: Receipt, head: Block, carrier: str | None) -> bool:
        mined_hash = carrier or tx.tx_hash
        if not self._is_deep(receipt, head):
            outbox.mark_mined(tx.id, TxState.MINED, receipt.block_number, receipt.block_hash, mined_hash)
            return False
        state = TxState.FINAL if receipt.status else TxState.REVERTED
        outbox.mark_mined(tx.id, state, receipt.block_number, receipt.block_hash, mined_hash)
        if tx.kind is TxKind.CIRC:
            self._settle_circ(tx, is_taken=receipt.status or carrier is not None)
        elif not receipt.status:
            raise LedgerFault(f"the chain refused {tx.kind.value} in {tx.tx_hash}: look at the contract's roles")
        elif tx.kind is TxKind.REGISTER_ACTOR:
            self._check_actor(tx, receipt)
        return True

    def _settle_circ(self, tx: OutboxTx, *, is_taken: bool) -> None:
        if is_taken:
            circs.settle(tx.id, CircStatus.SUCCESS)
            return
        failed = circs.fail(tx.id)
        if failed:  # else it stood on a circ that failed before, and was told with that one
            log.error("circ %s was reverted; %d circs failed with it", tx.tx_hash, len(failed) - 1)

    def _check_actor(self, tx: OutboxTx, receipt: Receipt) -> None:
        expected = circs.actor_registered_by(tx.id)
        for entry in receipt.logs:
            event = contract.decode_log(entry.topics, entry.data)
            if isinstance(event, contract.ActorRegistered) and event.actor == expected:
                return
        raise LedgerFault(
            f"the contract gave another number than {expected} to the actor of {tx.tx_hash}: "
            "somebody else registers actors at this contract"
        )
