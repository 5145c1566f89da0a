"""What the simulator does wrong on demand, and that it does nothing else wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from eth_account import Account

from node.chain.rpc import Chain, ChainUnavailable, Fees, HttpRpc, RefusalKind, RpcError
from node.chain.signer import SignedTransaction
from node.chain.wordings import is_already_known, refusal_of
from tests.chain.echo import CREATION, Sender, word
from tests.chain.servers import RICH_WEI
from tests.simulator.chain import CHAIN_ID, Simulator
from tests.simulator.dialects import ANVIL, DIALECTS, GETH, HARDHAT, Dialect
from tests.simulator.http import served
from tests.simulator.ledger import Market, Unfit


class Net:
    """A simulator that mines on demand, with a sender and the echo contract's address."""

    def __init__(self, dialect: Dialect = GETH, market: Market = Market.FEES) -> None:
        self.simulator = Simulator(dialect, market, automine=False)
        self.ledger = self.simulator.ledger
        self.chain = Chain(self.simulator)
        self.sender = Sender()
        self.ledger.fund(self.sender.address, RICH_WEI)

    def sign(self, nonce: int, *, data: bytes = CREATION, fee: int = 10**11) -> SignedTransaction:
        return self.sender.sign(CHAIN_ID, None, data, nonce=nonce, max_fee_per_gas=fee)

    def send(self, *nonces: int) -> list[str]:
        signed = [self.sign(nonce) for nonce in nonces]
        assert self.chain.send([each.raw for each in signed]) == [None] * len(signed)
        return [each.hash for each in signed]

    def heights(self, hashes: list[str]) -> list[int | None]:
        return [receipt and receipt.block_number for receipt in self.chain.receipts(hashes)]


def test_blocks_are_linked_on_every_branch() -> None:
    net = Net()
    for depth in (1, 1, 2, 3):
        net.ledger.mine()
        net.ledger.fork(depth)
    for block in net.ledger.blocks.values():
        assert block.number == 0 or net.ledger.blocks[block.parent_hash].number == block.number - 1
    assert [block.number for block in net.ledger.canonical] == list(range(len(net.ledger.canonical)))
    assert len(net.ledger.blocks) > len(net.ledger.canonical)


def test_a_fork_gives_back_what_it_took_out() -> None:
    net = Net()
    hashes = []
    for nonce in range(3):
        hashes += net.send(nonce)
        net.ledger.mine()
    assert net.heights(hashes) == [1, 2, 3]
    left = net.ledger.head
    net.ledger.fork(2, refill=False)
    assert net.heights(hashes) == [1, None, None]
    assert net.chain.head().number == 4
    assert all(net.chain.transactions(hashes))
    net.ledger.mine()
    assert net.heights(hashes) == [1, 5, 5]
    net.ledger.fork(3)
    assert net.heights(hashes) == [1, 3, 3]
    net.ledger.adopt(left)
    assert net.heights(hashes) == [1, 2, 3]
    assert net.chain.head().hash == left.hash
    assert net.ledger.pool == {}


