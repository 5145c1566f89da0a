"""The sender and its worker before a chain that refuses, told what to answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from node.chain import signer
from node.chain.fees import Fees
from node.chain.rpc import Chain, RefusalKind
from node.chain.transport import Call, ChainUnavailable, RpcError
from node.domain.records import TxKind, TxState
from node.flow import submit, worker
from node.flow.bump import Bumper
from node.flow.identity import Identity
from node.flow.lanes import Lanes
from node.flow.ledger import Ledger
from node.flow.refusals import ANSWERS
from node.flow.submit import Sender
from node.flow.worker import LedgerFault, TryLater, Worker
from node.store import outbox, progress
from node.store.db import Store
from tests.support.node import eventually

KEYS = [bytes([5]) * 32, bytes([6]) * 32]
SIGNER, OTHER = (signer.address_of(key) for key in KEYS)
CONTRACT = signer.contract_address(SIGNER, 0)
GENESIS = "0x" + "0" * 64
FEES = Fees(1_000, 10)


def _block(number: int, block_hash: str) -> dict[str, Any]:
    return {
        "number": hex(number),
        "hash": block_hash,
        "parentHash": GENESIS,
        "timestamp": "0x1",
        "gasLimit": "0x1",
    }


class Scripted:
    """A JSON-RPC endpoint that answers each method as ``answers`` says; ``calls`` counts them."""

    def __init__(self, **answers: Callable[[list[Any]], Any]) -> None:
        self.answers: dict[str, Callable[[list[Any]], Any]] = {
            "eth_chainId": lambda _: "0x1",
            "eth_getBlockByNumber": lambda _: _block(0, GENESIS),
            "eth_getCode": lambda _: "0x",
            "eth_getTransactionByHash": lambda _: None,
            **answers,
        }
        self.calls: list[str] = []

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        self.calls += [method for method, _ in calls]
        return [self.answers[method](params) for method, params in calls]

    def close(self) -> None:
        pass


def _taken(params: list[Any]) -> str:
    return "0x" + keccak(bytes.fromhex(params[0][2:])).hex()


def _raw(nonce: int, key: bytes = KEYS[0], fees: Fees = FEES) -> signer.SignedTransaction:
    return signer.sign_transaction(key, chain_id=1, nonce=nonce, to=CONTRACT, data=b"x", gas=50_000, fees=fees)


def _refusing(nonce: int, message: str) -> Callable[[list[Any]], Any]:
    """Takes everything but one transaction of the first lane."""

    def answer(params: list[Any]) -> Any:
        return RpcError(-32000, message) if params[0] == "0x" + _raw(nonce).raw.hex() else _taken(params)

    return answer


def _add(nonce: int, key: bytes = KEYS[0], waits_for: Sequence[int] = ()) -> int:
    signed = _raw(nonce, key)
    return outbox.add(
        signer=signer.address_of(key),
        nonce=nonce,
        kind=TxKind.CIRC,
        raw=signed.raw,
        tx_hash=signed.hash,
        now=0,
        waits_for=waits_for,
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "index.sqlite3")
    with opened.write():
        progress.open_lanes([SIGNER, OTHER])
        for nonce in range(4):
            _add(nonce)
    yield opened
    opened.close()


def _sender(store: Store, rpc: Scripted, *, lanes: int = 1, fee_max: int | None = None) -> Sender:
    chain = Chain(rpc)
    ledger = Ledger(
        identity=Identity(chain, chain_id=1, genesis=GENESIS, address=CONTRACT),
        chain_id=1,
        address=CONTRACT,
        lanes=Lanes([signer.HeldKey(key) for key in KEYS[:lanes]]),
        first_nonces={},
        gas_max=10**7,
        fees=FEES,
        clock=lambda: 0,
        backlog_max=100,
    )
    return Sender(store, chain, ledger, Bumper(store, ledger, fee_max))


def _states(lane: str = SIGNER) -> list[str]:
    found = [tx for state in TxState for tx in outbox.in_lane(lane, state, 10)]
    return [tx.state.value for tx in sorted(found, key=lambda tx: tx.nonce)]


def _trouble(lane: str = SIGNER) -> str:
    return next(each.trouble for each in progress.lanes() if each.signer == lane)


def _resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of lanes are over at once."""
    monkeypatch.setattr(submit, "PAUSE_SECONDS_FIRST", 0.0)


def test_every_reason_has_an_answer() -> None:
    assert ANSWERS.keys() == set(RefusalKind)


def test_a_refusal_holds_up_what_is_behind_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _resumed(monkeypatch)
    chain = Scripted(eth_sendRawTransaction=_refusing(2, "txpool is full"))
    sender = _sender(store, chain)
    assert not sender.step()
    assert _states() == ["sent", "sent", "signed", "signed"]
    assert _trouble().startswith(f"nonce 2 of {SIGNER} waits: pool full (txpool is full); nothing is lost")
    assert sender.sent == 2
    chain.answers["eth_sendRawTransaction"] = _taken
    assert not sender.step()
    assert not sender.step()
    assert _states() == ["sent"] * 4
    assert _trouble() == ""


