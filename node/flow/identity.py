"""Whether the endpoint still serves the chain that the index belongs to. Nothing is sent to another one."""

from __future__ import annotations

from node.chain import contract
from node.chain.rpc import Chain
from node.flow.worker import TryLater


class Identity:
    """The chain as it was found at the first start: its id, its block 0, and the contract."""

    def __init__(self, chain: Chain, *, chain_id: int, genesis: str, address: str) -> None:
        self._chain = chain
        self._chain_id = chain_id
        self._genesis = genesis
        self._address = address
        self._is_known = False

    def doubt(self) -> None:
        """The endpoint was away or answered strangely: look again before the next transaction."""
        self._is_known = False

    def check(self) -> None:
        """TryLater, saying what was expected and what was found, while the endpoint serves another chain."""
        if self._is_known:
            return
        chain_id = self._chain.chain_id()
        if chain_id != self._chain_id:
            raise _another("chain id", str(self._chain_id), str(chain_id))
        genesis = self._chain.block(0)
        if genesis is None or genesis.hash != self._genesis:
            raise _another("block 0", self._genesis, "none" if genesis is None else genesis.hash)
        code = self._chain.code(self._address)
        if code and not contract.code_matches(code, chain_id, self._address):
            raise _another(f"code of the contract {self._address}", "this version's", contract.code_hash(code))
        # No code at all is the confirmer's: a fork may have taken the deployment out, and it is sent again.
        self._is_known = True


def _another(what: str, expected: str, found: str) -> TryLater:
    return TryLater(
        f"--chain serves another chain than the one that this index belongs to: {what}: expected {expected}, found "
        f"{found}; nothing is sent to it. Bring the chain back, or start the node with the endpoint of its own"
    )