def test_a_fork_can_lose_what_it_took_out() -> None:
    net = Net()
    hashes = net.send(0, 1, 2)
    net.ledger.mine()
    net.ledger.fork(1, vanish=lambda tx: tx.nonce == 1)
    assert net.heights(hashes) == [1, None, None]
    assert [known is not None for known in net.chain.transactions(hashes)] == [True, False, True]
    assert net.send(1) == [hashes[1]]
    net.ledger.mine()
    assert net.heights(hashes) == [1, 3, 3]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_replacement_offers_a_tenth_more(dialect: Dialect) -> None:
    net = Net(dialect)

    def signed(fee: int, tip: int) -> bytes:
        fields = {"nonce": 0, "gas": 200_000, "data": CREATION, "value": 0, "type": 2, "chainId": CHAIN_ID}
        fees = {"maxFeePerGas": fee, "maxPriorityFeePerGas": tip}
        return bytes(Account.sign_transaction(fields | fees, net.sender.key).raw_transaction)

    first = signed(10**10, 10**9)
    assert net.chain.send([first, first]) == [None, None]
    for fee, tip in ((10**10 * 11 // 10 - 1, 2 * 10**9), (2 * 10**10, 10**9)):
        (refusal,) = net.chain.send([signed(fee, tip)])
        assert refusal is not None
        assert refusal.kind is RefusalKind.UNDERPRICED
    assert net.chain.send([signed(10**10 * 11 // 10, 10**9 * 11 // 10)]) == [None]
    (waiting,) = net.ledger.pool.values()
    assert waiting.tip == 10**9 * 11 // 10


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize(
    ("unfit", "kind"),
    [
        (Unfit("nonce_low", next=2, nonce=1), RefusalKind.NONCE_TOO_LOW),
        (Unfit("nonce_high", next=2, nonce=4), RefusalKind.NONCE_TOO_HIGH),
        (Unfit("funds", balance=0, cost=1), RefusalKind.NO_FUNDS),
        (Unfit("underpriced", fee=1, wanted=2), RefusalKind.UNDERPRICED),
        (Unfit("replacement", wanted=2, nonce=1), RefusalKind.UNDERPRICED),
        (Unfit("gas_low", gas=1, needed=2), RefusalKind.GAS),
        (Unfit("gas_high", gas=2, cap=1), RefusalKind.GAS),
        (Unfit("chain_id", have=1, want=2), RefusalKind.WRONG_CHAIN),
        (Unfit("type"), RefusalKind.REJECTED),
        (Unfit("rubbish"), RefusalKind.REJECTED),
    ],
    ids=lambda value: value.why if isinstance(value, Unfit) else value.value,
)
def test_every_dialect_is_understood(dialect: Dialect, unfit: Unfit, kind: RefusalKind) -> None:
    assert refusal_of(dialect.refusal(unfit)).kind is kind
    assert is_already_known(dialect.refusal(Unfit("known", hash="0x1")))


def test_what_comes_too_early_waits_or_is_refused() -> None:
    early = Net(GETH)
    early.send(1)
    early.ledger.mine()
    assert early.chain.transaction_count(early.sender.address) == 0
    early.send(0)
    early.ledger.mine()
    assert early.chain.transaction_count(early.sender.address) == 2

    strict = Net(HARDHAT)
    (refusal,) = strict.chain.send([strict.sign(1).raw])
    assert refusal is not None
    assert refusal.kind is RefusalKind.NONCE_TOO_HIGH
    strict.simulator.faults.shuffle = random.Random(3)
    strict.send(*range(6))
    strict.ledger.mine()
    assert strict.chain.transaction_count(strict.sender.address) == 6


def test_a_fee_below_the_base_fee_waits_or_is_refused() -> None:
    net = Net(GETH)
    assert net.chain.send([net.sign(0, fee=10**8).raw]) == [None]
    net.ledger.mine()
    assert net.chain.transaction_count(net.sender.address) == 0
    net.ledger.base_fee = 10**7
    net.ledger.mine()
    assert net.chain.transaction_count(net.sender.address) == 1
    (refusal,) = Net(ANVIL).chain.send([Net(ANVIL).sign(0, fee=10**8).raw])
    assert refusal is not None


def test_fees_of_the_markets() -> None:
    assert Net(market=Market.FEES).chain.fees() == Fees(3 * 10**9, 10**9)
    assert Net(market=Market.FREE).chain.fees() == Fees(0, 0)
    assert Net(market=Market.LEGACY).chain.fees() == Fees(10**6)


def test_free_gas_costs_nothing() -> None:
    net = Net(market=Market.FREE)
    assert net.chain.send([net.sign(0, fee=0).raw]) == [None]
    net.ledger.mine()
    assert net.chain.transaction_count(net.sender.address) == 1
    assert net.chain.balance(net.sender.address) == RICH_WEI


def test_a_legacy_chain_takes_legacy_transactions_alone() -> None:
    net = Net(market=Market.LEGACY)
    (refusal,) = net.chain.send([net.sign(0).raw])
    assert refusal is not None
    assert net.chain.head().base_fee_per_gas is None
    fields = {"nonce": 0, "gas": 200_000, "gasPrice": 10**9, "data": CREATION, "value": 0, "chainId": CHAIN_ID}
    assert net.chain.send([bytes(Account.sign_transaction(fields, net.sender.key).raw_transaction)]) == [None]
    net.ledger.mine()
    assert net.chain.transaction_count(net.sender.address) == 1


def _mined_and_forked(net: Net) -> list[str]:
    hashes = net.send(0)
    net.ledger.mine()
    net.ledger.fork(1, refill=False)
    return hashes


def test_each_lie() -> None:
    net = Net()
    faults = net.simulator.faults
    (gone,) = _mined_and_forked(net)
    assert net.chain.receipts([gone]) == [None]
    faults.stale = True
    (old,) = net.chain.receipts([gone])
    assert old is not None
    block = net.chain.block(old.block_number)
    assert block is not None
    assert old.block_hash != block.hash
    net.ledger.mine()
    (new,) = net.chain.receipts([gone])
    assert new is not None
    assert new.block_number == 3

    faults.blind = faults.stale = False
    faults.behind = 1
    assert net.chain.head().number == 2
    assert net.chain.receipts([gone]) == [None]
    assert net.chain.transaction_count(net.sender.address) == 0
    faults.behind, faults.blind = 0, True
    assert net.chain.receipts([gone]) == [None]
    assert net.chain.transactions([gone]) != [None]
    net.simulator.heal()
    assert net.heights([gone]) == [3]


def test_what_is_swallowed_or_delayed_is_not_mined() -> None:
    net = Net()
    net.simulator.faults.swallow = True
    (swallowed,) = net.send(0)
    assert net.chain.transactions([swallowed]) == [None]
    net.simulator.heal()
    net.simulator.faults.delay = True
    (delayed,) = net.send(0)
    net.ledger.mine()
    assert net.heights([delayed]) == [None]
    net.simulator.heal()
    net.ledger.mine()
    assert net.heights([delayed]) == [2]
    assert not net.ledger.drop(delayed)


def _direct(net: Net, ask: Callable[[Chain], Any]) -> Any:
    return ask(net.chain)


def _over_http(net: Net, ask: Callable[[Chain], Any]) -> Any:
    with served(net.simulator) as url:
        rpc = HttpRpc(url)
        try:
            return ask(Chain(rpc))
        finally:
            rpc.close()


@pytest.mark.parametrize("asked", [_direct, _over_http])
def test_an_endpoint_that_is_down_takes_nothing(asked: Callable[..., Any]) -> None:
    net = Net()
    net.simulator.faults.down = True
    with pytest.raises(ChainUnavailable, match="429"):
        asked(net, lambda chain: chain.send([net.sign(0).raw]))
    net.simulator.heal()
    assert net.ledger.pool == {}


@pytest.mark.parametrize("asked", [_direct, _over_http])
@pytest.mark.parametrize("cut", [0, 1, 2, 9])
def test_half_an_answer_may_have_taken_half(asked: Callable[..., Any], cut: int) -> None:
    net = Net()
    net.simulator.faults.cut = cut
    with pytest.raises(ChainUnavailable):
        asked(net, lambda chain: chain.send([net.sign(nonce).raw for nonce in range(3)]))
    assert len(net.ledger.pool) == min(cut, 3)
    net.simulator.heal()
    assert asked(net, lambda chain: chain.send([net.sign(nonce).raw for nonce in range(3)])) == [None] * 3


def test_automine_mines_each_batch() -> None:
    net = Net()
    net.simulator.automine = True
    assert net.heights(net.send(0, 1)) == [1, 1]
    (answer,) = net.simulator.batch([("eth_call", [{"to": net.sender.address, "data": "0x" + word(1).hex()}])])
    assert not isinstance(answer, RpcError)
