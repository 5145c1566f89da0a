"""``Chain`` over a JsonRpc that answers what the test says: wordings, limits, and rubbish in every field."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from node.chain.rpc import CallReverted, Chain, ChainUnavailable, Fees, RefusalKind, RpcError
from node.chain.transport import LIMIT_EXCEEDED, METHOD_NOT_FOUND, Call, NotAnAnswer, json_of

from .echo import CREATION, Sender, word
from .servers import embedded

ADDRESS = "0x" + "11" * 20
HASH = "0x" + "22" * 32
RUBBISH: list[Any] = [None, 7, "", "0x", "0xzz", "soon", True, [], {}, "0x" + "1" * 65, "0x-1", " 0x1", "0x1\n"]


class Scripted:
    """Answers by method: a value, an RpcError, or a function of the params."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[Call] = []

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        self.asked += calls
        answers = [self.answers[method] for method, _ in calls]
        return [
            answer(*params) if callable(answer) else answer for answer, (_, params) in zip(answers, calls, strict=True)
        ]

    def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        # Geth
        ("nonce too low: next nonce 5, tx nonce 3", RefusalKind.NONCE_TOO_LOW),
        ("nonce too high: address 0x1, tx: 9 state: 5", RefusalKind.NONCE_TOO_HIGH),
        ("insufficient funds for gas * price + value: balance 0, tx cost 1", RefusalKind.NO_FUNDS),
        ("intrinsic gas too low: gas 20000, minimum needed 21000", RefusalKind.GAS),
        ("insufficient gas for floor data gas cost: gas 1, minimum needed 2", RefusalKind.GAS),
        ("exceeds block gas limit", RefusalKind.GAS),
        ("transaction underpriced: tip needed 1, tip permitted 0", RefusalKind.UNDERPRICED),
        ("replacement transaction underpriced", RefusalKind.UNDERPRICED),
        ("max fee per gas less than block base fee: address 0x1", RefusalKind.UNDERPRICED),
        ("invalid sender", RefusalKind.REJECTED),
        ("txpool is full", RefusalKind.POOL_FULL),
        # Besu
        ("Nonce too low", RefusalKind.NONCE_TOO_LOW),
        ("Nonce too distant from current sender nonce", RefusalKind.NONCE_TOO_HIGH),
        ("Upfront cost exceeds account balance", RefusalKind.NO_FUNDS),
        ("Intrinsic gas exceeds gas limit", RefusalKind.GAS),
        ("Transaction gas limit exceeds block gas limit", RefusalKind.GAS),
        ("Gas price below configured minimum gas price", RefusalKind.UNDERPRICED),
        ("Transaction signer chain id mismatch", RefusalKind.WRONG_CHAIN),
        # Anvil
        ("nonce too low", RefusalKind.NONCE_TOO_LOW),
        ("Insufficient funds for gas * price + value", RefusalKind.NO_FUNDS),
        ("intrinsic gas too high -- tx.gas_limit > env.cfg.tx_gas_limit_cap", RefusalKind.GAS),
        ("max fee per gas less than block base fee", RefusalKind.UNDERPRICED),
        # Hardhat
        ("Nonce too low. Expected nonce to be 2 but got 1.", RefusalKind.NONCE_TOO_LOW),
        ("Nonce too high. Expected nonce to be 4 but got 9. Note that transactions", RefusalKind.NONCE_TOO_HIGH),
        ("Sender doesn't have enough funds to send tx. The max upfront cost is: 1", RefusalKind.NO_FUNDS),
        ("Transaction requires at least 21140 gas but got 20000", RefusalKind.GAS),
        ("Transaction gas limit is 16777217 and exceeds transaction gas cap of 16777216", RefusalKind.GAS),
        ("Transaction maxFeePerGas (1) is too low for the next block", RefusalKind.UNDERPRICED),
    ],
)
def test_wordings_of_refusals(message: str, kind: RefusalKind) -> None:
    rpc = Scripted(eth_sendRawTransaction=RpcError(-32000, message), eth_getTransactionByHash=None)
    (refusal,) = Chain(rpc).send([b"raw"])
    assert refusal is not None
    assert (refusal.kind, refusal.message) == (kind, message)


@pytest.mark.parametrize(
    "message", ["already known", "Known transaction", "transaction already imported", "AlreadyKnown"]
)
def test_wordings_of_already_known(message: str) -> None:
    rpc = Scripted(eth_sendRawTransaction=RpcError(-32000, message))
    assert Chain(rpc).send([b"raw"]) == [None]


