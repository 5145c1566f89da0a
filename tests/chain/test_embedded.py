"""What only the embedded chain promises: durability, its file, its limits, and the shapes it shows."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_account import Account
from eth_utils import keccak
from web3 import Web3
from web3.providers import BaseProvider

from node.chain import embedded as embedded_module
from node.chain.embedded import READ_METHODS, EmbeddedChain, LedgerError
from node.chain.evm import BLOCK_GAS_LIMIT, TRANSACTION_GAS_MAX, EvmLedger, LedgerVM
from node.chain.ledger_db import LedgerStore
from node.chain.rpc import Chain, ChainUnavailable, RefusalKind, RpcError
from node.chain.transport import INTERNAL_ERROR, INVALID_PARAMS, LIMIT_EXCEEDED, METHOD_NOT_FOUND

from .echo import CREATION, REASON, RUNTIME, Sender, word
from .servers import ROOT, embedded

CHAIN_ID = 4242


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.9

    def __call__(self) -> float:
        return self.now


class Local:
    """A fresh chain with the echo contract on it."""

    def __init__(self, path: Path, sender: Sender, clock: Clock) -> None:
        self.path = path
        self.sender = sender
        self.clock = clock
        self.echo = ""
        self.reopen()
        (self.echo,) = (receipt.contract_address or "" for receipt in self.receipts(self.send_to(None, CREATION)))

    def reopen(self) -> None:
        self.rpc = EmbeddedChain(self.path, funded=self.sender.address, chain_id=CHAIN_ID, now=self.clock)
        self.chain = Chain(self.rpc)

    def send(self, *datas: bytes, gas: int = 200_000) -> list[str]:
        return self.send_to(self.echo, *datas, gas=gas)

    def send_to(self, to: str | None, *datas: bytes, gas: int = 200_000) -> list[str]:
        signed = [self.sender.sign(CHAIN_ID, to, data, gas=gas, max_fee_per_gas=20) for data in datas]
        assert self.chain.send([each.raw for each in signed]) == [None] * len(signed)
        return [each.hash for each in signed]

    def receipts(self, hashes: list[str]) -> list[Any]:
        receipts = self.chain.receipts(hashes)
        assert None not in receipts
        return receipts

    def ask(self, method: str, *params: Any) -> Any:
        (answer,) = self.rpc.batch([(method, list(params))])
        return answer


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    chain = Local(tmp_path / "chain.db", Sender(), Clock())
    yield chain
    chain.rpc.close()


# --- durability


def test_reopened_where_it_was(local: Local) -> None:
    hashes = local.send(word(1), word(2)) + local.send(word(3))
    head, receipts = local.chain.head(), local.receipts(hashes)
    local.rpc.close()
    local.reopen()
    assert local.chain.head() == head
    assert local.receipts(hashes) == receipts
    assert local.chain.code(local.echo) == RUNTIME
    assert local.receipts(local.send(word(4)))[0].block_number == head.number + 1


CHILD = """
import sys
from pathlib import Path
from node.chain.rpc import Chain
from tests.chain.echo import Sender
from tests.chain.servers import embedded

sender = Sender(bytes.fromhex(sys.argv[2]))
with embedded(Path(sys.argv[1]), sender.address) as rpc:
    chain = Chain(rpc)
    chain_id, sender.nonce = chain.chain_id(), chain.transaction_count(sender.address)
    while True:
        batch = [sender.sign(chain_id, sender.address) for _ in range(1 + sender.nonce % 7)]
        assert chain.send([each.raw for each in batch]) == [None] * len(batch)
        print(*(each.hash for each in batch), flush=True)
