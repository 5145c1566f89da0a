"""Nonces that the chain counts as used, while it has no receipt for the transactions that the node signed with them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from node.chain.rpc import Chain
from node.domain.records import OutboxTx
from node.flow.worker import LedgerFault

SECONDS_MIN, LOOKS_MIN = 10.0, 5
"""For how long and in how many looks, with no other between them, a nonce must look used by somebody else: an endpoint
may know of a block before its receipts, a fork may come between a look's questions, and a process may stand still."""

Unfound = tuple[OutboxTx, list[str]]
"""A transaction that was looked for, and all of its hashes."""


class Contradictions:
    """Remembers, by signer and nonce, since when and how often the chain has contradicted itself."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._seen: dict[tuple[str, int], tuple[float, int]] = {}

    def look(self, used: Mapping[str, int], asked: Sequence[OutboxTx], unfound: Sequence[Unfound]) -> None:
        """One look: how many nonces each lane has used, what was looked for, and what of it was not found.

        LedgerFault once that has lasted for one of them, and the chain knows no transaction of ours.
        """
        # What was not looked for, since it is being sent again, is neither confirmed nor refuted.
        seen = {at: found for at, found in self._seen.items() if at[0] not in used or at[1] < used[at[0]]}
        for tx in asked:
            seen.pop((tx.signer, tx.nonce), None)
        now = time.monotonic()
        for tx, hashes in unfound:
            since, looks = self._seen.get((tx.signer, tx.nonce), (now, 0))
            lasts = now - since >= SECONDS_MIN and looks >= LOOKS_MIN
            if lasts and not any(self._chain.transactions(hashes)):
                raise LedgerFault(
                    f"nonce {tx.nonce} of signer {tx.signer} was used by another transaction than {tx.tx_hash}: "
                    "this key must sign for this node alone"
                )
            seen[tx.signer, tx.nonce] = since, looks + 1
        self._seen = seen
