"""Signing again with higher fees, at the same nonce. Every hash is kept: any of them may still be mined."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from node.chain import signer
from node.domain.records import OutboxTx
from node.flow.ledger import Ledger
from node.store import outbox
from node.store.lead import Index

log = logging.getLogger(__name__)


class Bumper:
    """Raises the fees of transactions up to ``fee_max`` wei for a unit of gas (None: no limit)."""

    def __init__(self, store: Index, ledger: Ledger, fee_max: int | None = None) -> None:
        self._store = store
        self._ledger = ledger
        self._fee_max = fee_max

    def bump(self, txs: Sequence[OutboxTx]) -> int:
        """Sign transactions that no block holds again; answers how many could be raised.

        None is raised where gas is free, or beyond the limit.
        """
        raised = []
        for tx in txs:
            fees = signer.fees_of(tx.raw).raised_to(self._ledger.fees, self._fee_max)
            if fees is not None:
                raised.append((tx, fees, signer.resign(self._ledger.lanes.key(tx.signer), tx.raw, fees)))
        if not raised:
            return 0
        with self._store.write():
            for tx, _, signed in raised:
                outbox.replace(tx, signed.raw, signed.hash, self._ledger.clock())
        for tx, fees, signed in raised:
            log.warning(
                "nonce %d of %s: signed again as %s, offering %d wei for a unit of gas",
                tx.nonce, tx.signer, signed.hash, fees.max_fee_per_gas,
            )  # fmt: skip
        return len(raised)
