"""Keys and signatures: secp256k1 keys as 32 bytes, accounts as checksummed addresses.

The node has two sorts of key: its own, which signs transactions, and those of custodial actors, which sign circs.
Both are used through ``Signatory`` and nothing else: a key that the node keeps sealed (``HeldKey``), or one that a
signing service keeps (``node.chain.web3signer``).
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import rlp
from coincurve import PrivateKey
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.exceptions import ValidationError
from rlp.exceptions import DecodingError

from node.chain.fees import Fees
from node.chain.keccak import keccak

KEY_BYTES = 32
DIGEST_BYTES = 32
SIGNATURE_BYTES = 65
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""The number of points of secp256k1: a key is 1 .. CURVE_ORDER - 1."""
PREPARED_MAX = 4_096
"""How many keys are kept ready to sign."""

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_TYPE_2 = b"\x02"
_EIP_155 = 35


class Signatory(Protocol):
    """Who signs for one account."""

    @property
    def account(self) -> str:
        """The checksummed address."""

    def sign(self, message: bytes) -> bytes:
        """Sign keccak256 of a message: r ‖ s ‖ v, v 27 or 28, s in the lower half. Raises SignerUnavailable."""


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key in this process, 32 bytes."""

    key: bytes = field(repr=False)

    @property
    def account(self) -> str:
        """See Signatory. ValueError if the key is none."""
        return address_of(self.key)

    def sign(self, message: bytes) -> bytes:
        """See Signatory."""
        return sign_digest(self.key, keccak(message))


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """A transaction as it goes to the chain: its bytes, and its hash as ``0x`` + 64 hex digits."""

    raw: bytes
    hash: str


def new_key() -> bytes:
    """A fresh private key, 32 bytes from the system's randomness."""
    return (secrets.randbelow(CURVE_ORDER - 1) + 1).to_bytes(KEY_BYTES, "big")


def address_of(key: bytes) -> str:
    """The checksummed address of a private key. ValueError if the key is none."""
    return address_of_point(_private(key).public_key.format(compressed=False)[1:])


def address_of_point(point: bytes) -> str:
    """The checksummed address of a public key, the 64 bytes of its point."""
    return to_checksum_address(keccak(point)[-20:])


def address_in(text: str) -> str:
    """A text as a checksummed address; ValueError, with what is wanted, for any that is none. Case may be mistyped."""
    if not _ADDRESS.fullmatch(text) or not int(text, 16):
        raise ValueError("an address, 0x and 40 hex digits, not all zero")
    digits, address = text[2:], to_checksum_address(text)
    if text != address and digits not in (digits.lower(), digits.upper()):
        raise ValueError("an address whose upper and lower case is its checksum (EIP-55), or all lower case")
    return address


def hashed(message: bytes) -> bytes:
    """What a Signatory signs of a message: its keccak256."""
    return keccak(message)


def sign_digest(key: bytes, digest32: bytes) -> bytes:
    """Sign 32 bytes as they are: r ‖ s ‖ v with v 27 or 28 and s in the lower half of the order.

    That is the one form that OpenZeppelin's ECDSA takes. ValueError if key or digest is misshapen.
    """
    if len(digest32) != DIGEST_BYTES:
        raise ValueError(f"digest has {len(digest32)} bytes, want {DIGEST_BYTES}")
    signature = _private(key).sign_recoverable(digest32, hasher=None)
    return signature[:64] + bytes([27 + signature[64]])


def recover(digest: bytes, signature: bytes) -> str:
    """The checksummed address whose key made ``signature`` over ``digest``.

    ValueError if the signature is not of the form that ``sign_digest`` makes, or of no key at all.
    """
    if len(digest) != DIGEST_BYTES:
        raise ValueError(f"digest has {len(digest)} bytes, want {DIGEST_BYTES}")
    if len(signature) != SIGNATURE_BYTES:
        raise ValueError(f"signature has {len(signature)} bytes, want {SIGNATURE_BYTES}")
    r, s, v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    if v not in (27, 28):
        raise ValueError(f"signature's v is {v}, want 27 or 28")
    if s > CURVE_ORDER // 2:
        raise ValueError("signature's s is in the upper half of the order")
    try:
        public = Signature(vrs=(v - 27, r, s)).recover_public_key_from_msg_hash(digest)
    except (BadSignature, ValidationError) as error:
        raise ValueError(f"signature is of no key: {error}") from error
    return public.to_checksum_address()


def sign_transaction(
    by: Signatory | bytes,
    *,
    chain_id: int,
    nonce: int,
    to: str | None,
    data: bytes,
    gas: int,
    fees: Fees,
    value: int = 0,
) -> SignedTransaction:
    """Sign a transaction, of EIP-1559 or legacy (EIP-155) as the fees are. ``to`` None makes a contract of ``data``.

    ``by`` is who signs, or a key.
    """
    address = b"" if to is None else _canonical(to)
    return _signed(by, _Call(chain_id, nonce, gas, address, value, data), fees)


