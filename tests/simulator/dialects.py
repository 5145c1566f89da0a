"""How a refused transaction is worded, by the clients that node/chain/wordings.py knows."""

from __future__ import annotations

from dataclasses import dataclass, field

from node.chain.transport import SERVER_ERROR, RpcError
from tests.simulator.ledger import Unfit


@dataclass(frozen=True, slots=True)
class Dialect:
    """``queues_gaps``: the pool keeps what comes too early; ``waits_for_base_fee``: and what offers too little now."""

    name: str
    queues_gaps: bool
    waits_for_base_fee: bool
    wordings: dict[str, str] = field(repr=False)

    def refusal(self, unfit: Unfit) -> RpcError:
        wording = self.wordings.get(unfit.why) or _GETH[unfit.why]
        return RpcError(SERVER_ERROR, wording.format(**unfit.values))


_GETH = {
    "known": "already known",
    "nonce_low": "nonce too low: next nonce {next}, tx nonce {nonce}",
    "nonce_high": "nonce too high: next nonce {next}, tx nonce {nonce}",
    "funds": "insufficient funds for gas * price + value: balance {balance}, tx cost {cost}",
    "tip": "max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: {tip}, maxFeePerGas: {fee}",
    "underpriced": "transaction underpriced: gas price {fee}, minimum needed {wanted}",
    "replacement": "replacement transaction underpriced",
    "gas_low": "intrinsic gas too low: gas {gas}, minimum needed {needed}",
    "gas_high": "transaction gas limit too high (cap: {cap}, tx: {gas})",
    "chain_id": "invalid chain id for signer: have {have} want {want}",
    "type": "transaction type not supported",
    "rubbish": "typed transaction too short",
}
GETH = Dialect("geth", True, True, _GETH)
BESU = Dialect(
    "besu",
    True,
    True,
    {
        "known": "Known transaction",
        "nonce_low": "Nonce too low",
        "nonce_high": "Nonce too distant from current sender nonce",
        "funds": "Upfront cost exceeds account balance",
        "underpriced": "Gas price below configured minimum gas price",
        "replacement": "Replacement transaction underpriced",
        "gas_low": "Intrinsic gas exceeds gas limit",
        "gas_high": "Transaction gas limit exceeds block gas limit",
        "chain_id": "Transaction signer chain id mismatch",
        "rubbish": "Invalid transaction",
    },
)
ANVIL = Dialect(
    "anvil",
    True,
    False,
    {
        "known": "transaction already imported",
        "nonce_low": "nonce too low",
        "funds": "Insufficient funds for gas * price + value",
        "underpriced": "max fee per gas less than block base fee",
        "gas_high": "intrinsic gas too high -- tx.gas_limit > env.cfg.tx_gas_limit_cap",
        "rubbish": "Failed to decode transaction",
    },
)
HARDHAT = Dialect(
    "hardhat",
    False,
    False,
    {
        "known": "Known transaction: {hash}",
        "nonce_low": "Nonce too low. Expected nonce to be {next} but got {nonce}.",
        "nonce_high": "Nonce too high. Expected nonce to be {next} but got {nonce}. Note that transactions can't be "
        "queued when automining.",
        "funds": "Sender doesn't have enough funds to send tx. The max upfront cost is: {cost}",
        "underpriced": "Transaction maxFeePerGas ({fee}) is too low for the next block, which has a baseFeePerGas of "
        "{wanted}",
        "replacement": "Replacement transaction underpriced. A gasPrice/maxFeePerGas of at least {wanted} is necessary "
        "to replace the existing transaction with nonce {nonce}.",
        "gas_low": "Transaction requires at least {needed} gas but got {gas}",
        "gas_high": "Transaction gas limit is {gas} and exceeds transaction gas cap of {cap}",
        "rubbish": "Invalid transaction",
    },
)
DIALECTS = (GETH, BESU, ANVIL, HARDHAT)
