"""A wallet on a chain, and its owners."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_account import Account
from eth_utils import keccak

from node.chain import signer
from tests.chain.echo import mined
from tests.flow.world import FIRST_IN_BLOCK_WEI, Net

BYTECODE = bytes.fromhex(json.loads((Path(__file__).parent / "wallet.json").read_text())["bytecode"])
SET_THRESHOLD = keccak(b"setThreshold(uint256)")[:4]
EXECUTE = keccak(b"execute(address,bytes)")[:4]


class Wallet:
    """An account of ``owners`` keys, of which ``threshold`` have to sign. A funded account of Anvil's pays for it."""

    def __init__(self, net: Net, owners: int = 3, threshold: int = 2) -> None:
        keys = [signer.new_key() for _ in range(owners)]
        self.keys = sorted(keys, key=lambda key: int(signer.address_of(key), 16))
        self._net = net
        self._payer = net.ask("eth_accounts")[0]
        accounts = [signer.address_of(key) for key in keys]
        data = BYTECODE + encode(("address[]", "uint256"), (accounts, threshold))
        self.account = signer.address_in(self._send({"data": "0x" + data.hex()})["contractAddress"])

    def sign(self, typed_data: str, count: int = 2) -> bytes:
        """The signature of the first owners, by eth-account."""
        message = json.loads(typed_data)
        return b"".join(
            bytes(Account.sign_typed_data(key, full_message=message).signature) for key in self.keys[:count]
        )

    def ask_for_threshold(self, threshold: int) -> None:
        """Another threshold, ahead of all that waits for a block."""
        data = "0x" + (SET_THRESHOLD + threshold.to_bytes(32, "big")).hex()
        fees = {"maxFeePerGas": hex(2 * FIRST_IN_BLOCK_WEI), "maxPriorityFeePerGas": hex(FIRST_IN_BLOCK_WEI)}
        self._net.ask("eth_sendTransaction", {"from": self._payer, "to": self.account, "data": data, **fees})

    def execute(self, to: str, data: bytes) -> None:
        call = EXECUTE + encode(("address", "bytes"), (to, data))
        self._send({"to": self.account, "data": "0x" + call.hex()})

    def _send(self, transaction: dict[str, Any]) -> dict[str, Any]:
        sent = self._net.ask("eth_sendTransaction", {"from": self._payer, "gas": hex(8_000_000), **transaction})
        mined(self._net.chain, [sent])
        receipt: dict[str, Any] = self._net.ask("eth_getTransactionReceipt", sent)
        assert receipt["status"] == "0x1"
        return receipt
