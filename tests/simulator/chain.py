"""``Simulator``: a chain in this process that can be told to do everything that chains and endpoints do wrong.

It implements JsonRpc, so a node's flow runs on it as it is; ``served`` (http.py) puts it behind HTTP. What happens
on the chain (mining, forks, drops) is asked of ``ledger`` under ``lock``; what the endpoint does wrong stands in
``faults``.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_utils.address import to_checksum_address

from node.chain import shape
from node.chain.params import Members, Params, block_tag, flag, hash32
from node.chain.transport import (
    EXECUTION_REVERTED,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    SERVER_ERROR,
    Call,
    ChainUnavailable,
    RpcError,
)
from tests.simulator.dialects import ANVIL, Dialect
from tests.simulator.ledger import BLOCK_GAS, Block, Ledger, Market, Unfit
from tests.simulator.programs import NOWHERE, Reverted
from tests.simulator.shown import Json, block_json, logs_json, receipt_json, transaction_json

CHAIN_ID = 31337
SEND = "eth_sendRawTransaction"
TIP = 10**9


@dataclass
class Faults:
    """What the endpoint does wrong, until it is told otherwise.

    ``down``: it answers nothing (429). ``cut``: of each batch so many calls take effect, then the connection breaks.
    ``swallow``: it takes transactions, says so and forgets them. ``delay``: no block takes what is sent.
    ``shuffle``: the sends of a batch take effect in another order. ``blind``: transactions that are mined have no
    receipt. ``stale``: a transaction that a fork took out still has the receipt of the block that was. ``behind``: all
    that is read is so many blocks old.
    """

    down: bool = False
    cut: int | None = None
    swallow: bool = False
    delay: bool = False
    shuffle: random.Random | None = None
    blind: bool = False
    stale: bool = False
    behind: int = 0


class TooMany(ChainUnavailable):
    """The endpoint would answer 429."""


class Cut(ChainUnavailable):
    """The connection breaks within the answer; ``answers`` had been given until then."""

    def __init__(self, answers: list[Any], count: int) -> None:
        super().__init__(f"the simulator answered {len(answers)} of {count} calls")
        self.answers = answers


@dataclass
class Simulator:
    """``automine``: every batch with a transaction in it is mined at once. Threads may share it."""

    dialect: Dialect = ANVIL
    market: Market = Market.FEES
    chain_id: int = CHAIN_ID
    automine: bool = True
    faults: Faults = field(default_factory=Faults)
    asked: int = 0

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.ledger = Ledger(
            self.chain_id,
            self.market,
            queues_gaps=self.dialect.queues_gaps,
            waits_for_base_fee=self.dialect.waits_for_base_fee,
        )

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        """See JsonRpc."""
        with self.lock:
            self.asked += 1
            if self.faults.down:
                raise TooMany("the simulator answered HTTP 429")
            cut = self.faults.cut
            answers = self._answers(calls if cut is None else calls[:cut])
            if cut is not None:
                raise Cut(answers, len(calls))
            return answers

    def close(self) -> None:
        """Nothing is held."""

    def heal(self) -> None:
        """Nothing is wrong from now on, and what was delayed is mined with the next block."""
        with self.lock:
            self.faults = Faults()
            self.ledger.held.clear()

    def _answers(self, calls: Sequence[Call]) -> list[Any]:
        places = list(range(len(calls)))
        if self.faults.shuffle is not None and all(method == SEND for method, _ in calls):
            self.faults.shuffle.shuffle(places)
        answers: list[Any] = [None] * len(calls)
        for place in places:
            answers[place] = self._answer(*calls[place])
        if self.automine and any(method == SEND for method, _ in calls):
            self.ledger.mine()
        return answers

    def _answer(self, method: str, params: Any) -> Any:
        handler = _METHODS.get(method)
        if handler is None or (method == "eth_maxPriorityFeePerGas" and self.market is Market.LEGACY):
            return RpcError(METHOD_NOT_FOUND, f"the method {method} does not exist/is not available")
        try:
            return handler(self, Params(params))
        except RpcError as error:
            return error

    # --- sending

    def _send(self, params: Params) -> Any:
        raw = params.take("transaction", shape.data)
        waiting = dict(self.ledger.pool)
        try:
            tx = self.ledger.add(raw)
        except Unfit as unfit:
            raise self.dialect.refusal(unfit) from None
        if self.faults.swallow:
            self.ledger.pool = waiting
        if self.faults.delay:
            self.ledger.held.add(tx.hash)
        return tx.hash

    # --- the chain and its blocks

    def _chain_id(self, _: Params) -> str:
        return hex(self.chain_id)

    def _client_version(self, _: Params) -> str:
        return f"simulator/{self.dialect.name}"

    def _net_version(self, _: Params) -> str:
        return str(self.chain_id)

    def _seen(self) -> list[Block]:
        """The canonical chain as far as this endpoint has it."""
        blocks = self.ledger.canonical
        return blocks[: max(1, len(blocks) - self.faults.behind)]

    def _block_number(self, _: Params) -> str:
        return hex(self._seen()[-1].number)

    def _block(self, tag: int | str) -> Block | None:
        seen = self._seen()
        if isinstance(tag, int):
            return seen[tag] if tag < len(seen) else None
        return seen[0] if tag == "earliest" else seen[-1]

    def _block_by_number(self, params: Params) -> Json | None:
        found = self._block(params.take("block number", block_tag))
        full = params.take("full transactions", flag, False)
        return None if found is None else block_json(found, self.market, full=full)

    def _block_by_hash(self, params: Params) -> Json | None:
        found = self.ledger.blocks.get("0x" + params.take("block hash", hash32).hex())
        full = params.take("full transactions", flag, False)
        return None if found is None else block_json(found, self.market, full=full)

    def _transaction_by_hash(self, params: Params) -> Json | None:
        tx_hash = "0x" + params.take("transaction hash", hash32).hex()
        place = self._place(tx_hash)
        if place is not None:
            return transaction_json(place[0].txs[place[1]], place)
        waiting = self.ledger.waiting(tx_hash)
        return None if waiting is None else transaction_json(waiting, None)

    def _transaction_receipt(self, params: Params) -> Json | None:
        tx_hash = "0x" + params.take("transaction hash", hash32).hex()
        place = None if self.faults.blind else self._place(tx_hash)
        if place is None and self.faults.stale:
            place = next(iter(self.ledger.places.get(tx_hash, [])), None)
        return None if place is None else receipt_json(*place)

    def _place(self, tx_hash: str) -> tuple[Block, int] | None:
        place = self.ledger.place(tx_hash)
        return place if place is not None and place[0].number < len(self._seen()) else None

    # --- accounts and state

    def _state_block(self, params: Params) -> Block:
        found = self._block(params.take("block", block_tag, "latest"))
        if found is None:
            raise RpcError(SERVER_ERROR, "header not found")
        return found

    def _transaction_count(self, params: Params) -> str:
        account = params.take("address", _address)
        tag = params.take("block", block_tag, "latest")
        found = self._block(tag)
        if found is None:
            raise RpcError(SERVER_ERROR, "header not found")
        nonce = found.state.nonces.get(account, 0)
        while tag == "pending" and (account, nonce) in self.ledger.pool:
            nonce += 1
        return hex(nonce)

    def _balance(self, params: Params) -> str:
        account = params.take("address", _address)
        return hex(self._state_block(params).state.balances.get(account, 0))

    def _code(self, params: Params) -> str:
        account = params.take("address", _address)
        program = self._state_block(params).state.programs.get(account)
        return "0x" if program is None else "0x" + program.code.hex()

    def _call(self, params: Params) -> str:
        member = Members(params.take("call", shape.obj))
        block = self._state_block(params)
        data = member.take("input", shape.data, None) or member.take("data", shape.data, b"")
        program = block.state.programs.get(member.take("to", _address, NOWHERE))
        if program is None:
            return "0x"
        try:
            output, _ = program.copy().call(member.take("from", _address, NOWHERE), data)
        except Reverted as reverted:
            raise RpcError(EXECUTION_REVERTED, "execution reverted", "0x" + reverted.data.hex()) from None
        return "0x" + output.hex()

    def _gas_price(self, _: Params) -> str:
        if self.market is Market.LEGACY:
            return hex(self.ledger.gas_price_min)
        return hex(self.ledger.base_fee + TIP if self.market is Market.FEES else 0)

    def _priority_fee(self, _: Params) -> str:
        return hex(TIP if self.market is Market.FEES else 0)

    def _estimate(self, _: Params) -> str:
        return hex(BLOCK_GAS // 2)

    # --- logs

    def _logs(self, params: Params) -> list[Json]:
        member = Members(params.take("filter", shape.obj))
        address = member.take("address", _address, None)
        wanted = [_choices(each) for each in member.take("topics", shape.array, [])]
        first, last = (
            tag if isinstance(tag, int) else {"earliest": 0}.get(tag, self._seen()[-1].number)
            for tag in (member.take("fromBlock", block_tag, "latest"), member.take("toBlock", block_tag, "latest"))
        )
        if first > last:
            raise RpcError(INVALID_PARAMS, f"invalid block range params: {first} to {last}")
        return [
            log
            for block in self._seen()[first : last + 1]
            for log in logs_json(block)
            if (address is None or log["address"] == address.lower()) and _matches(log["topics"], wanted)
        ]


def _address(value: Any) -> str:
    return to_checksum_address(shape.account(value))


def _choices(value: Any) -> list[str] | None:
    if value is None:
        return None
    return [("0x" + hash32(each).hex()) for each in (value if isinstance(value, list) else [value])]


def _matches(topics: list[str], wanted: list[list[str] | None]) -> bool:
    return len(wanted) <= len(topics) and all(
        choices is None or topic in choices for topic, choices in zip(topics, wanted, strict=False)
    )


_METHODS: dict[str, Callable[[Simulator, Params], Any]] = {
    SEND: Simulator._send,
    "web3_clientVersion": Simulator._client_version,
    "net_version": Simulator._net_version,
    "eth_chainId": Simulator._chain_id,
    "eth_blockNumber": Simulator._block_number,
    "eth_getBlockByNumber": Simulator._block_by_number,
    "eth_getBlockByHash": Simulator._block_by_hash,
    "eth_getTransactionByHash": Simulator._transaction_by_hash,
    "eth_getTransactionReceipt": Simulator._transaction_receipt,
    "eth_getTransactionCount": Simulator._transaction_count,
    "eth_getBalance": Simulator._balance,
    "eth_getCode": Simulator._code,
    "eth_call": Simulator._call,
    "eth_estimateGas": Simulator._estimate,
    "eth_gasPrice": Simulator._gas_price,
    "eth_maxPriorityFeePerGas": Simulator._priority_fee,
    "eth_getLogs": Simulator._logs,
}
