"""Keys and signatures: secp256k1 keys as 32 bytes, accounts as checksummed addresses.

The node keeps two sorts of key: its own, which signs transactions, and those of custodial
actors, which sign circs. Both pass through here and nowhere else.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import rlp
from eth_account import Account
from eth_keys.datatypes import PrivateKey, Signature
from eth_keys.exceptions import BadSignature
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

KEY_BYTES = 32
DIGEST_BYTES = 32
SIGNATURE_BYTES = 65
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""The number of points of secp256k1: a key is 1 .. CURVE_ORDER - 1."""


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
    return _private(key).public_key.to_checksum_address()


def sign_digest(key: bytes, digest32: bytes) -> bytes:
    """Sign 32 bytes as they are: r ‖ s ‖ v with v 27 or 28 and s in the lower half of the order.

    That is the one form that OpenZeppelin's ECDSA takes. ValueError if key or digest is misshapen.
    """
    if len(digest32) != DIGEST_BYTES:
        raise ValueError(f"digest has {len(digest32)} bytes, want {DIGEST_BYTES}")
    signature = _private(key).sign_msg_hash(digest32)
    recovery, r, s = signature.vrs
    if s > CURVE_ORDER // 2:
        recovery, s = recovery ^ 1, CURVE_ORDER - s
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + recovery])


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
    key: bytes,
    *,
    chain_id: int,
    nonce: int,
    to: str | None,
    data: bytes,
    gas: int,
    max_fee_per_gas: int,
    max_priority_fee_per_gas: int,
    value: int = 0,
) -> SignedTransaction:
    """Sign an EIP-1559 transaction. ``to`` None makes a contract of ``data``; fees are in wei."""
    fields: dict[str, Any] = {
        "type": 2,
        "chainId": chain_id,
        "nonce": nonce,
        "data": data,
        "gas": gas,
        "maxFeePerGas": max_fee_per_gas,
        "maxPriorityFeePerGas": max_priority_fee_per_gas,
        "value": value,
    }
    if to is not None:
        fields["to"] = to
    _private(key)  # a misshapen key is named here, not deep inside the library
    signed = Account.sign_transaction(fields, key)
    return SignedTransaction(raw=bytes(signed.raw_transaction), hash="0x" + bytes(signed.hash).hex())


def _private(key: bytes) -> PrivateKey:
    if len(key) != KEY_BYTES or not 0 < int.from_bytes(key, "big") < CURVE_ORDER:
        raise ValueError("a private key is 32 bytes, from 1 to the order of secp256k1 - 1")
    return PrivateKey(key)


def contract_address(sender: str, nonce: int) -> str:
    """The address of the contract that ``sender`` creates with its transaction ``nonce``."""
    return to_checksum_address(keccak(rlp.encode([to_canonical_address(sender), nonce]))[-20:])
