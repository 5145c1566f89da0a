"""Asking the chain about accounts that the node has no key of. Never inside ``Store.write()``."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from node.chain import contract
from node.chain.gas import wallet_call_gas
from node.chain.rpc import CallReverted, Chain
from node.chain.transport import ChainUnavailable
from node.errors import Reason, Status, VTraceError
from node.flow.sovereign import OwnSignature, Unsure, Verdict

ASKED_AT_ONCE = 4
"""So that a chain that is slow to answer can't hold all threads of the node."""
RETRY_SECONDS = 1


class Wallets:
    """What accounts say of signatures (EIP-1271), and which account the contract has for an actor."""

    def __init__(self, chain: Chain, contract_address: str) -> None:
        self._chain = chain
        self._contract = contract_address
        self._turn = threading.BoundedSemaphore(ASKED_AT_ONCE)

    def heard(self, own: OwnSignature, question: Unsure) -> OwnSignature:
        """The signature with what its account says of it. UNAVAILABLE if that can't be found out now."""
        verdict = self.verdict(question.account, question.digest, own.signature)
        return OwnSignature(own.signature, own.salt, own.version, verdict)

    def verdict(self, account: str, digest: bytes, signature: bytes) -> Verdict:
        """Whether an account, if it is a contract, takes a signature for its own. UNAVAILABLE."""
        with self._asking(f"whether account {account}, if it is a contract, signed this"):
            if not self._chain.code(account):
                return Verdict(digest, approves=False, is_contract=False)
            data = contract.is_valid_signature_data(digest, signature)
            try:
                answer = self._chain.call(account, data, gas=wallet_call_gas(data))
            except CallReverted:
                return Verdict(digest, approves=False, is_contract=True)
            return Verdict(digest, contract.is_valid(answer), is_contract=True)

    def account_of(self, actor: int) -> str | None:
        """The account that the contract has for an actor. UNAVAILABLE."""
        with self._asking(f"which account actor {actor} has"):
            found = contract.decode_actor_of(self._chain.call(self._contract, contract.actor_of_data(actor)))
            return None if found is None else found[0]

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        if not self._turn.acquire(blocking=False):
            raise _unavailable(f"too many ask the chain at once {what}")
        try:
            yield
        except (ChainUnavailable, CallReverted, ValueError) as fault:
            raise _unavailable(f"the chain can't tell now {what}") from fault
        finally:
            self._turn.release()


def _unavailable(message: str) -> VTraceError:
    return VTraceError(
        Reason.SERVICE_OFFLINE,
        f"{message}: try again later",
        status=Status.UNAVAILABLE,
        retry_seconds=RETRY_SECONDS,
    )
