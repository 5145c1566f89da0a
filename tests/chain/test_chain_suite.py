"""What the node needs of any chain: one suite, on the embedded chain, on Anvil and on Hardhat, by each transport.

The simulator runs it too, in this process and behind HTTP: what tests say of it holds as far as it passes here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from node.chain.rpc import CallReverted, Chain, ChainUnavailable, HttpRpc, Outcome, RefusalKind, RpcError
from node.chain.transport import INVALID_PARAMS, METHOD_NOT_FOUND, JsonRpc
from node.chain.websocket import WebSocketRpc
from tests.simulator.chain import Simulator
from tests.simulator.http import served
from tests.support.node import eventually

from .echo import CREATION as ECHO
from .echo import GAS, REASON, RUNTIME, Sender, mined, word
from .servers import RICH_WEI, anvil, embedded, fund, hardhat, url_over

NOWHERE = "0x" + "ab" * 32
CHAIN_IDS = {"embedded": 0x565472616365, "anvil": 31337, "hardhat": 31337, "simulator": 31337}
SERVERS = {"anvil": anvil, "hardhat": hardhat}


@dataclass
class Net:
    name: str
    rpc: JsonRpc
    chain: Chain
    chain_id: int
    sender: Sender
    echo: str

    def send(self, *datas: bytes, gas: int = GAS) -> list[str]:
        """Send calls of the contract in one batch; their hashes."""
        signed = [self.sender.sign(self.chain_id, self.echo, data, gas=gas) for data in datas]
        assert self.chain.send([each.raw for each in signed]) == [None] * len(signed)
        return [each.hash for each in signed]


NETS = ("embedded", "anvil http", "anvil ws", "hardhat http", "hardhat ws", "simulator direct", "simulator http")


@pytest.fixture(scope="module", params=NETS)
def net(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    sender = Sender()
    if request.param == "embedded":
        path: Path = tmp_path_factory.mktemp("chain") / "chain.db"
        with embedded(path, sender.address) as rpc:
            yield _deployed("embedded", rpc, sender)
        return
    name, scheme = request.param.split()
    if name == "simulator":
        simulator = Simulator()
        simulator.ledger.fund(sender.address, RICH_WEI)
        with ExitStack() as opened:
            rpc = simulator if scheme == "direct" else HttpRpc(opened.enter_context(served(simulator)))
            opened.callback(rpc.close)
            yield _deployed(request.param, rpc, sender)
        return
    with SERVERS[name]() as url:
        remote = HttpRpc(url) if scheme == "http" else WebSocketRpc(url_over(scheme, url))
        try:
            fund(remote, sender.address)
            yield _deployed(request.param, remote, sender)
        finally:
            remote.close()


def _deployed(name: str, rpc: JsonRpc, sender: Sender) -> Net:
    chain = Chain(rpc)
    creation = sender.sign(chain.chain_id(), None, ECHO)
    assert chain.send([creation.raw]) == [None]
    (receipt,) = mined(chain, [creation.hash])
    assert receipt.contract_address is not None
    return Net(name, rpc, chain, chain.chain_id(), sender, receipt.contract_address)


def test_chain_id(net: Net) -> None:
    assert net.chain_id == CHAIN_IDS[net.name.split()[0]]


def test_blocks_are_linked(net: Net) -> None:
    net.send(word(1))
    head = net.chain.head()
    assert net.chain.block(head.number) == head
    parent = net.chain.block(head.number - 1)
    assert parent is not None
    assert head.parent_hash == parent.hash
    assert head.timestamp >= parent.timestamp
    assert head.base_fee_per_gas is not None
    assert head.gas_limit >= 30_000_000
    assert net.chain.block(head.number + 1_000) is None


def test_send_and_receipt(net: Net) -> None:
    data = word(7) + word(8) + b"more"
    (tx_hash,) = net.send(data)
    (receipt,) = mined(net.chain, [tx_hash])
    assert receipt.tx_hash == tx_hash
    assert receipt.status
    assert 21_000 < receipt.gas_used < GAS
    assert receipt.contract_address is None
    block = net.chain.block(receipt.block_number)
    assert block is not None
    assert receipt.block_hash == block.hash
    (log,) = receipt.logs
    assert log.address == net.echo
    assert log.topics == (word(7), word(8))
    assert log.data == data
    assert (log.tx_hash, log.tx_index, log.block_hash) == (tx_hash, receipt.tx_index, receipt.block_hash)

    # Anvil has the receipt a moment before it takes the transaction out of its pool.
    transaction = eventually(
        lambda: next((tx for tx in net.chain.transactions([tx_hash]) if tx and tx.block_number), 0)
    )
    assert (transaction.hash, transaction.to, transaction.sender) == (tx_hash, net.echo, net.sender.address)
    assert (transaction.input, transaction.nonce) == (data, net.sender.nonce - 1)
    assert transaction.block_number == receipt.block_number


def test_a_batch_is_mined_in_nonce_order(net: Net) -> None:
    hashes = net.send(*(word(100) + word(place) for place in range(12)))
    receipts = mined(net.chain, hashes)
    assert all(receipt.status for receipt in receipts)
    order = [(receipt.block_number, receipt.tx_index) for receipt in receipts]
    assert order == sorted(order)
    assert net.chain.transaction_count(net.sender.address) == net.sender.nonce
    logs = net.chain.logs(net.echo, [word(100)], receipts[0].block_number, receipts[-1].block_number)
    assert [log.topics[1] for log in logs] == [word(place) for place in range(12)]
    assert [log for receipt in receipts for log in receipt.logs] == logs


def test_takers_are_the_transactions_of_an_event(net: Net) -> None:
    hashes = net.send(*(word(300 + place % 2) + word(place) for place in range(6)))
    receipts = mined(net.chain, hashes)
    first, last = receipts[0].block_number, receipts[-1].block_number
    takers = net.chain.takers(net.echo, word(300), first, last)
    assert takers == [Outcome(r.tx_hash, r.block_number, r.block_hash, True) for r in receipts[::2]]
    assert net.chain.takers(net.echo, word(302), first, last) == []
    assert net.chain.takers(net.sender.address, word(300), first, last) == []
    assert net.chain.takers(net.echo, word(300), last + 1, last) == []


def test_sending_again_is_success(net: Net) -> None:
    signed = net.sender.sign(net.chain_id, net.echo, word(1))
    assert net.chain.send([signed.raw]) == [None]
    mined(net.chain, [signed.hash])
    count = net.chain.transaction_count(net.sender.address)
    assert net.chain.send([signed.raw, signed.raw]) == [None, None]
    assert net.chain.transaction_count(net.sender.address) == count


def test_nonce_too_low(net: Net) -> None:
    taken = net.sender.sign(net.chain_id, net.echo, word(99), nonce=0)
    good = net.sender.sign(net.chain_id, net.echo, word(2))
    refusal, accepted = net.chain.send([taken.raw, good.raw])
    assert refusal is not None
    assert refusal.kind is RefusalKind.NONCE_TOO_LOW
    assert refusal.message
    assert accepted is None
    assert mined(net.chain, [good.hash])[0].status
    assert net.chain.receipts([taken.hash]) == [None]


def test_no_funds(net: Net) -> None:
    poor = Sender().sign(net.chain_id, net.echo, word(1))
    (refusal,) = net.chain.send([poor.raw])
    assert refusal is not None
    assert refusal.kind is RefusalKind.NO_FUNDS


def test_too_little_gas(net: Net) -> None:
    starved = net.sender.sign(net.chain_id, net.echo, word(1), nonce=net.sender.nonce, gas=20_000)
    (refusal,) = net.chain.send([starved.raw])
    assert refusal is not None
    assert refusal.kind is RefusalKind.GAS


def test_more_gas_than_a_transaction_may_use(net: Net) -> None:
    """EIP-7825: the same cap on each, so that a batch is cut in the same way for all."""
    greedy = net.sender.sign(net.chain_id, net.echo, word(1), nonce=net.sender.nonce, gas=16_777_217)
    (refusal,) = net.chain.send([greedy.raw])
    assert refusal is not None
    assert refusal.kind is RefusalKind.GAS
    assert mined(net.chain, net.send(word(1), gas=16_777_216))[0].status


def test_rubbish_is_rejected(net: Net) -> None:
    other_chain = net.sender.sign(net.chain_id + 1, net.echo, word(1), nonce=net.sender.nonce)
    refusals = net.chain.send([b"\x02rubbish", other_chain.raw])
    assert [refusal and refusal.kind for refusal in refusals] == [RefusalKind.REJECTED, RefusalKind.WRONG_CHAIN]


def test_a_reverted_transaction_is_mined(net: Net) -> None:
    before, reverted, after = mined(net.chain, net.send(word(1), b"", word(2)))
    assert [receipt.status for receipt in (before, reverted, after)] == [True, False, True]
    assert reverted.logs == ()
    assert reverted.gas_used > 21_000


def test_call(net: Net) -> None:
    assert net.chain.call(net.echo, b"answer me") == b"answer me"
    assert net.chain.call(net.echo, b"at a height", net.chain.head().number) == b"at a height"
    with pytest.raises(CallReverted) as caught:
        net.chain.call(net.echo, b"")
    assert caught.value.data == REASON


def test_several_calls(net: Net) -> None:
    first, failed, last = net.chain.calls([(net.echo, b"1"), (net.echo, b""), (net.echo, b"3")])
    assert (first, last) == (b"1", b"3")
    assert isinstance(failed, CallReverted)
    assert failed.data == REASON


def test_code(net: Net) -> None:
    assert net.chain.code(net.echo) == RUNTIME
    assert net.chain.code(net.sender.address) == b""
    assert net.chain.code(net.echo, 0) == b""


def test_balance_and_count(net: Net) -> None:
    assert net.chain.balance(net.sender.address) > 10**20
    stranger = Sender().address
    assert net.chain.balance(stranger) == 0
    assert net.chain.transaction_count(stranger) == 0
    assert net.chain.transaction_count(net.sender.address, 0) == 0


def test_logs_by_address_and_topic(net: Net) -> None:
    start = net.chain.head().number + 1
    mined(net.chain, net.send(word(1) + word(2), word(3) + word(2), word(1) + word(4)))
    end = net.chain.head().number

    def seconds(*topics: bytes | list[bytes] | None, address: str | None = net.echo) -> list[tuple[int, ...]]:
        found = net.chain.logs(address, list(topics), start, end)
        return [tuple(int.from_bytes(topic, "big") for topic in log.topics) for log in found]

    assert seconds() == [(1, 2), (3, 2), (1, 4)]
    assert seconds(word(1)) == [(1, 2), (1, 4)]
    assert seconds(None, word(2)) == [(1, 2), (3, 2)]
    assert seconds(word(1), word(2)) == [(1, 2)]
    assert seconds([word(3), word(9)]) == [(3, 2)]
    assert seconds([word(1), word(3)], [word(4)]) == [(1, 4)]
    assert seconds(word(9)) == []
    assert seconds(None, None, None) == []
    assert seconds(word(1), address=None) == [(1, 2), (1, 4)]
    assert seconds(address=Sender().address) == []
    assert net.chain.logs(net.echo, [], end + 1, end) == []


def test_unknown_hashes(net: Net) -> None:
    (known,) = net.send(word(1))
    mined(net.chain, [known])
    first, second = net.chain.receipts([NOWHERE, known])
    assert first is None
    assert second is not None
    assert net.chain.transactions([NOWHERE]) == [None]
    assert net.chain.receipts([]) == []


def test_fees_are_enough(net: Net) -> None:
    fees = net.chain.fees()
    base = net.chain.head().base_fee_per_gas
    assert base is not None
    assert fees.max_priority_fee_per_gas is not None
    assert fees.max_fee_per_gas >= 2 * base + fees.max_priority_fee_per_gas
    signed = net.sender.sign(net.chain_id, net.echo, word(1), max_fee_per_gas=fees.max_fee_per_gas)
    assert net.chain.send([signed.raw]) == [None]
    assert mined(net.chain, [signed.hash])[0].status


def test_unknown_method_and_bad_params(net: Net) -> None:
    known, unknown, bad = net.rpc.batch(
        [("eth_chainId", []), ("eth_noSuchMethod", []), ("eth_getBlockByNumber", ["soon", False])]
    )
    assert known == hex(net.chain_id)
    assert isinstance(unknown, RpcError)
    assert isinstance(bad, RpcError)
    if not net.name.startswith("hardhat") and net.name != "anvil ws":  # those have codes of their own
        assert unknown.code == METHOD_NOT_FOUND
        assert bad.code == INVALID_PARAMS


def test_a_refused_question_is_unavailable(net: Net) -> None:
    with pytest.raises(ChainUnavailable):
        net.chain.code("0x1234")
