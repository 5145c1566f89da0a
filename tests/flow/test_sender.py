"""The sender and its worker before a chain that refuses, told what to answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from node.chain.rpc import Chain
from node.chain.transport import Call, ChainUnavailable, RpcError
from node.domain.records import TxKind, TxState
from node.flow import submit, worker
from node.flow.submit import Sender
from node.flow.worker import LedgerFault, TryLater, Worker
from node.store import outbox
from node.store.db import Store
from tests.support.node import eventually

SIGNER = "0x" + "5" * 40


class Scripted:
    """A JSON-RPC endpoint that answers each method as ``answers`` says; ``calls`` counts them."""

    def __init__(self, **answers: Callable[[list[Any]], Any]) -> None:
        self.answers = answers
        self.calls: list[str] = []

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        self.calls += [method for method, _ in calls]
        return [self.answers[method](params) for method, params in calls]

    def close(self) -> None:
        pass


def _taken(params: list[Any]) -> str:
    return "0x" + keccak(bytes.fromhex(params[0][2:])).hex()


def _unknown(_: list[Any]) -> None:
    return None


def _refusing(raw: bytes, message: str) -> Callable[[list[Any]], Any]:
    """Takes everything but ``raw``."""

    def answer(params: list[Any]) -> Any:
        return RpcError(-32000, message) if params[0] == "0x" + raw.hex() else _taken(params)

    return answer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "index.sqlite3")
    with opened.write():
        for nonce in range(4):
            raw = bytes([nonce])
            outbox.add(signer=SIGNER, nonce=nonce, kind=TxKind.CIRC, raw=raw, tx_hash="0x" + keccak(raw).hex())
    yield opened
    opened.close()


def _states() -> list[str]:
    return [tx.state.value for tx in outbox.in_state(list(TxState), 10)]


def test_a_refusal_holds_up_what_is_behind_it(store: Store) -> None:
    chain = Scripted(
        eth_sendRawTransaction=_refusing(b"\2", "max fee per gas less than block base fee"),
        eth_getTransactionByHash=_unknown,
    )
    sender = Sender(store, Chain(chain))
    with pytest.raises(TryLater, match=r"nonce 2 waits: underpriced \(max fee per gas less"):
        sender.step()
    assert _states() == ["sent", "sent", "signed", "signed"]
    assert sender.sent == 2
    chain.answers["eth_sendRawTransaction"] = _taken
    assert sender.step()
    assert not sender.step()
    assert _states() == ["sent"] * 4


def test_a_signer_without_funds_is_told_where_to_send_them(store: Store) -> None:
    chain = Scripted(
        eth_sendRawTransaction=_refusing(b"\0", "insufficient funds for gas * price + value"),
        eth_getTransactionByHash=_unknown,
    )
    with pytest.raises(TryLater, match=f"no funds.*; send funds to {SIGNER}"):
        Sender(store, Chain(chain)).step()


def test_what_the_chain_has_already_counts_as_sent(store: Store) -> None:
    chain = Scripted(eth_sendRawTransaction=lambda _: RpcError(-32000, "already known"))
    assert Sender(store, Chain(chain)).step()
    assert _states() == ["sent"] * 4


def test_what_was_sent_is_sent_again_after_a_start(store: Store) -> None:
    chain = Scripted(eth_sendRawTransaction=_taken)
    sender = Sender(store, Chain(chain))
    sender.step()
    sender.resume()
    assert _states() == ["signed"] * 4
    sender.step()
    assert chain.calls == ["eth_sendRawTransaction"] * 8


def _nonce_too_low(count: int, receipts: Sequence[Any]) -> Scripted:
    answers = iter(receipts)
    return Scripted(
        eth_sendRawTransaction=_refusing(b"\0", "nonce too low"),
        eth_getTransactionByHash=_unknown,
        eth_getTransactionReceipt=lambda _: next(answers),
        eth_getTransactionCount=lambda _: hex(count),
    )


def _receipt(raw: bytes) -> dict[str, Any]:
    hashed = "0x" + keccak(raw).hex()
    return {
        "transactionHash": hashed,
        "blockNumber": "0x1",
        "blockHash": "0x" + "1" * 64,
        "transactionIndex": "0x0",
        "status": "0x1",
        "gasUsed": "0x1",
        "logs": [],
    }


@pytest.mark.parametrize("receipts", [[_receipt(b"\0")], [None, _receipt(b"\0")]])
def test_a_nonce_that_our_own_transaction_used_counts_as_sent(store: Store, receipts: list[Any]) -> None:
    assert Sender(store, Chain(_nonce_too_low(1, receipts))).step()
    assert _states() == ["sent"] * 4


def test_a_nonce_that_is_free_again_is_tried_later(store: Store) -> None:
    with pytest.raises(TryLater, match="nonce 0 waits: nonce too low"):
        Sender(store, Chain(_nonce_too_low(0, [None]))).step()
    assert _states() == ["signed"] * 4


def test_a_nonce_that_another_transaction_used_is_a_fault_once_that_has_lasted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = Sender(store, Chain(_nonce_too_low(1, [None] * 6)))
    for _ in range(2):
        with pytest.raises(TryLater, match="nonce 0 waits: nonce too low"):
            sender.step()
    monkeypatch.setattr(submit, "CONTRADICTION_SECONDS", 0.0)
    with pytest.raises(LedgerFault, match=f"nonce 0 of signer {SIGNER} was used by another transaction than 0x"):
        sender.step()


@contextmanager
def _working(store: Store, step: Callable[[], bool]) -> Iterator[list[BaseException]]:
    faults: list[BaseException] = []
    thread = Worker("sender", step, idle_seconds=0.01, on_fatal=faults.append, at_end=store.close_thread)
    thread.start()
    try:
        yield faults
    finally:
        assert thread.stop(30)


def _told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{record.levelname} {record.message}" for record in caplog.records if record.name == worker.__name__]


@pytest.mark.parametrize("wording", ["transaction underpriced", "insufficient funds for gas", "we don't like it"])
def test_a_refusal_is_told_once_and_overcome(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, wording: str
) -> None:
    monkeypatch.setattr(worker, "BACKOFF_SECONDS_FIRST", 0.001)
    monkeypatch.setattr(worker, "BACKOFF_SECONDS_MAX", 0.002)
    caplog.set_level("INFO")
    chain = Scripted(eth_sendRawTransaction=_refusing(b"\0", wording), eth_getTransactionByHash=_unknown)
    with _working(store, Sender(store, Chain(chain)).step) as faults:
        eventually(lambda: chain.calls.count("eth_sendRawTransaction") > 20)
        chain.answers["eth_sendRawTransaction"] = _taken
        eventually(lambda: _states() == ["sent"] * 4)
        eventually(lambda: len(_told(caplog)) == 2)
    assert faults == []
    first, second = _told(caplog)
    assert first.startswith("WARNING sender: can't go on for now, trying again: nonce 0 waits: ")
    assert wording in first
    assert second == "INFO sender: goes on"


def test_pauses_grow_up_to_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    stopping = threading.Event()

    def unreachable() -> bool:
        raise ChainUnavailable("away")

    thread = Worker("sender", unreachable, idle_seconds=1, on_fatal=lambda _: None, at_end=stopping.set)

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        if len(waited) == 9:
            thread._stopping.set()
        return False

    monkeypatch.setattr(thread._stopping, "wait", wait)
    thread.start()
    assert stopping.wait(30)
    assert thread.stop(30)
    assert waited == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_fault_ends_the_worker_and_is_handed_on(store: Store) -> None:
    def fail() -> bool:
        raise LedgerFault("the books differ")

    with _working(store, fail) as faults:
        eventually(lambda: faults)
    assert [str(fault) for fault in faults] == ["the books differ"]
