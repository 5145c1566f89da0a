"""Asking accounts: what is taken for an answer, and how many ask at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from node.chain import contract
from node.chain.rpc import Chain
from node.chain.transport import Call, RpcError
from node.errors import Status, VTraceError
from node.flow.wallets import ASKED_AT_ONCE, Wallets

ACCOUNT = "0x" + "7" * 40
DIGEST = bytes(range(32))
YES = contract.is_valid_signature_data(DIGEST, b"")[:4].ljust(32, b"\0")


class Scripted:
    """A chain that answers ``eth_getCode`` and ``eth_call`` as it is told, once it may."""

    def __init__(self, code: Any, answer: Any) -> None:
        self._answers = {"eth_getCode": code, "eth_call": answer}
        self.asked: list[tuple[str, list[Any]]] = []
        self.arrived = threading.Semaphore(0)
        self.may = threading.Event()
        self.may.set()

    def batch(self, calls: list[Call]) -> list[Any]:
        self.asked += calls
        self.arrived.release()
        self.may.wait()
        return [self._answers[method] for method, _ in calls]

    def close(self) -> None:
        """Nothing to close."""


def _verdict(code: Any, answer: Any) -> tuple[bool, bool]:
    found = Wallets(Chain(Scripted(code, answer)), ACCOUNT).verdict(ACCOUNT, DIGEST, b"signature")
    assert found.digest == DIGEST
    return found.approves, found.is_contract


@pytest.mark.parametrize(
    ("answer", "approves"),
    [
        ("0x" + YES.hex(), True),
        ("0x" + (YES + bytes(32)).hex(), True),
        ("0x" + YES[:31].hex(), False),
        ("0x" + (YES[:4] + b"\1".rjust(28, b"\0")).hex(), False),
        ("0x" + bytes(32).hex(), False),
        ("0x", False),
        (RpcError(3, "execution reverted"), False),
        (RpcError(-32003, "EVM error OutOfGas"), False),
    ],
)
def test_only_the_magic_value_approves(answer: Any, approves: bool) -> None:
    assert _verdict("0x60", answer) == (approves, True)
    assert _verdict("0x", answer) == (False, False)


@pytest.mark.parametrize("answer", [None, 7, "0xzz", RpcError(-32601, "the method eth_call does not exist")])
def test_what_is_no_answer_is_told_as_such(answer: Any) -> None:
    with pytest.raises(VTraceError, match="can't tell now whether account") as told:
        _verdict("0x60", answer)
    assert told.value.status is Status.UNAVAILABLE
    with pytest.raises(VTraceError, match="which account actor 3 has"):
        Wallets(Chain(Scripted("0x", answer)), ACCOUNT).account_of(3)


def test_an_actors_account_is_asked_of_the_contract() -> None:
    told = Scripted("0x", "0x" + bytes(12).hex() + "77" * 20 + (1).to_bytes(32, "big").hex())
    assert Wallets(Chain(told), ACCOUNT).account_of(3) == "0x" + "7" * 40
    assert Wallets(Chain(Scripted("0x", "0x" + bytes(64).hex())), ACCOUNT).account_of(3) is None


def test_few_ask_at_once_and_the_others_are_sent_away() -> None:
    chain = Scripted("0x60", "0x" + YES.hex())
    wallets = Wallets(Chain(chain), ACCOUNT)
    chain.may.clear()
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        waiting = [pool.submit(wallets.verdict, ACCOUNT, DIGEST, b"s") for _ in range(ASKED_AT_ONCE)]
        try:
            for _ in waiting:
                assert chain.arrived.acquire(timeout=30)
            with pytest.raises(VTraceError, match="too many ask the chain at once") as told:
                wallets.verdict(ACCOUNT, DIGEST, b"s")
            assert (told.value.status, told.value.retry_seconds) == (Status.UNAVAILABLE, 1)
        finally:
            chain.may.set()
        assert all(done.result(30).approves for done in waiting)
    assert wallets.verdict(ACCOUNT, DIGEST, b"s").approves
