"""The confirmer: follows the chain's head and settles what it holds.

A transaction is final once ``confirmations`` blocks stand on it, its own counted. Until then a fork can take
it out again: then it is sent again, and nothing that was answered is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

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

log = logging.getLogger(__name__)


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
        self._missing_since: dict[int, int] = {}

    def step(self) -> bool:
        """Settle the oldest unfinished transactions; answers whether more may be settled at once."""
        waiting = outbox.in_state([TxState.SENT, TxState.MINED], LOOK_MAX)
        if not waiting:
            return False
        head = self._chain.head()
        self._ledger.fees = self._chain.fees()
        receipts = self._chain.receipts([tx.tx_hash for tx in waiting])
        settled, lost = 0, []
        with self._store.write():
            for tx, receipt in zip(waiting, receipts, strict=True):
                if receipt is None:
                    if self._is_lost(tx, head):
                        lost.append(tx.id)
                    continue
                self._missing_since.pop(tx.id, None)
                settled += self._settle(tx, receipt, head)
            outbox.mark(lost, TxState.SIGNED)
        if lost:
            log.warning("%d transactions are in no block any more: sending them again", len(lost))
            self._resend()
        return settled == LOOK_MAX

    def _is_lost(self, tx: OutboxTx, head: Block) -> bool:
        if tx.state is TxState.MINED:
            return True
        since = self._missing_since.setdefault(tx.id, head.number)
        if head.number - since < RESEND_HEADS:
            return False
        del self._missing_since[tx.id]
        return True

    def _settle(self, tx: OutboxTx, receipt: Receipt, head: Block) -> bool:
        depth = head.number - receipt.block_number + 1
        if depth < self._confirmations:
            if (tx.state, tx.block_hash) != (TxState.MINED, receipt.block_hash):
                outbox.mark_mined(tx.id, TxState.MINED, receipt.block_number, receipt.block_hash)
            return False
        state = TxState.FINAL if receipt.status else TxState.REVERTED
        outbox.mark_mined(tx.id, state, receipt.block_number, receipt.block_hash)
        if tx.kind is TxKind.CIRC:
            self._settle_circ(tx, receipt)
        elif not receipt.status:
            raise LedgerFault(f"the chain refused {tx.kind.value} in {tx.tx_hash}: look at the contract's roles")
        elif tx.kind is TxKind.REGISTER_ACTOR:
            self._check_actor(tx, receipt)
        return True

    def _settle_circ(self, tx: OutboxTx, receipt: Receipt) -> None:
        if receipt.status:
            circs.settle(tx.id, CircStatus.SUCCESS)
            return
        failed = circs.fail(tx.id)
        log.error("circ %s was reverted; %d circs failed with it", tx.tx_hash, max(0, len(failed) - 1))

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