"""


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """Whatever was acknowledged before kill -9 is there after it, and the chain ends with a whole block."""
    sender, path = Sender(), tmp_path / "chain.db"
    moments = random.Random(7)
    acknowledged: list[str] = []
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), sender.key.hex()], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            for _ in range(moments.randrange(1, 40)):
                line = child.stdout.readline()
                assert line, "the child ended by itself"
                acknowledged += line.split()
            child.send_signal(signal.SIGKILL)
            rest = child.stdout.read()
        # a last line may have come out half
        acknowledged += [each for each in rest.rpartition("\n")[0].split() if len(each) == 66]
        with embedded(path, sender.address) as rpc:
            chain = Chain(rpc)
            for receipt in chain.receipts(acknowledged):
                assert receipt is not None
                assert receipt.status
            head = chain.head()
            mined = 0
            for number in range(head.number, 0, -1):
                (block,) = rpc.batch([("eth_getBlockByNumber", [hex(number), False])])
                parent = chain.block(number - 1)
                assert parent is not None
                assert block["parentHash"] == parent.hash
                mined += len(block["transactions"])
            assert chain.transaction_count(sender.address) == mined >= len(acknowledged)
    assert len(acknowledged) > 20


@pytest.mark.parametrize("first_start", [True, False])
def test_a_commit_that_breaks_off_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_start: bool
) -> None:
    sender, path = Sender(), tmp_path / "chain.db"
    if not first_start:
        with embedded(path, sender.address) as rpc:
            before = Chain(rpc).head()
    statements: list[str] = []
    real = sqlite3.connect

    class Breaking(sqlite3.Connection):
        def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
            statements.append(sql)
            if len(statements) == 2:
                raise sqlite3.OperationalError("database or disk is full")
            return super().executemany(sql, parameters)

    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: real(*args, **more, factory=Breaking))
    if first_start:
        with pytest.raises(LedgerError, match="full"), embedded(path, sender.address):
            pass
    else:
        with embedded(path, sender.address) as rpc:
            with pytest.raises(ChainUnavailable, match="full"):
                Chain(rpc).send([sender.sign(Chain(rpc).chain_id(), sender.address).raw])
            assert Chain(rpc).head() == before
            again = sender.sign(Chain(rpc).chain_id(), sender.address, nonce=0)
            assert Chain(rpc).send([again.raw]) == [None]
    monkeypatch.undo()
    with embedded(path, sender.address) as rpc:
        assert Chain(rpc).head().number == (0 if first_start else 1)


# --- the file


def test_second_opener_is_refused(local: Local) -> None:
    with pytest.raises(LedgerError, match="open in another process"):
        EmbeddedChain(local.path, funded=local.sender.address, chain_id=CHAIN_ID)
    assert local.receipts(local.send(word(1)))[0].status
    local.rpc.close()
    local.reopen()


def test_second_process_is_refused(local: Local) -> None:
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(local.path), local.sender.key.hex()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert child.returncode != 0
    assert "open in another process" in child.stderr


@pytest.mark.parametrize("what", ["funded", "chain_id"])
def test_another_nodes_chain_is_refused(local: Local, what: str) -> None:
    local.rpc.close()
    want = {"funded": local.sender.address, "chain_id": CHAIN_ID}
    want[what] = {"funded": Sender().address, "chain_id": CHAIN_ID + 1}[what]
    with pytest.raises(LedgerError, match=f"another node's chain|has {what}"):
        EmbeddedChain(local.path, **want)
    local.reopen()  # the refusal let go of the file


def test_a_file_that_is_no_chain_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "chain.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(LedgerError, match=r"chain\.db"):
        EmbeddedChain(path, funded=Sender().address)


def test_closed(local: Local) -> None:
    local.rpc.close()
    local.rpc.close()
    with pytest.raises(ChainUnavailable, match="closed"):
        local.chain.head()
    with pytest.raises(ChainUnavailable, match="closed"):
        local.chain.send([b"raw"])
    local.reopen()


# --- look-ups, time and blocks


def test_look_ups_do_not_walk_blocks(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = local.send(word(1))
    for number in range(310):
        local.send(word(number))
    (last,) = local.send(word(2))
    assert local.chain.head().number > 310
    local.rpc.close()
    local.reopen()  # nothing is cached
    reads: list[bytes] = []
    real = LedgerStore.__getitem__

    def counted(store: LedgerStore, key: bytes) -> bytes:
        reads.append(key)
        return real(store, key)

    monkeypatch.setattr(LedgerStore, "__getitem__", counted)
    for tx_hash in (first, last):
        reads.clear()
        assert local.receipts([tx_hash])
        assert local.chain.transactions([tx_hash]) != [None]
        assert 0 < len(reads) < 25
    reads.clear()
    assert local.chain.transaction_count(local.sender.address) == local.sender.nonce
    assert len(reads) < 25


def test_timestamps_never_run_ahead(local: Local) -> None:
    for _ in range(5):
        local.send(word(1))
    head = local.chain.head()
    assert head.number >= 5
    assert {block.timestamp for n in range(head.number + 1) if (block := local.chain.block(n))} == {1_800_000_000}
    local.clock.now += 60
    local.send(word(1))
    assert local.chain.head().timestamp == 1_800_000_060
    local.clock.now -= 3600
    local.send(word(1))
    assert local.chain.head().timestamp == 1_800_000_060, "never before the parent"


def test_a_batch_is_one_block(local: Local) -> None:
    receipts = local.receipts(local.send(*(word(number) for number in range(100))))
    assert len({receipt.block_number for receipt in receipts}) == 1
    assert [receipt.tx_index for receipt in receipts] == list(range(100))
    assert [receipt.logs[0].log_index for receipt in receipts] == list(range(100))


def test_gas_used_counts_and_not_gas_asked_for(local: Local) -> None:
    start = local.chain.head().number
    receipts = local.receipts(local.send(*[word(1)] * 5, gas=TRANSACTION_GAS_MAX))
    assert 5 * TRANSACTION_GAS_MAX > BLOCK_GAS_LIMIT > 3 * TRANSACTION_GAS_MAX
    assert [receipt.block_number - start for receipt in receipts] == [1] * 5


def test_full_blocks_are_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.chain.evm.BLOCK_GAS_LIMIT", 1_000_000)
    local = Local(tmp_path / "chain.db", Sender(), Clock())
    receipts = local.receipts(local.send(*(word(number) for number in range(60))))
    numbers = sorted({receipt.block_number for receipt in receipts})
    assert len(numbers) >= 2
    for number in numbers:
        indices = [receipt.tx_index for receipt in receipts if receipt.block_number == number]
        assert indices == list(range(len(indices)))
    head = local.chain.head()
    assert (head.gas_limit, head.base_fee_per_gas) == (1_000_000, 7), "full blocks change neither"
    local.rpc.close()


def test_readers_see_whole_blocks_while_others_are_mined(local: Local) -> None:
    done = threading.Event()
    wrong: list[Any] = []

    def read() -> None:
        while not done.is_set():
            head = local.ask("eth_getBlockByNumber", "latest", True)
            hashes = [transaction["hash"] for transaction in head["transactions"]]
            receipts = local.chain.receipts(hashes)
            if any(receipt is None or receipt.block_hash != head["hash"] for receipt in receipts):
                wrong.append(head)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(15):
        local.send(*(word(number * 10 + place) for place in range(10)))
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []


def test_writers_wait_for_one_another(local: Local) -> None:
    """Two threads that hand over the same transactions: each is mined once, both are told so."""
    signed = [local.sender.sign(CHAIN_ID, local.echo, word(n), max_fee_per_gas=20) for n in range(30)]
    outcomes: list[Any] = []
    raws = [each.raw for each in signed]
    threads = [threading.Thread(target=lambda: outcomes.append(local.chain.send(raws))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [[None] * 30] * 2
    assert local.chain.transaction_count(local.sender.address) == local.sender.nonce


# --- refusals


def test_a_bad_one_does_not_spoil_the_batch(local: Local) -> None:
    sender, echo = local.sender, local.echo
    nonce = sender.nonce
    poor = Sender()

    def sign(who: Sender = sender, **more: Any) -> bytes:
        return who.sign(CHAIN_ID, echo, word(1), **({"max_fee_per_gas": 20} | more)).raw

    good = [sign(), sign(), sign()]
    raws = [
        good[0],
        sign(nonce=nonce - 1),
        sign(nonce=nonce + 9),
        sign(poor, nonce=0),
        good[1],
        good[1],
        sign(nonce=nonce + 2, gas=21_000),
        sign(nonce=nonce + 2, max_fee_per_gas=6),
        sign(nonce=nonce + 2, gas=TRANSACTION_GAS_MAX + 1),
        sign(nonce=nonce + 2, value=10**30),
        sender.sign(CHAIN_ID + 1, echo, b"", nonce=nonce + 2).raw,
        b"",
        b"\x03" + good[2][1:],
        good[2][:-1],
        good[2] + b"\x00",
        good[2],
    ]
    answers = local.rpc.batch([("eth_sendRawTransaction", ["0x" + raw.hex()]) for raw in raws])
    told = [str(answer) for answer in answers]
    for place, wanted in enumerate(
        [
            "0x",
            "nonce too low",
            "nonce too high",
            "insufficient funds for gas * price + value",
            "0x",
            "already known",
            "intrinsic gas too low",
            "underpriced",
            "gas limit too high",
            "insufficient funds for gas * price + value",
            "invalid chain id",
            "invalid transaction",
            "transaction type not supported",
            "invalid transaction",
            "invalid transaction",
            "0x",
        ]
    ):
        assert told[place].startswith(wanted) or wanted in told[place], (place, told[place])
    assert {answer.code for answer in answers if isinstance(answer, RpcError)} == {-32000}
    assert local.chain.transaction_count(sender.address) == nonce + 3
    cheap = sign(nonce=nonce + 3, max_fee_per_gas=6)
    kinds = [refusal and refusal.kind for refusal in local.chain.send([raws[1], raws[2], cheap])]
    assert kinds == [RefusalKind.NONCE_TOO_LOW, RefusalKind.NONCE_TOO_HIGH, RefusalKind.UNDERPRICED]


def test_unprotected_and_forged_transactions_are_refused(local: Local) -> None:
    fields = {"nonce": local.sender.nonce, "gasPrice": 10, "gas": 100_000, "to": local.echo, "value": 0, "data": b""}
    unprotected = bytes(Account.sign_transaction(fields, local.sender.key).raw_transaction)
    protected = bytes(Account.sign_transaction(fields | {"chainId": CHAIN_ID}, local.sender.key).raw_transaction)
    unsigned = rlp.encode([*rlp.decode(protected)[:7], b"", b""])
    first, second, third = local.chain.send([unprotected, unsigned, protected])
    assert first is not None
    assert "replay-protected" in first.message
    assert second is not None
    assert third is None, "a legacy transaction with a chain id is welcome"
    assert local.ask("eth_getTransactionByHash", "0x" + keccak(protected).hex())["type"] == "0x0"


def test_what_crashes_the_machine_is_set_aside(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    real = LedgerVM.apply_transaction

    def breaking(vm: Any, header: Any, transaction: Any) -> Any:
        if transaction.data == b"crash":
            raise RecursionError("too deep")
        return real(vm, header, transaction)

    monkeypatch.setattr(LedgerVM, "apply_transaction", breaking)
    nonce = local.sender.nonce
    before = local.sender.sign(CHAIN_ID, local.echo, word(1))
    crash = local.sender.sign(CHAIN_ID, local.echo, b"crash", nonce=nonce + 1)
    after = local.sender.sign(CHAIN_ID, local.echo, word(2))
    first, second, third = local.chain.send([before.raw, crash.raw, after.raw])
    assert first is None
    assert second is not None
    assert "could not be executed" in second.message
    assert third is None
    assert [receipt.status for receipt in local.receipts([before.hash, after.hash])] == [True, True]


# --- JSON-RPC


def test_read_methods_cannot_send() -> None:
    assert "eth_sendRawTransaction" not in READ_METHODS
    assert "eth_getLogs" in READ_METHODS
    assert all(method.startswith(("eth_", "net_", "web3_")) for method in READ_METHODS)


def test_answers_keep_the_order_of_the_calls(local: Local) -> None:
    signed = [local.sender.sign(CHAIN_ID, local.echo, word(n), max_fee_per_gas=20) for n in range(2)]
    before, first, between, second, after = local.rpc.batch(
        [
            ("eth_blockNumber", []),
            ("eth_sendRawTransaction", ["0x" + signed[0].raw.hex()]),
            ("eth_blockNumber", []),
            ("eth_sendRawTransaction", ["0x" + signed[1].raw.hex()]),
            ("eth_getTransactionReceipt", [signed[1].hash]),
        ]
    )
    assert int(between, 16) == int(before, 16) + 1
    assert (first, second) == (signed[0].hash, signed[1].hash)
    assert after["status"] == "0x1"


@pytest.mark.parametrize(
    ("method", "params", "code", "told"),
    [
        ("eth_mine", [], METHOD_NOT_FOUND, "eth_mine"),
        ("debug_traceTransaction", [], METHOD_NOT_FOUND, "does not exist"),
        ("eth_getBlockByNumber", [], INVALID_PARAMS, "param 1 (block number)"),
        ("eth_getBlockByNumber", [1], INVALID_PARAMS, "hex number"),
        ("eth_getBlockByNumber", ["0x" + "f" * 20], INVALID_PARAMS, "2^63"),
        ("eth_getBlockByNumber", ["latest", "yes"], INVALID_PARAMS, "true or false"),
        ("eth_getBlockByHash", ["0x12"], INVALID_PARAMS, "want 32 bytes, got 1"),
        ("eth_getTransactionReceipt", [None], INVALID_PARAMS, "transaction hash"),
        ("eth_getBalance", ["0x12", "latest"], INVALID_PARAMS, "want 20 bytes"),
        ("eth_getBalance", ["0x" + "00" * 20, "0xffff"], -32000, "header not found"),
        ("eth_getStorageAt", ["0x" + "00" * 20, "x"], INVALID_PARAMS, "param 2 (slot)"),
        ("eth_call", ["0x"], INVALID_PARAMS, "want an object"),
        ("eth_call", [{"to": 5}], INVALID_PARAMS, "to: want bytes"),
        ("eth_call", [{"to": "0x" + "00" * 20}, "latest", {}], INVALID_PARAMS, "overrides"),
        ("eth_call", [{"to": "0x" + "00" * 20, "gas": "0x5"}], -32000, "intrinsic gas too low"),
        ("eth_call", [{"to": "0x" + "00" * 20, "value": "0x5"}], -32000, "insufficient funds"),
        ("eth_getLogs", [[]], INVALID_PARAMS, "want an object"),
        ("eth_getLogs", [{"topics": ["0x1"]}], INVALID_PARAMS, "topic 0"),
        ("eth_getLogs", [{"topics": [None] * 5}], INVALID_PARAMS, "at most 4"),
        ("eth_getLogs", [{"address": ["0x"]}], INVALID_PARAMS, "address"),
        ("eth_getLogs", [{"fromBlock": "0x1", "toBlock": "0x0"}], INVALID_PARAMS, "range"),
        ("eth_getLogs", [{"blockHash": "0x" + "00" * 32}], -32000, "unknown block"),
        ("eth_sendRawTransaction", [], INVALID_PARAMS, "param 1 (transaction)"),
        ("eth_sendRawTransaction", [{}], INVALID_PARAMS, "want bytes"),
        ("eth_sendRawTransaction", {}, INVALID_PARAMS, "want an array"),
        ("eth_chainId", {"a": 1}, INVALID_PARAMS, "want an array"),
    ],
)
def test_errors_say_what_was_wanted(local: Local, method: str, params: Any, code: int, told: str) -> None:
    (answer,) = local.rpc.batch([(method, params)])
    assert isinstance(answer, RpcError)
    assert answer.code == code
    assert told in answer.message


def test_the_inside_is_not_told(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: EvmLedger) -> Any:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(EvmLedger, "head", broken)
    answer = local.ask("eth_blockNumber")
    assert isinstance(answer, RpcError)
    assert (answer.code, answer.message) == (INTERNAL_ERROR, "internal error")


def test_revert_is_code_3_with_its_data(local: Local) -> None:
    answer = local.ask("eth_call", {"to": local.echo, "input": "0x"}, "latest")
    assert isinstance(answer, RpcError)
    assert answer.to_json() == {"code": 3, "message": "execution reverted", "data": "0x" + REASON.hex()}


def test_calls_are_bounded_and_leave_nothing(local: Local) -> None:
    loop = "0x" + "5b600056"
    answer = local.ask("eth_call", {"data": loop, "gas": hex(100_000)}, "latest")
    assert isinstance(answer, RpcError)
    assert "out of gas" in answer.message
    store = "0x" + "60015f55" + "00"  # a creation that writes to storage
    assert local.ask("eth_call", {"from": local.sender.address, "data": store}, "latest") == "0x"
    assert local.chain.transaction_count(local.sender.address) == local.sender.nonce


def test_the_past_can_be_asked(local: Local) -> None:
    store = bytes.fromhex("5f355f55")  # the first word into slot 0
    creation = bytes.fromhex(f"60{len(store):02x}8060095f395ff3") + store
    (deployed,) = local.receipts(local.send_to(None, creation))
    address = deployed.contract_address
    one, two = local.receipts([*local.send_to(address, word(1)), *local.send_to(address, word(2))])
    for receipt, value in ((deployed, 0), (one, 1), (two, 2)):
        assert local.ask("eth_getStorageAt", address, "0x0", hex(receipt.block_number)) == "0x" + word(value).hex()
    assert local.ask("eth_getStorageAt", address, "0x0", "latest") == "0x" + word(2).hex()
    number = "0x" + "435f5260205ff3"  # a creation that gives the block's number
    assert local.ask("eth_call", {"data": number}, hex(one.block_number)) == "0x" + word(one.block_number).hex()


def test_tags(local: Local) -> None:
    local.send(word(1))
    head = local.ask("eth_getBlockByNumber", "latest", False)
    assert head["number"] == hex(2)
    for tag in ("pending", "safe", "finalized", "0x2"):
        assert local.ask("eth_getBlockByNumber", tag, False) == head
    assert local.ask("eth_getBlockByNumber", "earliest", False)["number"] == "0x0"
    assert local.ask("eth_getBlockByNumber", "0x3", False) is None
    assert local.ask("eth_getBlockByHash", head["hash"], False) == head
    assert local.ask("eth_getBlockByHash", "0x" + "77" * 32, False) is None
    assert local.ask("net_version") == str(CHAIN_ID)
    assert local.ask("web3_clientVersion").startswith("VTrace/")


def test_log_limits(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    local.send(*(word(number) for number in range(5)))
    for _ in range(4):
        local.send(word(9))
    everything = {"fromBlock": "earliest", "toBlock": "latest"}
    assert len(local.ask("eth_getLogs", everything)) == 9
    monkeypatch.setattr(embedded_module, "LOGS_MAX", 8)
    answer = local.ask("eth_getLogs", everything)
    assert isinstance(answer, RpcError)
    assert (answer.code, answer.message) == (LIMIT_EXCEEDED, "query returned more than 8 results")
    assert len(local.chain.logs(local.echo, [], 0, local.chain.head().number)) == 9, "the client asks in pieces"
    monkeypatch.setattr(embedded_module, "LOGS_MAX", 100)
    monkeypatch.setattr(embedded_module, "LOG_BLOCKS_MAX", 3)
    answer = local.ask("eth_getLogs", everything)
    assert isinstance(answer, RpcError)
    assert answer.message == "query spans more than 3 blocks"
    assert len(local.chain.logs(local.echo, [], 0, local.chain.head().number)) == 9


def test_logs_of_one_block_by_its_hash(local: Local) -> None:
    local.send(word(1))
    (receipt,) = local.receipts(local.send(word(2)))
    (log,) = local.ask("eth_getLogs", {"blockHash": receipt.block_hash})
    assert log["transactionHash"] == receipt.tx_hash
    (latest,) = local.ask("eth_getLogs", {})
    assert latest == log


HEADER_FIELDS = """
    parentHash sha3Uncles miner stateRoot transactionsRoot receiptsRoot logsBloom difficulty number gasLimit
    gasUsed timestamp extraData mixHash nonce baseFeePerGas withdrawalsRoot blobGasUsed excessBlobGas
    parentBeaconBlockRoot requestsHash
