"""Headers, transactions and receipts as the bytes that chains hash (EIP-2718), and what is in them.

``…_raw`` makes the bytes of what JSON-RPC shows and raises ShapeError for what it can't; whether they are the right
ones is for the caller to check, by their hash or root. ``read_…`` takes proven bytes apart and raises ValueError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import rlp
from eth_hash.auto import keccak
from eth_utils.address import to_checksum_address

from node.chain import shape

LEGACY: Final = 0


@dataclass(frozen=True, slots=True)
class CarriedTransaction:
    """What a transaction says. ``chain_id`` is None where it names no chain, ``to`` None where it makes a contract.

    Of kinds that this module doesn't know only the hash is told.
    """

    hash: bytes
    chain_id: int | None
    to: str | None
    input: bytes


@dataclass(frozen=True, slots=True)
class CarriedLog:
    address: str
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class CarriedReceipt:
    """What became of a transaction; ``status`` False means that it was reverted."""

    status: bool
    logs: tuple[CarriedLog, ...]


# Reading

_PLACES: Final = {1: (4, 6), 2: (5, 7), 3: (5, 7), 4: (5, 7)}
"""kind of transaction → where among its fields ``to`` and ``input`` are."""


def read_transaction(raw: bytes) -> CarriedTransaction:
    """A transaction from the bytes that its hash is of."""
    if not raw:
        raise ValueError("an empty transaction")
    kind = LEGACY if raw[0] >= 0xC0 else raw[0]
    if kind != LEGACY and kind not in _PLACES:
        return CarriedTransaction(keccak(raw), None, None, b"")
    fields = _fields(raw if kind == LEGACY else raw[1:])
    to, data = (3, 5) if kind == LEGACY else _PLACES[kind]
    try:
        number = int.from_bytes(fields[6 if kind == LEGACY else 0], "big")
        # A legacy signature's v carries the chain id (EIP-155), or is 27 or 28 and carries none.
        chain_id = number if kind != LEGACY else (number - 35) // 2 if number >= 35 else None
        return CarriedTransaction(
            keccak(raw), chain_id, _address(fields[to]) if fields[to] else None, _data(fields[data])
        )
    except (IndexError, TypeError) as error:
        raise ValueError(f"not a transaction of kind {kind}") from error


def read_receipt(raw: bytes) -> CarriedReceipt:
    """A receipt from the bytes that the block's trie has of it."""
    if not raw:
        raise ValueError("an empty receipt")
    fields = _fields(raw if raw[0] >= 0xC0 else raw[1:])
    try:
        status, _, _, logs = fields[:4]
        return CarriedReceipt(
            status=status == b"\x01",
            logs=tuple(
                CarriedLog(_address(address), tuple(_data(topic) for topic in topics), _data(data))
                for address, topics, data in logs
            ),
        )
    except TypeError as error:
        raise ValueError("not a receipt") from error


def _fields(raw: bytes) -> list[Any]:
    try:
        found = rlp.decode(raw)
    except (rlp.DecodingError, RecursionError) as error:
        raise ValueError(f"not RLP: {error}") from error
    if not isinstance(found, list):
        raise ValueError("want a list of fields in RLP")
    return found


def _address(value: Any) -> str:
    if not isinstance(value, bytes) or len(value) != 20:
        raise ValueError("an address has 20 bytes")
    return to_checksum_address(value)


