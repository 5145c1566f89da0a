"""Keys, digests and transactions, held against eth-account, which OpenZeppelin's users sign with."""

from __future__ import annotations

import pytest
from eth_account import Account
from eth_utils import keccak

from node.chain import signer

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


@pytest.mark.parametrize("to", ["0x" + "Ab" * 20, None])
def test_transaction(to: str | None) -> None:
    to = None if to is None else signer.address_of(b"\x07" * 32)
    signed = signer.sign_transaction(
        KEY,
        chain_id=94920696226661,
        nonce=5,
        to=to,
        data=b"\x00data",
        gas=100_000,
        max_fee_per_gas=9,
        max_priority_fee_per_gas=2,
        value=3,
    )
    assert signed.raw[0] == 2
    assert signed.hash == "0x" + keccak(signed.raw).hex()
    assert Account.recover_transaction(signed.raw) == signer.address_of(KEY)
