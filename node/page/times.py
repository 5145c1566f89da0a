"""The times of blocks, asked of the chain once for each block.

A page must not wait for a chain that is down or slow: it is asked by one thread at a time, the page waits for it within
a bound, and after a failure it is left alone for a while. What isn't known then is shown with the node's own time.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock

from node.chain.rpc import Chain
from node.chain.transport import ChainUnavailable
from node.domain.trace import Placed

BLOCKS_KEPT_MAX = 50_000
BLOCKS_PER_QUESTION = 100
LEFT_ALONE_SECONDS = 5.0


class BlockTimes:
    """Remembers when blocks were made, by their hashes; threads may share it."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._known: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()
        self._asking = Lock()
        self._not_before = 0.0

    def known(self, placed: Mapping[int, Placed]) -> dict[int, int]:
        """Of the circs whose blocks' times are known: circ id → seconds since 1970. Asks nobody."""
        with self._lock:
            return {
                circ_id: self._known[place.block_hash]
                for circ_id, place in placed.items()
                if place.block_hash is not None and place.block_hash in self._known
            }

    def missing(self, placed: Mapping[int, Placed]) -> dict[str, int]:
        """The blocks that have to be asked for: hash → number. None while the chain is left alone."""
        if time.monotonic() < self._not_before:
            return {}
        with self._lock:
            return {
                place.block_hash: place.block_number
                for place in placed.values()
                if place.block_hash is not None
                and place.block_number is not None
                and place.block_hash not in self._known
            }

    def ask(self, blocks: Mapping[str, int]) -> None:
        """Learn the times of these blocks. A block that is no longer the chain's stays unknown."""
        numbers = sorted(set(blocks.values()))
        with self._asking:
            if time.monotonic() < self._not_before:
                return
            try:
                for at in range(0, len(numbers), BLOCKS_PER_QUESTION):
                    for block in self._chain.blocks(numbers[at : at + BLOCKS_PER_QUESTION]):
                        if block is not None:
                            self._keep(block.hash, block.timestamp)
            except ChainUnavailable:
                self.leave_alone()

    def leave_alone(self) -> None:
        """The chain did not answer in time: ask nothing for a while."""
        self._not_before = time.monotonic() + LEFT_ALONE_SECONDS

    def _keep(self, block_hash: str, timestamp: int) -> None:
        with self._lock:
            self._known[block_hash] = timestamp
            while len(self._known) > BLOCKS_KEPT_MAX:
                self._known.popitem(last=False)
