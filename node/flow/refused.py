"""Why the contract refused a transaction, told afterwards."""

from __future__ import annotations

from node.chain import contract, signer
from node.chain.gas import GAS_MAX
from node.chain.rpc import CallReverted, Chain, ChainUnavailable, Receipt
from node.domain.records import OutboxTx

UNTOLD = "the contract refused it; the chain does not tell why any more"


def why(chain: Chain, address: str, tx: OutboxTx, receipt: Receipt) -> str:
    """The contract's own error, from calling it again on the state before the block, then on that after it.

    Neither need be the state that the transaction met, which may have been changed within its block; a call that
    is taken on both leaves the reason untold.
    """
    data = signer.call_data(tx.raw)
    for number in (receipt.block_number - 1, receipt.block_number):
        try:
            chain.call(address, data, number)
        except CallReverted as refusal:
            return f"the contract refused it: {contract.decode_error(refusal.data)}"
        except ChainUnavailable:
            continue
    if receipt.gas_used >= GAS_MAX:
        return f"it ran out of gas after {receipt.gas_used}"
    return UNTOLD