def _data(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("want bytes, got a list")
    return value


# Making

_Field = tuple[str, Callable[[Any], Any]]


def _numbers(*names: str) -> tuple[_Field, ...]:
    return tuple((name, shape.quantity) for name in names)


def _to(value: Any) -> bytes:
    return b"" if value is None else shape.account(value)


def _hashes(value: Any) -> list[bytes]:
    return [shape.data(each, 32) for each in shape.array(value)]


def _access_list(value: Any) -> list[Any]:
    return [
        [_member(each, "address", shape.account), _member(each, "storageKeys", _hashes)] for each in shape.array(value)
    ]


def _authorizations(value: Any) -> list[Any]:
    fields: tuple[_Field, ...] = (("chainId", shape.quantity), ("address", shape.account), *_numbers("nonce"))
    return [
        [*(_member(each, name, read) for name, read in fields), *_signature(shape.obj(each))]
        for each in shape.array(value)
    ]


_TARGET: Final[tuple[_Field, ...]] = (("to", _to), ("value", shape.quantity), ("input", shape.data))
_ACCESS: Final[tuple[_Field, ...]] = (("accessList", _access_list),)
_FEES: Final = _numbers("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas")
_KINDS: Final[dict[int, tuple[_Field, ...]]] = {
    LEGACY: (*_numbers("nonce", "gasPrice", "gas"), *_TARGET),
    1: (*_numbers("chainId", "nonce", "gasPrice", "gas"), *_TARGET, *_ACCESS),
    2: (*_FEES, *_TARGET, *_ACCESS),
    3: (*_FEES, *_TARGET, *_ACCESS, *_numbers("maxFeePerBlobGas"), ("blobVersionedHashes", _hashes)),
    4: (*_FEES, *_TARGET, *_ACCESS, ("authorizationList", _authorizations)),
}
_HEADER: Final[tuple[_Field, ...]] = (
    *((name, shape.data) for name in ("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot")),
    *((name, shape.data) for name in ("receiptsRoot", "logsBloom")),
    *_numbers("difficulty", "number", "gasLimit", "gasUsed", "timestamp"),
    *((name, shape.data) for name in ("extraData", "mixHash", "nonce")),
)
_LATER_HEADER: Final[tuple[_Field, ...]] = (
    ("baseFeePerGas", shape.quantity),
    ("withdrawalsRoot", shape.data),
    ("blobGasUsed", shape.quantity),
    ("excessBlobGas", shape.quantity),
    ("parentBeaconBlockRoot", shape.data),
    ("requestsHash", shape.data),
)
"""What forks have added to headers, in their order: London, Shanghai, Cancun (3), Prague."""


def header_raw(block: Any) -> bytes:
    """A block's header in RLP, whose hash is the block's."""
    body = shape.obj(block)
    fields = [_member(body, name, read) for name, read in _HEADER]
    for name, read in _LATER_HEADER:
        if body.get(name) is None:
            break
        fields.append(_member(body, name, read))
    return bytes(rlp.encode(fields))


def transaction_raw(transaction: Any) -> bytes:
    """A transaction's bytes, whose hash is its own."""
    body = shape.obj(transaction)
    kind = _kind(body)
    if kind not in _KINDS:
        raise shape.ShapeError(f"is a transaction of kind {kind}, want one of 0 to 4")
    fields = [_member(body, name, read) for name, read in _KINDS[kind]]
    signed = rlp.encode([*fields, *(_signature(body) if kind != LEGACY else _vrs(body))])
    return _enveloped(kind, bytes(signed))


def receipt_raw(receipt: Any) -> bytes:
    """A receipt's bytes, as the block's trie has them."""
    body = shape.obj(receipt)
    logs = [
        [_member(log, "address", shape.account), _member(log, "topics", _hashes), _member(log, "data", shape.data)]
        for log in _member(body, "logs", shape.array)
    ]
    fields = [*(_member(body, name, shape.quantity) for name in ("status", "cumulativeGasUsed"))]
    raw = rlp.encode([*fields, _member(body, "logsBloom", shape.data), logs])
    return _enveloped(_kind(body), bytes(raw))


def _kind(body: dict[str, Any]) -> int:
    return LEGACY if body.get("type") is None else _member(body, "type", shape.quantity)


def _enveloped(kind: int, raw: bytes) -> bytes:
    return raw if kind == LEGACY else bytes([kind]) + raw


def _vrs(body: dict[str, Any]) -> list[int]:
    return [_member(body, name, shape.quantity) for name in ("v", "r", "s")]


def _signature(body: dict[str, Any]) -> list[int]:
    parity = "v" if body.get("yParity") is None else "yParity"
    return [_member(body, name, shape.quantity) for name in (parity, "r", "s")]


def _member(value: Any, name: str, read: Callable[[Any], Any]) -> Any:
    """A member of an object, with its name in the error if it is misshapen."""
    found = shape.field(shape.obj(value), name)
    try:
        return read(found)
    except shape.ShapeError as error:
        raise shape.ShapeError(f"has a wrong {name}: {error}") from error