def test_a_refused_transaction_that_the_chain_knows_is_accepted() -> None:
    def known(tx_hash: str) -> Any:
        return {"hash": tx_hash, "to": None, "from": ADDRESS, "input": "0x", "nonce": "0x1", "blockNumber": "0x2"}

    rpc = Scripted(eth_sendRawTransaction=RpcError(-32000, "VM Exception: reverted"), eth_getTransactionByHash=known)
    assert Chain(rpc).send([b"raw"]) == [None]


def test_a_gap_is_not_tried_again_and_again() -> None:
    rpc = Scripted(eth_sendRawTransaction=RpcError(-32000, "nonce too high"), eth_getTransactionByHash=None)
    refusals = Chain(rpc).send([b"1", b"2", b"3"])
    assert [refusal and refusal.kind for refusal in refusals] == [RefusalKind.NONCE_TOO_HIGH] * 3
    assert len([method for method, _ in rpc.asked if method == "eth_sendRawTransaction"]) == 3


def test_a_wrong_hash_is_unavailable() -> None:
    with pytest.raises(ChainUnavailable, match="answered hash"):
        Chain(Scripted(eth_sendRawTransaction=HASH)).send([b"raw"])


def test_sending_nothing() -> None:
    assert Chain(Scripted()).send([]) == []


@pytest.mark.parametrize(
    "error",
    [
        RpcError(3, "execution reverted", "0xdeadbeef"),
        RpcError(-32000, "Execution reverted", "0xdeadbeef"),
        RpcError(-32603, "Error: VM Exception while processing transaction: reverted", {"data": "0xdeadbeef"}),
    ],
)
def test_revert_data(error: RpcError) -> None:
    with pytest.raises(CallReverted) as caught:
        Chain(Scripted(eth_call=error)).call(ADDRESS, b"")
    assert caught.value.data == bytes.fromhex("deadbeef")


def test_revert_without_data() -> None:
    for error in (RpcError(3, "execution reverted"), RpcError(-32000, "out of gas"), RpcError(3, "x", "rubbish")):
        with pytest.raises(CallReverted) as caught:
            Chain(Scripted(eth_call=error)).call(ADDRESS, b"")
        assert caught.value.data == b""


def test_a_refused_call_is_not_a_revert() -> None:
    with pytest.raises(ChainUnavailable, match="missing trie node"):
        Chain(Scripted(eth_call=RpcError(-32000, "missing trie node"))).call(ADDRESS, b"")


BLOCK = {"number": "0x1", "hash": HASH, "parentHash": HASH, "timestamp": "0x5", "gasLimit": "0xff"}


def test_fees() -> None:
    market = Scripted(
        eth_getBlockByNumber=BLOCK | {"baseFeePerGas": "0x64"}, eth_maxPriorityFeePerGas="0x3", eth_gasPrice="0x67"
    )
    assert Chain(market).fees() == Fees(max_fee_per_gas=203, max_priority_fee_per_gas=3)
    untipped = Scripted(
        eth_getBlockByNumber=BLOCK | {"baseFeePerGas": "0x64"},
        eth_maxPriorityFeePerGas=RpcError(METHOD_NOT_FOUND, "method not found"),
        eth_gasPrice="0x6e",
    )
    assert Chain(untipped).fees() == Fees(max_fee_per_gas=210, max_priority_fee_per_gas=10)
    old = Scripted(
        eth_getBlockByNumber=BLOCK, eth_maxPriorityFeePerGas=RpcError(METHOD_NOT_FOUND, "no"), eth_gasPrice="0x9"
    )
    assert Chain(old).fees() == Fees(max_fee_per_gas=9)
    free = Scripted(
        eth_getBlockByNumber=BLOCK | {"baseFeePerGas": "0x0"}, eth_maxPriorityFeePerGas="0x3b9aca00", eth_gasPrice="0x0"
    )
    assert Chain(free).fees() == Fees(max_fee_per_gas=0, max_priority_fee_per_gas=0)


def test_log_ranges_are_halved_where_the_endpoint_limits_them() -> None:
    def logs(query: dict[str, Any]) -> Any:
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        if last - first >= 3:
            return RpcError(LIMIT_EXCEEDED, "query returned more than 10000 results")
        return [log_of(number) for number in range(last, first - 1, -1)]

    rpc = Scripted(eth_getLogs=logs)
    assert [log.block_number for log in Chain(rpc).logs(ADDRESS, [], 5, 25)] == list(range(5, 26))