"""
QUANTITIES = "difficulty number gasLimit gasUsed timestamp baseFeePerGas blobGasUsed excessBlobGas"


def test_a_blocks_hash_follows_from_what_is_shown(local: Local) -> None:
    """An auditor can compute it anew from the JSON alone."""
    local.send(word(1), b"")
    for number in range(3):
        shown = local.ask("eth_getBlockByNumber", hex(number), True)
        fields = [
            int(shown[name], 16) if name in QUANTITIES.split() else bytes.fromhex(shown[name][2:])
            for name in HEADER_FIELDS.split()
        ]
        assert "0x" + keccak(rlp.encode(fields)).hex() == shown["hash"]
        json.dumps(shown)


class InProcess(BaseProvider):
    """web3's own formatters as the judge of the shapes."""

    def __init__(self, rpc: EmbeddedChain) -> None:
        super().__init__()
        self.rpc = rpc

    def make_request(self, method: Any, params: Any) -> Any:
        (answer,) = self.rpc.batch([(method, json.loads(json.dumps(params)))])
        body = {"jsonrpc": "2.0", "id": 1}
        return body | ({"error": answer.to_json()} if isinstance(answer, RpcError) else {"result": answer})


def test_web3_understands_it(local: Local) -> None:
    tx_hash, reverted = local.send(word(1) + word(2), b"")
    w3 = Web3(InProcess(local.rpc))
    block = w3.eth.get_block("latest", full_transactions=True)
    assert block["transactions"][0]["hash"].to_0x_hex() == tx_hash
    receipt = w3.eth.get_transaction_receipt(tx_hash)
    assert receipt["status"] == 1
    assert receipt["logs"][0]["topics"] == [word(1), word(2)]
    assert w3.eth.get_transaction_receipt(reverted)["status"] == 0
    assert w3.eth.get_transaction(tx_hash)["type"] == 2
    assert w3.eth.chain_id == CHAIN_ID
    assert len(w3.eth.get_logs({"address": local.echo, "fromBlock": 0})) == 1
    assert w3.eth.gas_price == 7


def test_deep_json_cannot_end_the_process() -> None:
    """py-evm lifts Python's recursion limit so far that a stranger's nested brackets overflowed the stack."""
    assert sys.getrecursionlimit() < 60_000
    with pytest.raises(RecursionError):
        json.loads("[" * 100_000)


def test_the_deepest_calls_fit(local: Local) -> None:
    """A contract that calls itself with all its gas, within the recursion limit."""
    calls_itself = bytes.fromhex("5f5f5f5f5f305af100")
    creation = bytes.fromhex(f"60{len(calls_itself):02x}8060095f395ff3") + calls_itself
    (deployed,) = local.receipts(local.send_to(None, creation))
    (receipt,) = local.receipts(local.send_to(deployed.contract_address, b"", gas=TRANSACTION_GAS_MAX))
    assert receipt.status