def resign(by: Signatory | bytes, raw: bytes, fees: Fees) -> SignedTransaction:
    """Sign a transaction that ``sign_transaction`` made again: the same call at the same nonce, with other fees.

    ValueError if ``raw`` is no such transaction.
    """
    return _signed(by, _call_of(raw), fees)


def call_data(raw: bytes) -> bytes:
    """The calldata of a transaction that ``sign_transaction`` made; ValueError if ``raw`` is no such transaction."""
    return _call_of(raw).data


def fees_of(raw: bytes) -> Fees:
    """What a transaction that ``sign_transaction`` made offers; ValueError if ``raw`` is no such transaction."""
    _call_of(raw)
    if raw[:1] == _TYPE_2:
        _, _, tip, highest, *_ = rlp.decode(raw[1:])
        return Fees(_number(highest), _number(tip))
    return Fees(_number(rlp.decode(raw)[1]))


@dataclass(frozen=True, slots=True)
class _Call:
    """What of a transaction its fees leave as it is. ``to`` has 20 bytes, or none for a new contract."""

    chain_id: int
    nonce: int
    gas: int
    to: bytes
    value: int
    data: bytes


def _signed(by: Signatory | bytes, call: _Call, fees: Fees) -> SignedTransaction:
    nonce, gas, data = _item(_big_endian(call.nonce)), _item(_big_endian(call.gas)), _item(call.data)
    what = gas + _same(call.to, call.value) + data
    if fees.max_priority_fee_per_gas is None:
        envelope = b""
        body = nonce + _same(fees.max_fee_per_gas) + what
        parity, r, s = _sign(by, _list(body + _same(call.chain_id, 0, 0)))
        parity += 2 * call.chain_id + _EIP_155
    else:
        envelope = _TYPE_2
        offered = _same(fees.max_priority_fee_per_gas, fees.max_fee_per_gas)
        body = _same(call.chain_id) + nonce + offered + what + _EMPTY_LIST
        parity, r, s = _sign(by, envelope + _list(body))
    raw = envelope + _list(body + _items(parity, r, s))
    return SignedTransaction(raw=raw, hash="0x" + keccak(raw).hex())


def _items(*values: int | bytes) -> bytes:
    """Values in RLP, which ``rlp`` takes a third of the time of a signed transaction for."""
    return b"".join([_item(value if isinstance(value, bytes) else _big_endian(value)) for value in values])


@lru_cache(maxsize=64)
def _same(*values: int | bytes) -> bytes:
    """``_items`` of what is the same in many transactions."""
    return _items(*values)


def _item(word: bytes) -> bytes:
    if len(word) == 1 and word < b"\x80":
        return word
    return _length(0x80, len(word)) + word


def _list(items: bytes) -> bytes:
    return _length(0xC0, len(items)) + items


def _length(kind: int, length: int) -> bytes:
    if length < 56:
        return bytes((kind + length,))
    size = _big_endian(length)
    return bytes((kind + 55 + len(size),)) + size


def _big_endian(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


_EMPTY_LIST = _list(b"")


def _call_of(raw: bytes) -> _Call:
    try:
        if raw[:1] == _TYPE_2:
            chain_id, nonce, _, _, gas, to, value, data, access_list, _, _, _ = rlp.decode(raw[1:])
            chain, plain = _number(chain_id), not access_list
        else:
            nonce, _, gas, to, value, data, v, _, _ = rlp.decode(raw)
            chain, plain = (_number(v) - _EIP_155) // 2, _number(v) >= _EIP_155
        call = _Call(chain, _number(nonce), _number(gas), to, _number(value), data)
    except (DecodingError, ValueError, TypeError) as error:
        raise ValueError(f"not a transaction of this node: {error}") from None
    if not plain:
        raise ValueError("not a transaction of this node: it has an access list, or names no chain")
    return call


def _number(word: Any) -> int:
    return int.from_bytes(word, "big")


def _sign(by: Signatory | bytes, message: bytes) -> tuple[int, int, int]:
    """The parity of the point's y, r and s; s is in the lower half of the order."""
    signature = sign_digest(by, keccak(message)) if isinstance(by, bytes) else by.sign(message)
    return signature[64] - 27, int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")


@lru_cache(maxsize=16)
def _canonical(address: str) -> bytes:
    """The 20 bytes of an address. Nearly all transactions go to the one contract."""
    return to_canonical_address(address)


@lru_cache(maxsize=PREPARED_MAX)
def _private(key: bytes) -> PrivateKey:
    if len(key) != KEY_BYTES or not 0 < int.from_bytes(key, "big") < CURVE_ORDER:
        raise ValueError("a private key is 32 bytes, from 1 to the order of secp256k1 - 1")
    return PrivateKey(key)


def contract_address(sender: str, nonce: int) -> str:
    """The address of the contract that ``sender`` creates with its transaction ``nonce``."""
    return to_checksum_address(keccak(_list(_items(to_canonical_address(sender), nonce)))[-20:])
