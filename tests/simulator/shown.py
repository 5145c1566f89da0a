"""The simulator's blocks, transactions, receipts and logs as JSON-RPC shows them."""

from __future__ import annotations

from typing import Any

from tests.simulator.ledger import BLOCK_GAS, Block, Market, Tx

Json = dict[str, Any]
NO_BLOOM = "0x" + "00" * 256


def block_json(block: Block, market: Market, *, full: bool) -> Json:
    shown: Json = {
        "number": hex(block.number),
        "hash": block.hash,
        "parentHash": block.parent_hash,
        "timestamp": hex(block.timestamp),
        "gasLimit": hex(BLOCK_GAS),
        "gasUsed": hex(sum(outcome.gas_used for outcome in block.outcomes)),
        "logsBloom": NO_BLOOM,
        "transactions": [
            transaction_json(tx, (block, index)) if full else tx.hash for index, tx in enumerate(block.txs)
        ],
    }
    if market is not Market.LEGACY:
        shown["baseFeePerGas"] = hex(block.base_fee)
    return shown


def transaction_json(tx: Tx, place: tuple[Block, int] | None) -> Json:
    """A transaction with its block and its place in it, or one that waits."""
    shown: Json = {
        "type": hex(tx.type),
        "hash": tx.hash,
        "blockHash": None if place is None else place[0].hash,
        "blockNumber": None if place is None else hex(place[0].number),
        "transactionIndex": None if place is None else hex(place[1]),
        "from": tx.sender.lower(),
        "to": tx.to and tx.to.lower(),
        "nonce": hex(tx.nonce),
        "gas": hex(tx.gas),
        "gasPrice": hex(tx.fee if place is None else min(tx.fee, place[0].base_fee + tx.tip)),
        "value": hex(tx.value),
        "input": "0x" + tx.data.hex(),
        "chainId": hex(tx.chain_id or 0),
        "r": hex(tx.signed.r),
        "s": hex(tx.signed.s),
        "v": hex(tx.signed.y_parity if tx.type else tx.signed.y_parity + 35 + 2 * (tx.chain_id or 0)),
    }
    if tx.type:
        shown["yParity"] = hex(tx.signed.y_parity)
    if tx.type == 2:
        shown["maxFeePerGas"] = hex(tx.fee)
        shown["maxPriorityFeePerGas"] = hex(tx.tip)
    return shown


def receipt_json(block: Block, index: int) -> Json:
    tx, outcome = block.txs[index], block.outcomes[index]
    return {
        "type": hex(tx.type),
        "transactionHash": tx.hash,
        "transactionIndex": hex(index),
        "blockHash": block.hash,
        "blockNumber": hex(block.number),
        "from": tx.sender.lower(),
        "to": tx.to and tx.to.lower(),
        "contractAddress": outcome.made and outcome.made.lower(),
        "status": hex(outcome.status),
        "gasUsed": hex(outcome.gas_used),
        "cumulativeGasUsed": hex(sum(each.gas_used for each in block.outcomes[: index + 1])),
        "effectiveGasPrice": hex(min(tx.fee, block.base_fee + tx.tip)),
        "logsBloom": NO_BLOOM,
        "logs": [log for log in logs_json(block) if log["transactionIndex"] == hex(index)],
    }


def logs_json(block: Block) -> list[Json]:
    """All logs of a block, numbered within it."""
    logs = [(index, address, event) for index, outcome in enumerate(block.outcomes) for address, event in outcome.logs]
    return [
        {
            "address": address.lower(),
            "topics": ["0x" + topic.hex() for topic in event.topics],
            "data": "0x" + event.data.hex(),
            "blockNumber": hex(block.number),
            "blockHash": block.hash,
            "transactionHash": block.txs[index].hash,
            "transactionIndex": hex(index),
            "logIndex": hex(number),
            "removed": False,
        }
        for number, (index, address, event) in enumerate(logs)
    ]
