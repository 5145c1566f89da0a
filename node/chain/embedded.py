"""``EmbeddedChain``: JSON-RPC in the process, over the chain of evm.py.

It answers with the values that a public node would answer with, so the same object serves the
node's own flow and, over HTTP, auditors with any client library. What strangers may ask is
READ_METHODS; sending is for the node.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from eth.abc import BlockHeaderAPI
from eth_typing import Address

from node.chain import shape
from node.chain.embedded_json import block_json, hex_bytes, logs_json, proof_json, receipt_json, transaction_json
from node.chain.evm import (
    BASE_FEE_PER_GAS,
    DEFAULT_CHAIN_ID,
    TRANSACTION_GAS_MAX,
    CallFailed,
    EvmLedger,
    Refused,
)
from node.chain.ledger_db import LedgerError, funded_in
from node.chain.log_filter import any_of, matches, may_hold, topic_filter
from node.chain.params import Members, Params, block_tag, flag, hash32
from node.chain.transport import (
    EXECUTION_REVERTED,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    LIMIT_EXCEEDED,
    METHOD_NOT_FOUND,
    SERVER_ERROR,
    Call,
    ChainUnavailable,
    RpcError,
)

__all__ = ["DEFAULT_CHAIN_ID", "READ_METHODS", "SEND_METHOD", "EmbeddedChain", "LedgerError"]

LOGS_MAX = 10_000
LOG_BLOCKS_MAX = 10_000
CALL_BYTES_MAX = 1024 * 1024
PROOF_SLOTS_MAX = 100
SEND_METHOD = "eth_sendRawTransaction"
NOBODY = bytes(20)

log = logging.getLogger(__name__)


class EmbeddedChain:
    """A whole chain in one file. Implements JsonRpc; threads may share it.

    ``funded`` is the node's signer, which owns everything at genesis. Raises LedgerError if the
    file is open elsewhere or is another account's or chain id's.
    """

    def __init__(
        self,
        path: Path,
        *,
        funded: str,
        chain_id: int = DEFAULT_CHAIN_ID,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = EvmLedger(path, funded=funded, chain_id=chain_id, now=now)
        self._closed = False

    @classmethod
    def existing(cls, path: Path) -> EmbeddedChain:
        """The chain in a file that must be there, whoever owns everything on it."""
        funded = funded_in(path)
        if funded is None:
            raise LedgerError(f"the chain's file {path} is not there, or holds no chain")
        return cls(path, funded=funded)

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        """See JsonRpc. Calls are answered in their order; neighbouring sends are mined together."""
        answers: list[Any] = []
        while len(answers) < len(calls):
            method, params = calls[len(answers)]
            if method == SEND_METHOD:
                answers += self._send(_run_of_sends(calls, len(answers)))
            else:
                answers.append(self._answer(method, params))
        return answers

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._ledger.close()

    def _answer(self, method: str, params: Any) -> Any:
        handler = _METHODS.get(method)
        if handler is None:
            return RpcError(METHOD_NOT_FOUND, f"the method {method} does not exist/is not available")
        if not isinstance(params, list):
            return RpcError(INVALID_PARAMS, f"params: want an array, got {shape.shown(params)}")
        if self._closed:
            raise ChainUnavailable("the embedded chain is closed")
        try:
            return handler(self, Params(params))
        except RpcError as error:
            return error
        except sqlite3.Error as error:
            raise ChainUnavailable(f"the embedded chain's file can't be read: {error}") from error
        except Exception:
            log.exception("%s failed", method)
            return RpcError(INTERNAL_ERROR, "internal error")

    def _send(self, params: Sequence[Any]) -> list[Any]:
        answers: list[Any] = []
        raws: list[bytes] = []
        for each in params:
            try:
                raws.append(Params(each).take("transaction", shape.data))
                answers.append(None)
            except RpcError as error:
                answers.append(error)
        if self._closed:
            raise ChainUnavailable("the embedded chain is closed")
        try:
            outcomes = iter(self._ledger.mine(raws))
        except sqlite3.Error as error:
            raise ChainUnavailable(f"the embedded chain's file can't be written: {error}") from error
        for place, answer in enumerate(answers):
            if answer is None:
                outcome = next(outcomes)
                answers[place] = (
                    RpcError(SERVER_ERROR, str(outcome)) if isinstance(outcome, Refused) else hex_bytes(outcome)
                )
        return answers

    # --- the chain and its blocks

    def _client_version(self, _: Params) -> str:
        return "VTrace/embedded"

    def _net_version(self, _: Params) -> str:
        return str(self._ledger.chain_id)

    def _chain_id(self, _: Params) -> str:
        return hex(self._ledger.chain_id)

    def _block_number(self, _: Params) -> str:
        return hex(self._ledger.head().block_number)

    def _block_by_number(self, params: Params) -> Any:
        header = self._header(params.take("block number", block_tag))
        full = params.take("full transactions", flag, False)
        return None if header is None else block_json(self._ledger.body(header.block_number), full=full)

    def _block_by_hash(self, params: Params) -> Any:
        header = self._ledger.header_of(params.take("block hash", hash32))
        full = params.take("full transactions", flag, False)
        return None if header is None else block_json(self._ledger.body(header.block_number), full=full)

    def _transaction_by_hash(self, params: Params) -> Any:
        found = self._ledger.find(params.take("transaction hash", hash32))
        return None if found is None else transaction_json(self._ledger.body(found[0]), found[1])

    def _transaction_receipt(self, params: Params) -> Any:
        found = self._ledger.find(params.take("transaction hash", hash32))
        return None if found is None else receipt_json(self._ledger.body(found[0]), found[1])

    def _block_receipts(self, params: Params) -> Any:
        header = self._header(params.take("block", block_tag))
        if header is None:
            return None
        body = self._ledger.body(header.block_number)
        return [receipt_json(body, index) for index in range(len(body.receipts))]

    # --- accounts and state

    def _transaction_count(self, params: Params) -> str:
        account = Address(params.take("address", shape.account))
        return hex(self._ledger.state(self._state_header(params)).get_nonce(account))

    def _balance(self, params: Params) -> str:
        account = Address(params.take("address", shape.account))
        return hex(self._ledger.state(self._state_header(params)).get_balance(account))

    def _code(self, params: Params) -> str:
        account = Address(params.take("address", shape.account))
        return hex_bytes(self._ledger.state(self._state_header(params)).get_code(account))

    def _storage_at(self, params: Params) -> str:
        account = Address(params.take("address", shape.account))
        slot = params.take("slot", shape.quantity)
        return f"0x{self._ledger.state(self._state_header(params)).get_storage(account, slot):064x}"

    def _proof(self, params: Params) -> Any:
        account = params.take("address", shape.account)
        slots = params.take("slots", _slots)
        return proof_json(self._ledger.nodes, self._state_header(params).state_root, account, slots)

    def _call(self, params: Params) -> str:
        call = params.take("call", shape.obj)
        header = self._state_header(params)
        if params.more():
            raise RpcError(INVALID_PARAMS, "state and block overrides are not available")
        member = Members(call)
        data = member.take("input", shape.data, None)
        if data is None:
            data = member.take("data", shape.data, b"")
        if len(data) > CALL_BYTES_MAX:
            raise RpcError(INVALID_PARAMS, f"data: want at most {CALL_BYTES_MAX} bytes, got {len(data)}")
        try:
            return hex_bytes(
                self._ledger.call(
                    header,
                    sender=member.take("from", shape.account, NOBODY),
                    to=member.take("to", shape.account, b""),
                    data=data,
                    value=member.take("value", shape.quantity, 0),
                    gas=member.take("gas", shape.quantity, TRANSACTION_GAS_MAX),
                )
            )
        except Refused as refused:
            raise RpcError(SERVER_ERROR, str(refused)) from None
        except CallFailed as failed:
            if failed.data is None:
                raise RpcError(SERVER_ERROR, str(failed)) from None
            raise RpcError(EXECUTION_REVERTED, str(failed), hex_bytes(failed.data)) from None

    def _gas_price(self, _: Params) -> str:
        return hex(BASE_FEE_PER_GAS)

    def _priority_fee(self, _: Params) -> str:
        return "0x0"

    # --- logs

    def _logs(self, params: Params) -> list[Any]:
        query = params.take("filter", shape.obj)
        member = Members(query)
        addresses = any_of(query.get("address"), shape.account, "address")
        topics = topic_filter(query.get("topics"))
        found: list[Any] = []
        for header in self._headers(member):
            if not may_hold(header.bloom, (addresses, *topics)):
                continue
            body = self._ledger.body(header.block_number)
            for index, receipt in enumerate(body.receipts):
                if not may_hold(receipt.bloom, (addresses, *topics)):
                    continue
                shown = logs_json(body, index)
                found += [
                    each for each, entry in zip(shown, receipt.logs, strict=True) if matches(entry, addresses, topics)
                ]
                if len(found) > LOGS_MAX:
                    raise RpcError(LIMIT_EXCEEDED, f"query returned more than {LOGS_MAX} results")
        return found

    def _headers(self, member: Members) -> Iterator[BlockHeaderAPI]:
        """The headers of the blocks that a log filter names, in ascending order."""
        block_hash = member.take("blockHash", hash32, None)
        if block_hash is not None:
            header = self._ledger.header_of(block_hash)
            if header is None:
                raise RpcError(SERVER_ERROR, "unknown block")
            yield header
            return
        head = self._ledger.head().block_number
        first, last = (
            tag if isinstance(tag, int) else {"earliest": 0}.get(tag, head)
            for tag in (
                member.take("fromBlock", block_tag, "latest"),
                member.take("toBlock", block_tag, "latest"),
            )
        )
        if first > last:
            raise RpcError(INVALID_PARAMS, f"invalid block range params: {first} to {last}")
        last = min(last, head)
        if last - first >= LOG_BLOCKS_MAX:
            raise RpcError(LIMIT_EXCEEDED, f"query spans more than {LOG_BLOCKS_MAX} blocks")
        for number in range(first, last + 1):
            header = self._ledger.header_at(number)
            if header is None:
                raise AssertionError(f"the chain has no block {number} below its head")
            yield header

    # --- which block

    def _header(self, tag: int | str) -> BlockHeaderAPI | None:
        if isinstance(tag, int):
            return self._ledger.header_at(tag)
        return self._ledger.header_at(0) if tag == "earliest" else self._ledger.head()

    def _state_header(self, params: Params) -> BlockHeaderAPI:
        header = self._header(params.take("block", block_tag, "latest"))
        if header is None:
            raise RpcError(SERVER_ERROR, "header not found")
        return header


def _slots(value: Any) -> list[int]:
    slots = shape.array(value)
    if len(slots) > PROOF_SLOTS_MAX:
        raise shape.ShapeError(f"want at most {PROOF_SLOTS_MAX} slots, got {len(slots)}")
    return [shape.quantity(slot) for slot in slots]


def _run_of_sends(calls: Sequence[Call], start: int) -> list[Any]:
    """The params of the sends that stand at ``start`` and right behind it."""
    run: list[Any] = []
    for method, params in calls[start:]:
        if method != SEND_METHOD:
            break
        run.append(params)
    return run


_METHODS: dict[str, Callable[[EmbeddedChain, Params], Any]] = {
    "web3_clientVersion": EmbeddedChain._client_version,
    "net_version": EmbeddedChain._net_version,
    "eth_chainId": EmbeddedChain._chain_id,
    "eth_blockNumber": EmbeddedChain._block_number,
    "eth_getBlockByNumber": EmbeddedChain._block_by_number,
    "eth_getBlockByHash": EmbeddedChain._block_by_hash,
    "eth_getTransactionByHash": EmbeddedChain._transaction_by_hash,
    "eth_getTransactionReceipt": EmbeddedChain._transaction_receipt,
    "eth_getBlockReceipts": EmbeddedChain._block_receipts,
    "eth_getTransactionCount": EmbeddedChain._transaction_count,
    "eth_getBalance": EmbeddedChain._balance,
    "eth_getCode": EmbeddedChain._code,
    "eth_getStorageAt": EmbeddedChain._storage_at,
    "eth_getProof": EmbeddedChain._proof,
    "eth_call": EmbeddedChain._call,
    "eth_gasPrice": EmbeddedChain._gas_price,
    "eth_maxPriorityFeePerGas": EmbeddedChain._priority_fee,
    "eth_getLogs": EmbeddedChain._logs,
}

READ_METHODS: frozenset[str] = frozenset(_METHODS)
"""What changes nothing, and so may be answered to anybody."""
