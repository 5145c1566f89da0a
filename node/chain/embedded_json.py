"""The embedded chain's blocks, transactions, receipts and logs as JSON-RPC shows them.

Quantities are ``0x`` and hex digits without leading zeros, bytes are ``0x`` and two digits each,
names are in camelCase: what any Ethereum client library expects. Addresses are lower-case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import rlp
from eth.abc import BlockHeaderAPI, SignedTransactionAPI
from eth.constants import BLANK_ROOT_HASH
from eth_hash.auto import keccak

from node.chain.evm import BlockBody, gas_used
from node.chain.merkle import way_to
from node.chain.signer import contract_address

Json = dict[str, Any]


def hex_bytes(value: bytes) -> str:
    return "0x" + value.hex()


def block_json(body: BlockBody, *, full: bool) -> Json:
    """A block; ``full`` gives its transactions whole instead of their hashes."""
    header: Any = body.header  # py-evm types it as the oldest kind of header
    return {
        "number": hex(header.block_number),
        "hash": hex_bytes(header.hash),
        "parentHash": hex_bytes(header.parent_hash),
        "nonce": hex_bytes(header.nonce),
        "sha3Uncles": hex_bytes(header.uncles_hash),
        "logsBloom": hex_bytes(header.bloom.to_bytes(256, "big")),
        "transactionsRoot": hex_bytes(header.transaction_root),
        "stateRoot": hex_bytes(header.state_root),
        "receiptsRoot": hex_bytes(header.receipt_root),
        "miner": hex_bytes(header.coinbase),
        "difficulty": hex(header.difficulty),
        "extraData": hex_bytes(header.extra_data),
        "mixHash": hex_bytes(header.mix_hash),
        "size": hex(len(rlp.encode(body.block))),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "baseFeePerGas": hex(header.base_fee_per_gas),
        "withdrawalsRoot": hex_bytes(header.withdrawals_root),
        "withdrawals": [],
        "blobGasUsed": hex(header.blob_gas_used),
        "excessBlobGas": hex(header.excess_blob_gas),
        "parentBeaconBlockRoot": hex_bytes(header.parent_beacon_block_root),
        "requestsHash": hex_bytes(header.requests_hash),
        "uncles": [],
        "transactions": [
            transaction_json(body, index) if full else hex_bytes(transaction.hash)
            for index, transaction in enumerate(body.transactions)
        ],
    }


def transaction_json(body: BlockBody, index: int) -> Json:
    transaction = body.transactions[index]
    kind = transaction.type_id or 0
    shown: Json = {
        "type": hex(kind),
        "hash": hex_bytes(transaction.hash),
        "blockHash": hex_bytes(body.header.hash),
        "blockNumber": hex(body.header.block_number),
        "transactionIndex": hex(index),
        "from": hex_bytes(transaction.sender),
        "to": hex_bytes(transaction.to) if transaction.to else None,
        "nonce": hex(transaction.nonce),
        "gas": hex(transaction.gas),
        "gasPrice": hex(_effective_price(transaction, body.header)),
        "value": hex(transaction.value),
        "input": hex_bytes(transaction.data),
        "chainId": hex(transaction.chain_id or 0),
        "v": hex(transaction.y_parity),
        "r": hex(transaction.r),
        "s": hex(transaction.s),
    }
    if kind == 0:
        # a legacy signature's v carries the chain id (EIP-155)
        shown["v"] = hex(transaction.y_parity + 35 + 2 * (transaction.chain_id or 0))
        return shown
    shown["yParity"] = hex(transaction.y_parity)
    shown["accessList"] = [
        {"address": hex_bytes(account), "storageKeys": [f"0x{slot:064x}" for slot in slots]}
        for account, slots in transaction.access_list
    ]
    if kind >= 2:
        shown["maxFeePerGas"] = hex(transaction.max_fee_per_gas)
        shown["maxPriorityFeePerGas"] = hex(transaction.max_priority_fee_per_gas)
    return shown


def receipt_json(body: BlockBody, index: int) -> Json:
    transaction, receipt = body.transactions[index], body.receipts[index]
    sender = hex_bytes(transaction.sender)
    return {
        "type": hex(transaction.type_id or 0),
        "transactionHash": hex_bytes(transaction.hash),
        "transactionIndex": hex(index),
        "blockHash": hex_bytes(body.header.hash),
        "blockNumber": hex(body.header.block_number),
        "from": sender,
        "to": hex_bytes(transaction.to) if transaction.to else None,
        "contractAddress": None if transaction.to else contract_address(sender, transaction.nonce).lower(),
        "status": "0x1" if receipt.state_root == b"\x01" else "0x0",
        "gasUsed": hex(gas_used(body.receipts, index)),
        "cumulativeGasUsed": hex(receipt.gas_used),
        "effectiveGasPrice": hex(_effective_price(transaction, body.header)),
        "logsBloom": hex_bytes(receipt.bloom.to_bytes(256, "big")),
        "logs": logs_json(body, index),
    }


def proof_json(nodes: Mapping[bytes, bytes], state_root: bytes, address: bytes, slots: Sequence[int]) -> Json:
    """An account and words of its storage with their Merkle proofs, as EIP-1186 has it; ``nodes`` are the tries'."""
    found, way = way_to(nodes, state_root, keccak(address))
    fields = rlp.decode(found) if found else [b"", b"", BLANK_ROOT_HASH, keccak(b"")]
    nonce, balance, storage_root, code_hash = fields
    return {
        "address": hex_bytes(address),
        "accountProof": [hex_bytes(node) for node in way],
        "balance": hex(int.from_bytes(balance, "big")),
        "codeHash": hex_bytes(code_hash),
        "nonce": hex(int.from_bytes(nonce, "big")),
        "storageHash": hex_bytes(storage_root),
        "storageProof": [_word_json(nodes, storage_root, slot) for slot in slots],
    }


def _word_json(nodes: Mapping[bytes, bytes], storage_root: bytes, slot: int) -> Json:
    found, way = way_to(nodes, storage_root, keccak(slot.to_bytes(32, "big")))
    word = rlp.decode(found) if found else b""
    return {
        "key": f"0x{slot:064x}",
        "value": hex(int.from_bytes(word, "big")),
        "proof": [hex_bytes(node) for node in way],
    }


def logs_json(body: BlockBody, index: int) -> list[Json]:
    """The logs of one transaction, numbered within the block."""
    return [
        {
            "address": hex_bytes(entry.address),
            "topics": [f"0x{topic:064x}" for topic in entry.topics],
            "data": hex_bytes(entry.data),
            "blockNumber": hex(body.header.block_number),
            "blockHash": hex_bytes(body.header.hash),
            "transactionHash": hex_bytes(body.transactions[index].hash),
            "transactionIndex": hex(index),
            "logIndex": hex(body.first_logs[index] + place),
            "removed": False,
        }
        for place, entry in enumerate(body.receipts[index].logs)
    ]


def _effective_price(transaction: SignedTransactionAPI, header: BlockHeaderAPI) -> int:
    offered = (header.base_fee_per_gas or 0) + transaction.max_priority_fee_per_gas
    return min(transaction.max_fee_per_gas, offered)