def test_a_limit_that_one_block_exceeds_is_unavailable() -> None:
    rpc = Scripted(eth_getLogs=RpcError(LIMIT_EXCEEDED, "query returned more than 10000 results"))
    with pytest.raises(ChainUnavailable, match="more than 10000"):
        Chain(rpc).logs(ADDRESS, [], 5, 6)


def test_logs_of_other_blocks_are_unavailable() -> None:
    with pytest.raises(ChainUnavailable, match="block 9"):
        Chain(Scripted(eth_getLogs=[log_of(9)])).logs(ADDRESS, [], 5, 8)


def test_logs_that_the_filter_does_not_let_through_are_left_out() -> None:
    chain = Chain(Scripted(eth_getLogs=[log_of(5)]))
    assert len(chain.logs(ADDRESS, [word(1)], 5, 5)) == 1
    assert chain.logs(ADDRESS, [word(2)], 5, 5) == []
    assert chain.logs(ADDRESS, [None, None], 5, 5) == []
    assert chain.logs("0x" + "33" * 20, [], 5, 5) == []


def log_of(block_number: int) -> dict[str, Any]:
    return {
        "address": ADDRESS,
        "topics": ["0x" + word(1).hex()],
        "data": "0x",
        "blockNumber": hex(block_number),
        "blockHash": HASH,
        "transactionHash": HASH,
        "transactionIndex": "0x0",
        "logIndex": "0x0",
    }


def test_answers_to_another_question_are_unavailable() -> None:
    other = {"hash": HASH, "to": None, "from": ADDRESS, "input": "0x", "nonce": "0x1", "blockNumber": None}
    with pytest.raises(ChainUnavailable, match="want 0xff"):
        Chain(Scripted(eth_getTransactionByHash=other)).transactions(["0x" + "ff" * 32])
    with pytest.raises(ChainUnavailable, match="answered block 1, want 2"):
        Chain(Scripted(eth_getBlockByNumber=BLOCK)).block(2)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside a JSON value, itself included."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


def spoilt(value: Any, path: tuple[Any, ...], rubbish: Any) -> Any:
    """A copy with one place replaced."""
    if not path:
        return rubbish
    value = copy.deepcopy(value)
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = rubbish
    return value


def test_rubbish_in_any_field_is_understood_or_unavailable(tmp_path: Path) -> None:
    """Real answers with any one value replaced by rubbish never raise anything but ChainUnavailable."""
    sender = Sender()
    with embedded(tmp_path / "chain.db", sender.address) as real:
        chain = Chain(real)
        creation = sender.sign(chain.chain_id(), None, CREATION)
        chain.send([creation.raw])
        (deployed,) = chain.receipts([creation.hash])
        assert deployed is not None
        signed = sender.sign(chain.chain_id(), deployed.contract_address, word(1) + word(2))
        chain.send([signed.raw])
        everything = {"fromBlock": "earliest", "toBlock": "latest"}
        asked: list[tuple[str, list[Any], Callable[[Chain], Any]]] = [
            ("eth_chainId", [], lambda c: c.chain_id()),
            ("eth_getBlockByNumber", ["latest", False], lambda c: c.head()),
            ("eth_getTransactionReceipt", [signed.hash], lambda c: c.receipts([signed.hash])),
            ("eth_getTransactionByHash", [signed.hash], lambda c: c.transactions([signed.hash])),
            ("eth_getLogs", [everything], lambda c: c.logs(None, [], 0, 2)),
            ("eth_getTransactionCount", [ADDRESS, "latest"], lambda c: c.transaction_count(ADDRESS)),
            ("eth_getBalance", [ADDRESS, "latest"], lambda c: c.balance(ADDRESS)),
            ("eth_getCode", [deployed.contract_address, "latest"], lambda c: c.code(ADDRESS)),
        ]
        refused = 0
        for method, params, ask in asked:
            (good,) = real.batch([(method, params)])
            ask(Chain(Scripted(**{method: good})))
            for path in places(good):
                for rubbish in RUBBISH:
                    try:
                        ask(Chain(Scripted(**{method: spoilt(good, path, rubbish)})))
                    except ChainUnavailable:
                        refused += 1
        assert refused > 200


@pytest.mark.parametrize("raw", [b"[" * 10_000_000, b'{"a":' * 100_000, b"", b"{", b"NaN", b"\xff", b'"\xed\xa0\x80"'])
def test_what_is_no_json_or_deep_is_no_answer(raw: bytes) -> None:
    with pytest.raises(NotAnAnswer, match="want JSON"):
        json_of(raw)
