"""What a chain says, as plain values, and how each is read from JSON.

Hashes are ``0x`` + 64 lower-case hex digits, addresses are checksummed, amounts are in wei,
timestamps in seconds since 1970. The ``read_…`` functions raise ShapeError with the field's name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from eth_utils.address import to_checksum_address

from node.chain import shape

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Block:
    number: int
    hash: str
    parent_hash: str
    timestamp: int
    base_fee_per_gas: int | None
    gas_limit: int


@dataclass(frozen=True, slots=True)
class Log:
    address: str
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    block_hash: str
    tx_hash: str
    tx_index: int
    log_index: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mined transaction; ``status`` False means that it was reverted."""

    tx_hash: str
    block_number: int
    block_hash: str
    status: bool


@dataclass(frozen=True, slots=True)
class Receipt(Outcome):
    """An outcome as the chain's receipt has it."""

    tx_index: int
    gas_used: int
    contract_address: str | None
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction that the chain knows; ``block_number`` is None until it is mined."""

    hash: str
    to: str | None
    sender: str
    input: bytes
    nonce: int
    block_number: int | None


@dataclass(frozen=True, slots=True)
class BlockHashes:
    """A block with the hashes of its transactions."""

    block: Block
    hashes: tuple[str, ...]


def maybe(read: Callable[[Any], T]) -> Callable[[Any], T | None]:
    return lambda value: None if value is None else read(value)


def _get(value: dict[str, Any], name: str, read: Callable[[Any], T]) -> T:
    """A member, with its name in the error if it is misshapen."""
    found = shape.field(value, name)
    try:
        return read(found)
    except shape.ShapeError as error:
        raise shape.ShapeError(f"has a wrong {name}: {error}") from error


def _address(value: Any) -> str:
    return _checksum(shape.account(value))


@lru_cache(maxsize=4096)
def _checksum(account: bytes) -> str:
    return to_checksum_address(account)


def read_block(value: Any) -> Block:
    body = shape.obj(value)
    return Block(
        number=_get(body, "number", shape.quantity),
        hash=_get(body, "hash", shape.hash32),
        parent_hash=_get(body, "parentHash", shape.hash32),
        timestamp=_get(body, "timestamp", shape.quantity),
        base_fee_per_gas=maybe(shape.quantity)(body.get("baseFeePerGas")),
        gas_limit=_get(body, "gasLimit", shape.quantity),
    )


def _log(value: Any) -> Log:
    body = shape.obj(value)
    return Log(
        address=_get(body, "address", _address),
        topics=_get(body, "topics", _topics),
        data=_get(body, "data", shape.data),
        block_number=_get(body, "blockNumber", shape.quantity),
        block_hash=_get(body, "blockHash", shape.hash32),
        tx_hash=_get(body, "transactionHash", shape.hash32),
        tx_index=_get(body, "transactionIndex", shape.quantity),
        log_index=_get(body, "logIndex", shape.quantity),
    )


def read_takers(value: Any, address: str, topic: bytes) -> tuple[Outcome, ...]:
    """The transactions of logs, without a look at what else stands in these; other logs are left out."""
    wanted, event = address.lower(), "0x" + topic.hex()
    bodies = map(shape.obj, shape.array(value))
    return tuple(
        Outcome(
            tx_hash=_get(body, "transactionHash", shape.hash32),
            block_number=_get(body, "blockNumber", shape.quantity),
            block_hash=_get(body, "blockHash", shape.hash32),
            status=True,
        )
        for body in bodies
        if str(body.get("address")).lower() == wanted and _get(body, "topics", shape.array)[:1] == [event]
    )


def _topics(value: Any) -> tuple[bytes, ...]:
    return tuple(shape.data(each, 32) for each in shape.array(value))


def read_logs(value: Any) -> tuple[Log, ...]:
    return tuple(_log(each) for each in shape.array(value))


def read_outcome(value: Any) -> Receipt:
    """A receipt without its logs, which cost more to read than all the rest."""
    return _receipt(value, ())


def read_receipt(value: Any) -> Receipt:
    return _receipt(value, _get(shape.obj(value), "logs", read_logs))


def _receipt(value: Any, logs: tuple[Log, ...]) -> Receipt:
    body = shape.obj(value)
    status = _get(body, "status", shape.quantity)
    if status not in (0, 1):
        raise shape.ShapeError(f"has a wrong status: want 0x0 or 0x1, got {status:#x}")
    return Receipt(
        tx_hash=_get(body, "transactionHash", shape.hash32),
        block_number=_get(body, "blockNumber", shape.quantity),
        block_hash=_get(body, "blockHash", shape.hash32),
        tx_index=_get(body, "transactionIndex", shape.quantity),
        status=status == 1,
        gas_used=_get(body, "gasUsed", shape.quantity),
        contract_address=maybe(_address)(body.get("contractAddress")),
        logs=logs,
    )


def read_transaction(value: Any) -> Transaction:
    body = shape.obj(value)
    return Transaction(
        hash=_get(body, "hash", shape.hash32),
        to=maybe(_address)(body.get("to")),
        sender=_get(body, "from", _address),
        input=_get(body, "input", shape.data),
        nonce=_get(body, "nonce", shape.quantity),
        block_number=maybe(shape.quantity)(body.get("blockNumber")),
    )


def read_block_hashes(value: Any) -> BlockHashes:
    """A block that was asked for without its transactions."""
    hashes = shape.array(shape.field(shape.obj(value), "transactions"))
    return BlockHashes(read_block(value), tuple(shape.hash32(each) for each in hashes))


def read_sent_to(value: Any, address: str) -> tuple[Block, list[Transaction]]:
    """Of a block that was asked for with its transactions, those that go to an address."""
    block = read_block(value)
    bodies = map(shape.obj, shape.array(shape.field(value, "transactions")))
    wanted = address.lower()
    return block, [read_transaction(body) for body in bodies if str(body.get("to")).lower() == wanted]
