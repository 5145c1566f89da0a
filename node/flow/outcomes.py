"""What became of transactions on the chain, with as little to ask as can be.

A circ's event stands in a block only if the contract took the circ, so the events of a few blocks say of many circs at
once that they succeeded. What they don't say of, reverted circs and whatever is no circ, is asked for by its receipt.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.chain import contract
from node.chain.rpc import Chain, Outcome
from node.domain.records import OutboxTx, TxKind

CIRCS_MIN: int = 8
"""With fewer, their receipts are less to ask for than the blocks' events."""
BLOCKS_MAX = 64


def outcomes(
    chain: Chain, address: str, txs: Sequence[OutboxTx], from_block: int, to_block: int
) -> list[Outcome | None]:
    """For each transaction its outcome, or None while it isn't mined, by the hash that it has now.

    ``from_block`` to ``to_block`` are where most of them must be; those in other blocks are found as well.
    """
    circs = {tx.live_hash for tx in txs if tx.kind is TxKind.CIRC}
    found: dict[str, Outcome] = {}
    if len(circs) >= CIRCS_MIN and to_block - from_block < BLOCKS_MAX:
        takers = chain.takers(address, contract.CIRCULATED_TOPIC, from_block, to_block)
        found = {each.tx_hash: each for each in takers if each.tx_hash in circs}
    others = [tx.live_hash for tx in txs if tx.live_hash not in found]
    found |= {each.tx_hash: each for each in chain.outcomes(others) if each is not None}
    return [found.get(tx.live_hash) for tx in txs]
