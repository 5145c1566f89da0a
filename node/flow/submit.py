"""The sender: hands the outbox's signed bytes to the chain, in nonce order, batched.

Sending twice is harmless: the bytes are the same, and "already known" is success. A process that dies
anywhere in here sends again at the next start.
"""

from __future__ import annotations

import logging
import time

from node.chain.rpc import Chain, RefusalKind, SendRefusal
from node.domain.records import OutboxTx, TxState
from node.flow.worker import LedgerFault, TryLater
from node.store import outbox
from node.store.db import Store

BATCH_MAX = 100
CONTRADICTION_SECONDS = 10.0
"""How long a nonce must look used by somebody else: an endpoint may know of a block before its receipts."""

log = logging.getLogger(__name__)


class Sender:
    """Sends what is signed. ``step`` is one batch; ``sent`` counts what the chain took."""

    def __init__(self, store: Store, chain: Chain) -> None:
        self._store = store
        self._chain = chain
        self._contradicted: tuple[str, float] | None = None
        self.sent = 0

    def resume(self) -> None:
        """At start: everything that is in no block yet is sent again."""
        with self._store.write():
            waiting = outbox.send_again()
        if waiting:
            log.info("sending %d unfinished transactions again", waiting)

    def step(self) -> bool:
        """Send one batch; answers whether there may be more to send at once."""
        batch = outbox.in_state([TxState.SIGNED], BATCH_MAX)
        if not batch:
            return False
        refusals = self._chain.send([tx.raw for tx in batch])
        accepted: list[int] = []
        blocked: TryLater | None = None
        for tx, refusal in zip(batch, refusals, strict=True):
            if refusal is not None and not self._is_ours_already(tx, refusal):
                blocked = _blocked(tx, refusal)
                break
            accepted.append(tx.id)
        if accepted:
            with self._store.write():
                outbox.mark(accepted, TxState.SENT)
            self.sent += len(accepted)
        if blocked is not None:
            raise blocked
        return True

    def _is_ours_already(self, tx: OutboxTx, refusal: SendRefusal) -> bool:
        """A nonce that is used up is success when our own transaction used it."""
        if refusal.kind is not RefusalKind.NONCE_TOO_LOW:
            return False
        if self._chain.receipts([tx.tx_hash])[0] is not None:
            return True
        if self._chain.transaction_count(tx.signer) <= tx.nonce:
            # Mined between the two questions, or forked away: the next step asks again.
            return False
        if self._chain.receipts([tx.tx_hash])[0] is not None:
            return True
        first, self._contradicted = self._contradicted, (tx.tx_hash, time.monotonic())
        if first is not None and first[0] == tx.tx_hash:
            self._contradicted = first
            if time.monotonic() - first[1] >= CONTRADICTION_SECONDS:
                raise LedgerFault(
                    f"nonce {tx.nonce} of signer {tx.signer} was used by another transaction than {tx.tx_hash}: "
                    "this key must sign for this node alone"
                )
        return False


def _blocked(tx: OutboxTx, refusal: SendRefusal) -> TryLater:
    advice = f"; send funds to {tx.signer}" if refusal.kind is RefusalKind.NO_FUNDS else ""
    return TryLater(f"nonce {tx.nonce} waits: {refusal.kind.value} ({refusal.message}){advice}")
