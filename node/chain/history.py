"""The contract's whole past, in order and in bounded pieces: its events, and the transactions that carried them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import rlp

from node.chain import contract, shape, signer
from node.chain.answers import Transaction, read_transaction
from node.chain.keccak import keccak
from node.chain.rpc import Chain, ChainUnavailable, Log
from node.chain.transport import JsonRpc, RpcError

SPAN_FIRST = 100
SPAN_MAX = 50_000
LOGS_WANTED = 5_000
"""About how many logs are held at once: a range of blocks grows and shrinks with what the last one had."""
_TOPICS = (
    contract.CIRCULATED_TOPIC,
    contract.ACTOR_REGISTERED_TOPIC,
    contract.ACCOUNT_CHANGED_TOPIC,
    contract.RIGHTS_CHANGED_TOPIC,
)
_DYNAMIC_FEE = 2
_SHARED_CHARS_MAX = 20


@dataclass(frozen=True, slots=True)
class Entry:
    """An event of the contract and where the chain has it."""

    event: contract.Event
    tx_hash: str
    block_number: int
    block_hash: str


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed transaction; ``raw`` is empty where its bytes can't be put together again from what the chain shows."""

    hash: str
    sender: str
    nonce: int
    data: bytes
    raw: bytes


class History:
    """Reads the past of one contract."""

    def __init__(self, rpc: JsonRpc, address: str) -> None:
        self._rpc = rpc
        self._address = address
        self.chain = Chain(rpc)

    def entries(self, first: int, last: int, tell: Callable[[int], None]) -> Iterator[list[Entry]]:
        """The events of blocks ``first`` to ``last``, in the chain's order; ``tell`` hears how many blocks are done."""
        span, at = SPAN_FIRST, first
        while at <= last:
            end = min(at + span - 1, last)
            try:
                logs = self.chain.logs(self._address, [_TOPICS], at, end)
            except ChainUnavailable:
                # It may have been too much at once for this endpoint, whatever it says.
                if span == 1:
                    raise
                span = max(1, span // 8)
                continue
            yield [entry for log in logs if (entry := _entry(log)) is not None]
            at = end + 1
            tell(at - first)
            wanted = span * LOGS_WANTED // max(len(logs), 1)
            span = max(1, min(wanted, span * 4, SPAN_MAX))

    def first_block(self, deployed_by: str | None, last: int) -> int:
        """The block that made the contract, or one before it.

        ``deployed_by`` is the hash of the transaction that is said to have made it: its receipt tells. Else the block
        is looked for by bisection; an endpoint that has no old state leaves only block 0.
        """
        if deployed_by is not None:
            (receipt,) = self.chain.receipts([deployed_by])
            if receipt is not None and receipt.contract_address == self._address:
                return receipt.block_number
        low, high = -1, last
        try:
            while high - low > 1:
                middle = (low + high) // 2
                if self.chain.code(self._address, middle):
                    high = middle
                else:
                    low = middle
        except ChainUnavailable:
            return 0
        return high

    def deployment(self, first: int) -> tuple[str, str] | None:
        """The transaction that made the contract in block ``first``, by the roles that it gave: hash and block hash."""
        logs = self.chain.logs(self._address, [], first, first)
        if not logs:
            return None
        (receipt,) = self.chain.receipts([logs[0].tx_hash])
        made = receipt is not None and receipt.contract_address == self._address
        return (logs[0].tx_hash, logs[0].block_hash) if made else None

    def transactions(self, hashes: Sequence[str]) -> list[Signed]:
        """Mined transactions, whole; ChainUnavailable if one is not known."""
        found = self._ask([("eth_getTransactionByHash", [tx_hash]) for tx_hash in hashes], _signed)
        for want, signed in zip(hashes, found, strict=True):
            if signed.hash != want:
                raise ChainUnavailable(f"eth_getTransactionByHash: answered {signed.hash}, want {want}")
        return found

    def timestamps(self, numbers: Sequence[int]) -> list[int]:
        """The times of blocks, in seconds since 1970."""
        return self._ask([("eth_getBlockByNumber", [hex(number), False]) for number in numbers], _timestamp)

    def transaction_at(self, sender: str, nonce: int, last: int) -> Signed:
        """The mined transaction of an account with this nonce, looked for from block ``last`` backwards."""
        high, step = last, 1
        while high - step >= 0 and self.chain.transaction_count(sender, high - step) > nonce:
            high, step = high - step, step * 2
        low = max(high - step, -1)
        while high - low > 1:
            middle = (low + high) // 2
            if self.chain.transaction_count(sender, middle) > nonce:
                high = middle
            else:
                low = middle
        (carried,) = self._ask([("eth_getBlockByNumber", [hex(high), True])], _transactions)
        signed: Signed
        for signed in carried:
            if (signed.sender, signed.nonce) == (sender, nonce):
                return signed
        raise ChainUnavailable(f"block {high} lacks the transaction {nonce} of {sender}")

    def _ask(self, calls: Sequence[tuple[str, list[Any]]], read: Callable[[Any], Any]) -> list[Any]:
        found = []
        for (method, params), answer in zip(calls, self._rpc.batch(calls), strict=True):
            if isinstance(answer, RpcError):
                raise ChainUnavailable(f"{method}: the chain refused: {answer}") from answer
            try:
                found.append(read(answer))
            except shape.ShapeError as fault:
                raise ChainUnavailable(f"{method} {params[0]}: the answer {fault}") from fault
        return found


def _entry(log: Log) -> Entry | None:
    try:
        event = contract.decode_log(log.topics, log.data)
    except ValueError as fault:
        raise ChainUnavailable(f"eth_getLogs: a log of {log.tx_hash} can't be read: {fault}") from fault
    return None if event is None else Entry(event, log.tx_hash, log.block_number, log.block_hash)


def _timestamp(value: Any) -> int:
    return shape.quantity(shape.field(shape.obj(value), "timestamp"))


def _transactions(value: Any) -> list[Signed]:
    return [_signed(each) for each in shape.array(shape.field(shape.obj(value), "transactions"))]


def _signed(value: Any) -> Signed:
    known, body = read_transaction(value), shape.obj(value)
    raw = _put_together(body, known)
    whole = raw if "0x" + keccak(raw).hex() == known.hash else b""
    return Signed(known.hash, known.sender, known.nonce, known.input, whole)


def _put_together(body: dict[str, Any], known: Transaction) -> bytes:
    """The bytes of a transaction of EIP-1559, or of the old kind, from its members; else nothing."""

    def number(name: str) -> bytes:
        value = shape.field(body, name)
        if isinstance(value, str) and len(value) <= _SHARED_CHARS_MAX:
            return _shared(value)
        return _number(value)

    try:
        to = b"" if known.to is None else bytes.fromhex(known.to[2:])
        call = [number("gas"), _item(to), number("value"), _item(known.input)]
        nonce = _item(_bytes(known.nonce))
        if int(str(body.get("type") or "0x0"), 16) == _DYNAMIC_FEE:
            if body.get("accessList"):
                return b""
            fees = [number("maxPriorityFeePerGas"), number("maxFeePerGas")]
            parity = number("yParity" if "yParity" in body else "v")
            after = (parity, number("r"), number("s"))
            return bytes([_DYNAMIC_FEE]) + _list(number("chainId"), nonce, *fees, *call, _list(), *after)
        return _list(nonce, number("gasPrice"), *call, number("v"), number("r"), number("s"))
    except (shape.ShapeError, ValueError):
        return b""


def _number(value: Any) -> bytes:
    return _item(_bytes(shape.quantity(value)))


_shared = lru_cache(maxsize=4096)(_number)
"""For the numbers that many transactions have in common, such as fees."""


def _list(*items: bytes) -> bytes:
    """An RLP list of items that are encoded already. A library's encoder takes ten times as long."""
    content = b"".join(items)
    return _prefix(0xC0, len(content)) + content


def _item(content: bytes) -> bytes:
    if len(content) == 1 and content[0] < 0x80:
        return content
    return _prefix(0x80, len(content)) + content


def _prefix(kind: int, length: int) -> bytes:
    if length <= 55:
        return bytes([kind + length])
    size = _bytes(length)
    return bytes([kind + 55 + len(size)]) + size


def read_signed(raw: bytes) -> Signed | None:
    """A signed transaction from its bytes, without its sender; None for bytes that are none."""
    is_new = raw[:1] == bytes([_DYNAMIC_FEE])
    try:
        fields = _items(raw, 1 if is_new else 0)
        nonce, data = (fields[1], fields[7]) if is_new else (fields[0], fields[5])
    except IndexError:
        return None
    return Signed("0x" + keccak(raw).hex(), "", int.from_bytes(nonce, "big"), data, raw)


def _items(raw: bytes, at: int) -> list[bytes]:
    """The items of one RLP list, an inner list as its bytes; IndexError where there is none.

    Many times as fast as a whole decoder. The bytes are held against their hash, so their form need not be checked.
    """
    at, end = _span(raw, at)
    items: list[bytes] = []
    while at < end:
        start, after = _span(raw, at)
        items.append(raw[start:after])
        at = after
    return items


def _span(raw: bytes, at: int) -> tuple[int, int]:
    """Where the content of the RLP item at a place begins and ends."""
    first = raw[at]
    if first < 0x80:
        return at, at + 1
    short = first - (0xC0 if first >= 0xC0 else 0x80)
    if short <= 55:
        start, length = at + 1, short
    else:
        start = at + 1 + short - 55
        length = int.from_bytes(raw[at + 1 : start], "big")
    if start + length > len(raw):
        raise IndexError(at)
    return start, start + length


def sender_of(raw: bytes) -> str | None:
    """Whose signature a transaction carries; None where it carries none."""
    is_new = raw[:1] == bytes([_DYNAMIC_FEE])
    try:
        fields = rlp.decode(raw[1:] if is_new else raw)
        v, r, s = (int.from_bytes(each, "big") for each in fields[-3:])
        if is_new:
            parity, signed = v, bytes([_DYNAMIC_FEE]) + bytes(rlp.encode(fields[:-3]))
        else:
            parity, signed = (v - 35) % 2, bytes(rlp.encode([*fields[:-3], _bytes((v - 35) // 2), b"", b""]))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + parity])
        return signer.recover(keccak(signed), signature)
    except (rlp.DecodingError, ValueError, TypeError, OverflowError):
        return None


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
