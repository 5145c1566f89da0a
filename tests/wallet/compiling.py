"""Compiles Wallet.sol into wallet.json, which is committed: ``python -m tests.wallet.compiling``."""

from __future__ import annotations

import json
from pathlib import Path

import solcx

from scripts import compile_contracts

SOURCE = "tests/wallet/Wallet.sol"
ARTIFACT = Path(__file__).parent / "wallet.json"


def build() -> str:
    """The artifact's text: the bytecode that creates a wallet, with the compiler and settings of the contract."""
    request = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in compile_contracts.sources_of(SOURCE).items()},
        "settings": {
            **compile_contracts.SETTINGS,
            "outputSelection": {SOURCE: {"Wallet": ["evm.bytecode.object"]}},
        },
    }
    with compile_contracts.compiler() as solc:
        answer = solcx.compile_standard(request, solc_binary=solc)
    return json.dumps({"bytecode": answer["contracts"][SOURCE]["Wallet"]["evm"]["bytecode"]["object"]}) + "\n"


if __name__ == "__main__":
    ARTIFACT.write_text(build())
