"""Forks: finding out that the chain has other blocks than before, and what of ours they took with them."""

from __future__ import annotations

import logging
import time

from node.chain.rpc import Chain, Look
from node.clock import Clock
from node.flow.worker import LedgerFault
from node.store import circs, outbox, progress
from node.store.lead import Index

FORK_BLOCKS_MAX = 256
"""How many blocks behind the head a fork may begin and is still followed, if confirmations don't ask for more."""
LAG_SECONDS = 3.0
"""How long an endpoint may be behind what it said before, until that is taken for a fork."""

log = logging.getLogger(__name__)


class Forks:
    """Compares each look at the chain with the last one; the last head is remembered over a restart."""

    def __init__(self, store: Index, chain: Chain, clock: Clock, *, confirmations: int) -> None:
        self._store = store
        self._chain = chain
        self._clock = clock
        self._depth_max = max(FORK_BLOCKS_MAX, confirmations)
        noted = progress.noted()
        self._number = int(noted["head"][0]) if "head" in noted else 0
        self._hash = noted["head_hash"][0] if "head_hash" in noted else ""
        self._behind_since: float | None = None

    @property
    def last(self) -> int:
        """The number of the last head, which the next look has to show again."""
        return self._number

    def is_lagging(self, look: Look) -> bool:
        """Whether the endpoint only seems to be behind: one of several that stand behind one address."""
        if look.head.number >= self._number:
            self._behind_since = None
            return False
        if self._behind_since is None:
            self._behind_since = time.monotonic()
        return time.monotonic() - self._behind_since < LAG_SECONDS

    def follow(self, look: Look) -> list[int]:
        """Take out what a fork took away since the last look; answers the transactions that must be sent again."""
        is_fork = bool(self._hash) and (look.block is None or look.block.hash != self._hash)
        taken = self._take_out(look.head.number) if is_fork else []
        self._number, self._hash = look.head.number, look.head.hash
        return taken

    def _take_out(self, head: int) -> list[int]:
        lowest = max(0, min(head, self._number) - self._depth_max)
        ours = outbox.blocks_from(lowest)
        there = self._chain.blocks([number for number, _ in ours])
        gone = [
            (number, block)
            for (number, block), found in zip(ours, there, strict=True)
            if found is None or found.hash != block
        ]
        if gone and lowest:
            self._check_depth(lowest)
        with self._store.write():
            taken = outbox.take_out(gone)
            circs.unsettle(taken)
            forks = int(progress.noted().get("forks", ("0", 0))[0]) + 1
            progress.note(self._clock(), forks=str(forks))
        log.warning("the chain forked: %d blocks and %d transactions of ours are no more", len(gone), len(taken))
        return taken

    def _check_depth(self, lowest: int) -> None:
        """LedgerFault if what lies deeper than a fork may reach has changed too."""
        for number, block in outbox.blocks_before(lowest, 1):
            (found,) = self._chain.blocks([number])
            if found is None or found.hash != block:
                raise LedgerFault(
                    f"the chain forked more than {self._depth_max} blocks deep: block {number} was {block}, now it is "
                    f"{'missing' if found is None else found.hash}. Compare with other endpoints of the chain; if they "
                    "agree, rebuild the index from it (vtrace reindex)"
                )