def test_behind_a_full_batch_more_may_wait(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "BATCH_MAX", 3)
    sender = _sender(store, Scripted(eth_sendRawTransaction=_taken))
    assert sender.step()
    assert _states() == ["sent"] * 3 + ["signed"]
    assert not sender.step()
    assert _states() == ["sent"] * 4


def test_a_worker_rests_only_when_nothing_waits(store: Store) -> None:
    left, done = [True, True, True, False], threading.Event()

    def step() -> bool:
        again = left.pop(0)
        if not left:
            done.set()
        return again

    an_hour = 3_600.0
    worker = Worker(
        "sender",
        step,
        idle_seconds=an_hour,
        on_fatal=lambda _: None,
        at_end=store.close_thread,
        gather_seconds=an_hour,
    )
    worker.start()
    assert done.wait(60)
    assert worker.stop(60)


def test_a_lane_pauses_longer_and_longer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(submit.time, "monotonic", lambda: clock[0])
    chain = Scripted(eth_sendRawTransaction=_refusing(0, "we don't like it"))
    sender = _sender(store, chain)
    tried = []
    for _ in range(1_200):
        before = len(chain.calls)
        assert not sender.step()
        if len(chain.calls) > before:
            tried.append(clock[0] - 1000)
        clock[0] += 0.125
    assert tried == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5, 91.5, 121.5]


def test_a_signer_without_funds_is_told_where_to_send_them(store: Store) -> None:
    chain = Scripted(eth_sendRawTransaction=_refusing(0, "insufficient funds for gas * price + value"))
    assert not _sender(store, chain).step()
    assert "no funds" in _trouble()
    assert _trouble().endswith(f"; send funds to {SIGNER}")


def test_an_underpriced_transaction_is_signed_again_at_once(store: Store) -> None:
    chain = Scripted(eth_sendRawTransaction=_refusing(2, "max fee per gas less than block base fee"))
    sender = _sender(store, chain)
    assert sender.step()
    assert _states() == ["sent", "sent", "signed", "signed"]
    assert not sender.step()
    assert _states() == ["sent"] * 4
    (_, _, again, _) = outbox.in_lane(SIGNER, TxState.SENT, 4)
    assert signer.fees_of(again.raw) == Fees(1_125, 11)
    assert (again.tx_hash, again.live_hash) == (_raw(2).hash, _raw(2, fees=Fees(1_125, 11)).hash)
    assert outbox.replaced([again.id]) == {again.id: [again.tx_hash]}


def test_fees_are_not_raised_beyond_the_limit(store: Store) -> None:
    chain = Scripted(eth_sendRawTransaction=_refusing(0, "replacement transaction underpriced"))
    assert not _sender(store, chain, fee_max=1_100).step()
    assert _trouble().endswith("; raise --max-fee")
    assert _states() == ["signed"] * 4


def test_a_gap_sends_the_whole_lane_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _resumed(monkeypatch)
    chain = Scripted(eth_sendRawTransaction=_refusing(2, "nonce too high"))
    sender = _sender(store, chain)
    assert not sender.step()
    assert _states() == ["signed"] * 4
    chain.answers["eth_sendRawTransaction"] = _taken
    assert not sender.step()
    assert _states() == ["sent"] * 4


def test_what_the_chain_has_already_counts_as_sent(store: Store) -> None:
    chain = Scripted(eth_sendRawTransaction=lambda _: RpcError(-32000, "already known"))
    assert not _sender(store, chain).step()
    assert _states() == ["sent"] * 4


def test_a_nonce_that_is_used_up_is_the_confirmers(store: Store) -> None:
    assert not _sender(store, Scripted(eth_sendRawTransaction=_refusing(0, "nonce too low"))).step()
    assert _states() == ["sent"] * 4


def test_what_was_sent_is_sent_again_after_a_start(store: Store) -> None:
    chain = Scripted(eth_sendRawTransaction=_taken)
    sender = _sender(store, chain)
    assert not sender.step()
    sender.resume()
    assert _states() == ["signed"] * 4
    assert not sender.step()
    assert chain.calls.count("eth_sendRawTransaction") == 8


def test_a_lane_that_stops_does_not_stop_the_others(store: Store) -> None:
    with store.write():
        for nonce in range(2):
            _add(nonce, KEYS[1])
    chain = Scripted(eth_sendRawTransaction=_refusing(0, "insufficient funds"))
    assert not _sender(store, chain, lanes=2).step()
    assert (_states(SIGNER), _states(OTHER)) == (["signed"] * 4, ["sent"] * 2)
    assert (bool(_trouble(SIGNER)), bool(_trouble(OTHER))) == (True, False)


