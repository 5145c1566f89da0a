"""A contract made by hand, so that the chain's tests need no compiler, and a sender that counts nonces.

The contract reverts with the bytes deadbeef if it is called without data. Otherwise it logs the
data with its first two words as topics, and gives the data back.
"""

from __future__ import annotations

import time

from node.chain import signer
from node.chain.fees import Fees
from node.chain.rpc import Chain, Receipt

GAS = 200_000
REASON = bytes.fromhex("deadbeef")
MINED_SECONDS_MAX = 30
POLL_SECONDS = 0.02

RUNTIME = bytes.fromhex(
    "36601257"  # if there is data, jump to 0x12
    "63deadbeef60e01b5f52"  # put deadbeef at the front of memory
    "60045ffd"  # revert with those 4 bytes
    "5b365f5f37"  # 0x12: copy the data to memory
    "602051" + "5f51"  # second word, first word
    "365fa2"  # log all of the data with these two topics
    "365ff3"  # give it back
)
CREATION = bytes.fromhex(f"60{len(RUNTIME):02x}8060095f395ff3") + RUNTIME


class Sender:
    """An account with a fresh key that signs transactions at ascending nonces."""

    def __init__(self, key: bytes | None = None) -> None:
        self.key = key or signer.new_key()
        self.address = signer.address_of(self.key)
        self.nonce = 0

    def sign(
        self,
        chain_id: int,
        to: str | None,
        data: bytes = b"",
        *,
        nonce: int | None = None,
        gas: int = GAS,
        max_fee_per_gas: int = 10**11,
        value: int = 0,
    ) -> signer.SignedTransaction:
        """A transaction at the next nonce; a nonce that is given is used without counting."""
        if nonce is None:
            nonce, self.nonce = self.nonce, self.nonce + 1
        return signer.sign_transaction(
            self.key,
            chain_id=chain_id,
            nonce=nonce,
            to=to,
            data=data,
            gas=gas,
            fees=Fees(max_fee_per_gas, 0),
            value=value,
        )


def mined(chain: Chain, hashes: list[str]) -> list[Receipt]:
    """The receipts of transactions, waited for until all are mined."""
    deadline = time.monotonic() + MINED_SECONDS_MAX
    while True:
        receipts = chain.receipts(hashes)
        found = [receipt for receipt in receipts if receipt is not None]
        if len(found) == len(hashes):
            return found
        assert time.monotonic() < deadline, f"not mined in {MINED_SECONDS_MAX} s: {receipts}"
        time.sleep(POLL_SECONDS)


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")
