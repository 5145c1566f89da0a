"""Keys, digests and transactions, held against eth-account, which OpenZeppelin's users sign with."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from eth_utils import keccak, to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from node.chain import gas, signer
from node.chain.fees import Fees
from node.chain.signer import SignedTransaction

KEY = bytes(range(1, 33))
DIGEST = keccak(b"a digest")
HALF = signer.CURVE_ORDER // 2


def test_keys_are_fresh_and_usable() -> None:
    keys = {signer.new_key() for _ in range(20)}
    assert len(keys) == 20
    assert all(signer.address_of(key) == Account.from_key(key).address for key in keys)


@pytest.mark.parametrize("key", [b"", bytes(32), bytes(31), bytes(33), signer.CURVE_ORDER.to_bytes(32, "big")])
def test_misshapen_keys(key: bytes) -> None:
    with pytest.raises(ValueError, match="private key"):
        signer.address_of(key)
    with pytest.raises(ValueError, match="private key"):
        signer.sign_digest(key, DIGEST)


def test_digest_signature() -> None:
    for number in range(20):
        digest = keccak(bytes([number]))
        signature = signer.sign_digest(KEY, digest)
        assert len(signature) == 65
        assert signature[64] in (27, 28)
        assert int.from_bytes(signature[32:64], "big") <= HALF
        assert signer.recover(digest, signature) == signer.address_of(KEY)
        assert signature == bytes(Account.unsafe_sign_hash(digest, KEY).signature)


def test_signature_of_another_digest_is_another_account() -> None:
    signature = signer.sign_digest(KEY, DIGEST)
    assert signer.recover(keccak(b"another"), signature) != signer.address_of(KEY)


def test_misshapen_signatures() -> None:
    good = signer.sign_digest(KEY, DIGEST)
    r, s, v = good[:32], int.from_bytes(good[32:64], "big"), good[64]
    mirrored = r + (signer.CURVE_ORDER - s).to_bytes(32, "big") + bytes([55 - v])
    for bad, told in (
        (good[:64], "64 bytes"),
        (good + b"\0", "66 bytes"),
        (good[:64] + bytes([v - 27]), "v is"),
        (mirrored, "upper half"),
        (bytes(64) + b"\x1b", "of no key"),
        (b"\xff" * 32 + good[32:], "of no key"),
    ):
        with pytest.raises(ValueError, match=told):
            signer.recover(DIGEST, bad)
    with pytest.raises(ValueError, match="digest"):
        signer.recover(DIGEST[:31], good)
    with pytest.raises(ValueError, match="digest"):
        signer.sign_digest(KEY, DIGEST + b"\0")


FEES = st.builds(Fees, st.integers(0, 2**80), st.none() | st.integers(0, 2**80))
ADDRESSES = st.none() | st.binary(min_size=20, max_size=20).map(to_checksum_address)
CALLS = st.fixed_dictionaries(
    {
        "chain_id": st.integers(1, 2**53),
        "nonce": st.integers(0, 2**63 - 1),
        "to": ADDRESSES,
        "data": st.binary(max_size=100) | st.integers(250, 70_000).map(bytes),
        "gas": st.integers(21_000, gas.GAS_MAX),
        "value": st.integers(0, 2**80),
    }
)


def by_eth_account(call: dict[str, Any], fees: Fees) -> SignedTransaction:
    """The same transaction, signed by the library."""
    fields = {"chainId": call["chain_id"], **{name: call[name] for name in ("nonce", "data", "gas", "value")}}
    if call["to"] is not None:
        fields["to"] = call["to"]
    if fees.max_priority_fee_per_gas is None:
        fields["gasPrice"] = fees.max_fee_per_gas
    else:
        fields |= {"maxFeePerGas": fees.max_fee_per_gas, "maxPriorityFeePerGas": fees.max_priority_fee_per_gas}
    signed = Account.sign_transaction(fields, KEY)
    return SignedTransaction(bytes(signed.raw_transaction), "0x" + bytes(signed.hash).hex())


@given(call=CALLS, fees=FEES, others=FEES)
def test_transactions_are_those_of_eth_account(call: dict[str, Any], fees: Fees, others: Fees) -> None:
    signed = signer.sign_transaction(KEY, **call, fees=fees)
    assert signed == by_eth_account(call, fees)
    assert Account.recover_transaction(signed.raw) == signer.address_of(KEY)
    assert signer.resign(KEY, signed.raw, fees) == signed
    assert signer.resign(KEY, signed.raw, others) == by_eth_account(call, others)


def test_only_transactions_of_the_node_are_signed_again() -> None:
    call: dict[str, Any] = {"chain_id": 1, "nonce": 5, "to": None, "data": b"x", "gas": 100_000}
    legacy, market = (signer.sign_transaction(KEY, **call, fees=fees).raw for fees in (Fees(9), Fees(9, 2)))
    listed = {"address": "0x" + "11" * 20, "storageKeys": ()}
    fields = {"nonce": 5, "data": b"x", "gas": 100_000, "value": 0}
    unknown = Account.sign_transaction({**fields, "gasPrice": 9}, KEY).raw_transaction
    foreign = Account.sign_transaction(
        {**fields, "chainId": 1, "maxFeePerGas": 9, "maxPriorityFeePerGas": 2, "accessList": [listed]}, KEY
    ).raw_transaction
    for raw in (b"", b"\x01", b"\x02", b"\x02\xc0", legacy[:-1], market[:-1], market + b"\0", unknown, foreign):
        with pytest.raises(ValueError, match="not a transaction of this node"):
            signer.resign(KEY, bytes(raw), Fees(10, 3))
