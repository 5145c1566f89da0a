"""``Chain``: typed questions to a chain, over any ``JsonRpc``.

Hashes are ``0x`` + 64 lower-case hex digits, addresses are checksummed, amounts are in wei,
timestamps in seconds since 1970. Every answer is checked for its shape; whatever can't be
understood, or answers another question than was asked, is ChainUnavailable. A block is named
by its number or by ``latest``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from node.chain import shape
from node.chain.answers import (
    Block,
    BlockHashes,
    Log,
    Outcome,
    Receipt,
    Transaction,
    maybe,
    read_block,
    read_block_hashes,
    read_logs,
    read_outcome,
    read_receipt,
    read_sent_to,
    read_takers,
    read_transaction,
)
from node.chain.fees import Fees
from node.chain.keccak import keccak
from node.chain.transport import METHOD_NOT_FOUND, Call, ChainUnavailable, HttpRpc, JsonRpc, RpcError
from node.chain.wordings import (
    RefusalKind,
    SendRefusal,
    is_already_known,
    is_failed_call,
    is_too_many,
    refusal_of,
    revert_data,
)

__all__ = [
    "Block",
    "BlockHashes",
    "CallReverted",
    "Chain",
    "ChainUnavailable",
    "Fees",
    "HttpRpc",
    "JsonRpc",
    "Log",
    "Look",
    "Outcome",
    "Receipt",
    "RefusalKind",
    "RpcError",
    "SendRefusal",
    "Topic",
    "Transaction",
]

T = TypeVar("T")
L = TypeVar("L", Log, Outcome)


@dataclass(frozen=True, slots=True)
class Look:
    """The chain at one moment: its newest block, the next nonces of accounts, and the block at a height."""

    head: Block
    nonces: tuple[int, ...]
    block: Block | None


Topic = bytes | Sequence[bytes] | None
"""A place in a log filter: one topic of 32 bytes, any of several, or whatever (None)."""


class CallReverted(Exception):
    """A call was executed and failed. ``data`` is what the contract gave as the reason, or empty."""

    def __init__(self, data: bytes, message: str = "execution reverted") -> None:
        super().__init__(message if not data else f"{message}: 0x{data.hex()}")
        self.data = data


class Chain:
    """A chain as the node's flow sees it. Holds no state but its JsonRpc; threads may share it."""

    def __init__(self, rpc: JsonRpc) -> None:
        self._rpc = rpc

    # --- blocks

    def chain_id(self) -> int:
        return self._one("eth_chainId", [], shape.quantity)

    def head(self) -> Block:
        """The newest block."""
        return self._one("eth_getBlockByNumber", ["latest", False], read_block)

    def block(self, number: int) -> Block | None:
        """The block at a height, or None if the chain isn't so high."""
        return self.blocks([number])[0]

    def blocks(self, numbers: Sequence[int]) -> list[Block | None]:
        """The blocks at these heights, each None if the chain isn't so high."""
        found = self._many("eth_getBlockByNumber", [[hex(number), False] for number in numbers], maybe(read_block))
        for want, block in zip(numbers, found, strict=True):
            if block is not None:
                _check_number(block, want)
        return found

    def block_hashes(self, from_block: int, to_block: int) -> list[BlockHashes]:
        """The blocks from ``from_block`` on, with the hashes of their transactions.

        At least one block, and fewer than asked for where the endpoint finds all of them too much.
        """
        numbers = range(from_block, to_block + 1)
        found: list[BlockHashes] = []
        answers = self._rpc.batch([("eth_getBlockByNumber", [hex(number), False]) for number in numbers])
        for number, answer in zip(numbers, answers, strict=True):
            if found and isinstance(answer, RpcError) and is_too_many(answer):
                break
            read = self._read("eth_getBlockByNumber", answer, read_block_hashes)
            _check_number(read.block, number)
            found.append(read)
        return found

    def sent_to(self, address: str, blocks: Sequence[int]) -> list[Transaction]:
        """The transactions of the blocks with these numbers that go to ``address``, reverted ones too."""
        found: list[Transaction] = []
        answers = self._rpc.batch([("eth_getBlockByNumber", [hex(number), True]) for number in blocks])
        for place, (number, answer) in enumerate(zip(blocks, answers, strict=True)):
            if place and isinstance(answer, RpcError) and is_too_many(answer):
                return found + self.sent_to(address, blocks[place:])
            block, sent = self._read("eth_getBlockByNumber", answer, lambda value: read_sent_to(value, address))
            _check_number(block, number)
            found += sent
        return found

    def look(self, accounts: Sequence[str], number: int) -> Look:
        """In one batch: the newest block, the mined transactions of accounts, and the block at a height."""
        by_number = [("eth_getBlockByNumber", [tag, False]) for tag in ("latest", hex(number))]
        counts = [("eth_getTransactionCount", [account, "latest"]) for account in accounts]
        newest, at, *nonces = self._rpc.batch([*by_number, *counts])
        block = self._read("eth_getBlockByNumber", at, maybe(read_block))
        if block is not None:
            _check_number(block, number)
        return Look(
            self._read("eth_getBlockByNumber", newest, read_block),
            tuple(self._read("eth_getTransactionCount", nonce, shape.quantity) for nonce in nonces),
            block,
        )

    # --- transactions

    def send(self, raws: Sequence[bytes]) -> list[SendRefusal | None]:
        """Hand over signed transactions in their order; None for each that the chain has now.

        Sending twice is harmless. Chains differ in what they say of a transaction that they
        have: in the pool it is "already known", once mined often "nonce too low", and Hardhat
        answers the failure of a transaction that it did mine. So after a refusal the chain is
        asked whether it knows the very hash, and that answer counts.

        An endpoint that works on the calls of a batch at the same time takes them in any order
        (Hardhat does). Those that came too early are handed over again, one by one.
        """
        hashes = ["0x" + keccak(raw).hex() for raw in raws]
        refusals = self._hand_over(raws, hashes)
        early = [
            place
            for place, refusal in enumerate(refusals)
            if refusal is not None and refusal.kind is RefusalKind.NONCE_TOO_HIGH
        ]
        if len(early) < len(raws):
            for place in early:
                refusals[place : place + 1] = self._hand_over([raws[place]], [hashes[place]])
                if refusals[place] is not None:
                    break  # a gap, not haste
        return refusals

    def _hand_over(self, raws: Sequence[bytes], hashes: Sequence[str]) -> list[SendRefusal | None]:
        answers = self._rpc.batch([("eth_sendRawTransaction", ["0x" + raw.hex()]) for raw in raws])
        refusals: list[SendRefusal | None] = []
        for tx_hash, answer in zip(hashes, answers, strict=True):
            if isinstance(answer, RpcError):
                refusals.append(None if is_already_known(answer) else refusal_of(answer))
                continue
            told = self._read("eth_sendRawTransaction", answer, shape.hash32)
            if told != tx_hash:
                raise ChainUnavailable(f"eth_sendRawTransaction: answered hash {told}, want {tx_hash}")
            refusals.append(None)
        doubtful = [place for place, refusal in enumerate(refusals) if refusal is not None]
        if doubtful:
            known = self.transactions([hashes[place] for place in doubtful])
            for place, transaction in zip(doubtful, known, strict=True):
                if transaction is not None:
                    refusals[place] = None
        return refusals

    def receipts(self, hashes: Sequence[str]) -> list[Receipt | None]:
        """For each transaction hash its receipt, or None while it isn't mined or isn't known."""
        return self._receipts(hashes, read_receipt)

    def outcomes(self, hashes: Sequence[str]) -> list[Receipt | None]:
        """The receipts, their logs left out."""
        return self._receipts(hashes, read_outcome)

    def _receipts(self, hashes: Sequence[str], read: Callable[[Any], Receipt]) -> list[Receipt | None]:
        found = self._many("eth_getTransactionReceipt", [[tx_hash] for tx_hash in hashes], maybe(read))
        for want, receipt in zip(hashes, found, strict=True):
            if receipt is not None and receipt.tx_hash != want.lower():
                raise ChainUnavailable(f"eth_getTransactionReceipt: answered {receipt.tx_hash}, want {want}")
        return found

    def transactions(self, hashes: Sequence[str]) -> list[Transaction | None]:
        """For each hash the transaction, mined or waiting, or None if the chain doesn't know it."""
        params = [[tx_hash] for tx_hash in hashes]
        found = self._many("eth_getTransactionByHash", params, maybe(read_transaction))
        for want, transaction in zip(hashes, found, strict=True):
            if transaction is not None and transaction.hash != want.lower():
                raise ChainUnavailable(f"eth_getTransactionByHash: answered {transaction.hash}, want {want}")
        return found

    def logs(self, address: str | None, topics: Sequence[Topic], from_block: int, to_block: int) -> list[Log]:
        """The logs of blocks ``from_block`` to ``to_block``, both included, in the chain's order.

        Where an endpoint limits how much it answers, the range is halved and asked for in pieces.
        Logs that the filter doesn't let through are left out, whatever the endpoint thinks of it
        (Anvil gives logs with fewer topics than the filter has places).
        """
        found = self._logs(address, topics, from_block, to_block, read_logs)
        asked = [log for log in found if _is_asked_for(log, address, topics)]
        return sorted(asked, key=lambda log: (log.block_number, log.log_index))

    def takers(self, address: str, topic: bytes, from_block: int, to_block: int) -> list[Outcome]:
        """The transactions of these blocks in which the contract at ``address`` gave an event: they were successful.

        Far less to read than a receipt of each. A transaction with several such events is there several times.
        """
        read = partial(read_takers, address=address, topic=topic)
        return self._logs(address, [topic], from_block, to_block, read)

    def _logs(
        self,
        address: str | None,
        topics: Sequence[Topic],
        from_block: int,
        to_block: int,
        read: Callable[[Any], Sequence[L]],
    ) -> list[L]:
        if from_block > to_block:
            return []
        query: dict[str, Any] = {
            "fromBlock": hex(from_block),
            "toBlock": hex(to_block),
            "topics": [_topic(topic) for topic in topics],
        }
        if address is not None:
            query["address"] = address
        (answer,) = self._rpc.batch([("eth_getLogs", [query])])
        if isinstance(answer, RpcError) and from_block < to_block and is_too_many(answer):
            middle = (from_block + to_block) // 2
            lower = self._logs(address, topics, from_block, middle, read)
            return lower + self._logs(address, topics, middle + 1, to_block, read)
        found = self._read("eth_getLogs", answer, read)
        for log in found:
            if not from_block <= log.block_number <= to_block:
                raise ChainUnavailable(
                    f"eth_getLogs: answered a log of block {log.block_number}, want {from_block} to {to_block}"
                )
        return list(found)

    # --- accounts and state

    def transaction_count(self, address: str, block: int | str = "latest") -> int:
        """The next nonce of an account; at ``pending`` it counts the waiting ones as well."""
        return self._one("eth_getTransactionCount", [address, _tag(block)], shape.quantity)

    def balance(self, address: str) -> int:
        """Wei."""
        return self._one("eth_getBalance", [address, "latest"], shape.quantity)

    def balances(self, addresses: Sequence[str]) -> list[int]:
        """Wei."""
        return self._many("eth_getBalance", [[address, "latest"] for address in addresses], shape.quantity)

    def code(self, address: str, block: int | str = "latest") -> bytes:
        """The runtime bytecode of a contract; empty if there is none."""
        return self._one("eth_getCode", [address, _tag(block)], shape.data)

    def call(self, to: str, data: bytes, block: int | str = "latest", gas: int | None = None) -> bytes:
        """What a contract answers, without a transaction. Raises CallReverted if it fails, or needs more gas."""
        (answer,) = self.calls([(to, data)], block, gas)
        if isinstance(answer, CallReverted):
            raise answer
        return answer

    def calls(
        self, calls: Sequence[tuple[str, bytes]], block: int | str = "latest", gas: int | None = None
    ) -> list[bytes | CallReverted]:
        """Several ``(to, data)`` calls at once; those that fail give CallReverted (returned)."""
        limit = {} if gas is None else {"gas": hex(gas)}
        asked: list[Call] = [
            ("eth_call", [{"to": to, "data": "0x" + data.hex(), **limit}, _tag(block)]) for to, data in calls
        ]
        answers: list[bytes | CallReverted] = []
        for answer in self._rpc.batch(asked):
            if isinstance(answer, RpcError) and is_failed_call(answer):
                answers.append(CallReverted(revert_data(answer.data), answer.message))
            else:
                answers.append(self._read("eth_call", answer, shape.data))
        return answers

    def fees(self) -> Fees:
        """Fees to offer now: twice the base fee and the tip, so that six full blocks can't outrun them.

        A chain that names no tip (Besu and others without a fee market) is offered what its gas
        price leaves above the base fee. A chain without any base fee is offered its gas price in a
        legacy transaction, and one whose gas is free (gas price 0) nothing, whatever tip it suggests.
        """
        block, tip, price = self._rpc.batch(
            [
                ("eth_getBlockByNumber", ["latest", False]),
                ("eth_maxPriorityFeePerGas", []),
                ("eth_gasPrice", []),
            ]
        )
        base = self._read("eth_getBlockByNumber", block, read_block).base_fee_per_gas
        gas_price = self._read("eth_gasPrice", price, shape.quantity)
        if base is None:
            return Fees(max_fee_per_gas=gas_price)
        if not base and not gas_price:
            return Fees(max_fee_per_gas=0, max_priority_fee_per_gas=0)
        if isinstance(tip, RpcError) and tip.code == METHOD_NOT_FOUND:
            tip_per_gas = max(gas_price - base, 0)
        else:
            tip_per_gas = self._read("eth_maxPriorityFeePerGas", tip, shape.quantity)
        return Fees(max_fee_per_gas=2 * base + tip_per_gas, max_priority_fee_per_gas=tip_per_gas)

    # --- inside

    def _one(self, method: str, params: list[Any], read: Callable[[Any], T]) -> T:
        return self._many(method, [params], read)[0]

    def _many(self, method: str, params: Sequence[list[Any]], read: Callable[[Any], T]) -> list[T]:
        answers = self._rpc.batch([(method, each) for each in params])
        return [self._read(method, answer, read) for answer in answers]

    def _read(self, method: str, answer: Any, read: Callable[[Any], T]) -> T:
        if isinstance(answer, RpcError):
            raise ChainUnavailable(f"{method}: the chain refused: {answer}") from answer
        try:
            return read(answer)
        except shape.ShapeError as error:
            raise ChainUnavailable(f"{method}: the answer {error}") from error


def _check_number(block: Block, number: int) -> None:
    if block.number != number:
        raise ChainUnavailable(f"eth_getBlockByNumber: answered block {block.number}, want {number}")


def _tag(block: int | str) -> str:
    return hex(block) if isinstance(block, int) else block


def _topic(topic: Topic) -> str | list[str] | None:
    if topic is None:
        return None
    if isinstance(topic, bytes):
        return "0x" + topic.hex()
    return ["0x" + each.hex() for each in topic]


def _is_asked_for(log: Log, address: str | None, topics: Sequence[Topic]) -> bool:
    if address is not None and log.address.lower() != address.lower():
        return False
    if len(topics) > len(log.topics):
        return False
    return all(
        wanted is None or found == wanted or (not isinstance(wanted, bytes) and found in wanted)
        for wanted, found in zip(topics, log.topics, strict=False)
    )