def test_what_waits_for_another_lane_is_not_sent(store: Store) -> None:
    first = outbox.in_lane(SIGNER, TxState.SIGNED, 1)[0]
    with store.write():
        _add(0, KEYS[1])
        _add(1, KEYS[1], waits_for=[first.id])
        _add(2, KEYS[1])
    sender = _sender(store, Scripted(eth_sendRawTransaction=_taken), lanes=2)
    assert not sender.step()
    assert not sender.step()
    assert _states(OTHER) == ["sent", "signed", "signed"]
    with store.write():
        outbox.mark_mined([outbox.MinedTx(first.id, TxState.FINAL, 1, "0x1", first.tx_hash)])
    assert not sender.step()
    assert _states(OTHER) == ["sent"] * 3


@pytest.mark.parametrize(
    ("answers", "what"),
    [
        ({"eth_chainId": lambda _: "0x5"}, "chain id: expected 1, found 5"),
        (
            {"eth_getBlockByNumber": lambda _: _block(0, "0x" + "a" * 64)},
            f"block 0: expected {GENESIS}, found 0x{'a' * 64}",
        ),
        ({"eth_getBlockByNumber": lambda _: None}, "found none"),
        ({"eth_getCode": lambda _: "0x6001"}, f"code of the contract {CONTRACT}: expected this version's, found 0x"),
    ],
)
def test_nothing_is_sent_to_another_chain(store: Store, answers: dict[str, Any], what: str) -> None:
    """It may be swapped behind a running node: after an outage nobody knows what comes back."""
    chain = Scripted(eth_sendRawTransaction=_taken)
    sender = _sender(store, chain)
    right = dict(chain.answers)

    def away(_: list[Any]) -> Any:
        raise ChainUnavailable("away")

    chain.answers["eth_sendRawTransaction"] = away
    with pytest.raises(ChainUnavailable):
        sender.step()
    chain.answers = {**right, **answers}
    for _ in range(2):
        with pytest.raises(TryLater) as told:
            sender.step()
        assert what in str(told.value)
    assert chain.calls.count("eth_sendRawTransaction") == 1 + 3
    chain.answers = right
    assert not sender.step()
    assert _states() == ["sent"] * 4


@contextmanager
def _working(
    store: Store, step: Callable[[], bool], tell: Callable[[str], None] = lambda _: None
) -> Iterator[list[BaseException]]:
    faults: list[BaseException] = []
    thread = Worker("sender", step, idle_seconds=0.01, on_fatal=faults.append, at_end=store.close_thread, tell=tell)
    thread.start()
    try:
        yield faults
    finally:
        assert thread.stop(30)


def _told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{record.levelname} {record.message}" for record in caplog.records if record.name == submit.__name__]


@pytest.mark.parametrize("wording", ["txpool is full", "insufficient funds for gas", "we don't like it"])
def test_a_refusal_is_told_once_and_overcome(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, wording: str
) -> None:
    _resumed(monkeypatch)
    caplog.set_level("INFO")
    chain = Scripted(eth_sendRawTransaction=_refusing(0, wording))
    with _working(store, _sender(store, chain).step) as faults:
        eventually(lambda: chain.calls.count("eth_sendRawTransaction") > 20)
        chain.answers["eth_sendRawTransaction"] = _taken
        eventually(lambda: _states() == ["sent"] * 4)
        eventually(lambda: len(_told(caplog)) == 2)
    assert faults == []
    first, second = _told(caplog)
    assert first.startswith(f"WARNING nonce 0 of {SIGNER} waits: ")
    assert wording in first
    assert second == f"INFO lane {SIGNER} goes on"


def test_a_chain_that_is_away_is_told_once(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BACKOFF_SECONDS_FIRST", 0.001)
    monkeypatch.setattr(worker, "BACKOFF_SECONDS_MAX", 0.002)
    caplog.set_level("INFO")
    told: list[str] = []
    away = threading.Event()
    tries = []

    def step() -> bool:
        tries.append(1)
        if not away.is_set():
            raise ChainUnavailable("away")
        return False

    with _working(store, step, told.append) as faults:
        eventually(lambda: len(tries) > 20)
        away.set()
        eventually(lambda: len(told) == 2)
    assert (faults, told) == ([], ["away", ""])
    lines = [record.message for record in caplog.records if record.name == worker.__name__]
    assert lines == ["sender: can't go on for now, trying again: away", "sender: goes on"]


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
    longest = [0.5, 1, 2, 4, 8, 10, 10, 10, 10]
    assert all(0.75 * most <= each <= most for each, most in zip(waited, longest, strict=True))
    assert waited != longest


def test_a_fault_ends_the_worker_and_is_handed_on(store: Store) -> None:
    def fail() -> bool:
        raise LedgerFault("the books differ")

    with _working(store, fail) as faults:
        eventually(lambda: faults)
    assert [str(fault) for fault in faults] == ["the books differ"]
