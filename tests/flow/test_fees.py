"""Fees that rise above what was offered, gas that costs nothing, and networks of before EIP-1559."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.chain import signer
from node.chain.transport import METHOD_NOT_FOUND, Call, HttpRpc, RpcError
from node.domain.records import UNFINISHED, TxState
from node.store import outbox, progress
from tests.chain.servers import anvil
from tests.support import people
from tests.support.node import eventually

from .world import Net, config, in_index, net_at, started

GWEI = 10**9


def _settles(client: Any, goods_id: int) -> list[Any]:
    records = people.settled(client, goods_id)
    assert {record.status.value for record in records} == {"success"}
    return records


def test_a_transaction_that_nobody_takes_is_signed_again_with_higher_fees(net: Net, tmp_path: Path) -> None:
    with started(replace(config(tmp_path / "d", net.url, net.key_file), bump_after=1.0)) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        _settles(node.client, goods_id)
        net.mining(False)
        trans_ids = [maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value for _ in range(3)]
        eventually(lambda: net.in_pool(trans_ids[-1]))
        net.ask("anvil_setNextBlockBaseFeePerGas", hex(500 * GWEI))
        net.mine()
        lane = signer.address_of(net.key)
        eventually(
            lambda: (
                all(tx.live_hash != tx.tx_hash for tx in outbox.in_lane(lane, TxState.SENT, 3))
                and outbox.count([TxState.SENT]) == 3
            )
        )
        net.mining(True)
        net.mine()
        records = _settles(node.client, goods_id)
        assert [record.trans_id.value for record in records[1:]] == trans_ids
        mined = [record.tx_hash.value for record in records[1:]]
        assert not set(mined) & set(trans_ids)
        assert all(receipt is not None and receipt.status for receipt in net.chain.receipts(mined))
        assert in_index(goods_id) == net.goods(node.ready.contract, goods_id)


def test_what_was_mined_before_it_was_signed_again_counts(net: Net, tmp_path: Path) -> None:
    """A block may hold the first version while the second is already signed."""
    with started(replace(config(tmp_path / "d", net.url, net.key_file), bump_after=3600.0)) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        _settles(node.client, goods_id)
        net.mining(False)
        trans_id = maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value
        eventually(lambda: outbox.count([TxState.SENT]) == 1)
        (tx,) = outbox.in_lane(signer.address_of(net.key), TxState.SENT, 1)
        again = signer.resign(net.key, tx.raw, signer.fees_of(tx.raw).raised_to(node.node._ledger.fees, None))  # type: ignore[arg-type]
        with node.node._store.write():
            outbox.replace(tx, again.raw, again.hash, 0)
            outbox.mark_sent([tx.id])
        net.mining(True)
        net.mine()
        records = _settles(node.client, goods_id)
        assert (records[1].trans_id.value, records[1].tx_hash.value) == (trans_id, trans_id)


def test_fees_stay_within_the_limit_and_that_is_told(net: Net, tmp_path: Path) -> None:
    given = replace(config(tmp_path / "d", net.url, net.key_file), bump_after=1.0, fee_max_wei=3 * GWEI)
    with started(given) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        _settles(node.client, goods_id)
        net.ask("anvil_setNextBlockBaseFeePerGas", hex(500 * GWEI))
        net.mine()
        maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
        eventually(lambda: "raise --max-fee" in progress.lanes()[0].trouble)
        offered = [
            signer.fees_of(tx.raw)
            for state in (TxState.SIGNED, TxState.SENT)
            for tx in outbox.in_lane(signer.address_of(net.key), state, 9)
        ]
        assert all(fees.max_fee_per_gas <= 3 * GWEI for fees in offered)
    with started(replace(given, fee_max_wei=None)) as node:
        _settles(node.client, goods_id)
        assert progress.lanes()[0].trouble == ""


def test_gas_that_costs_nothing(tmp_path: Path) -> None:
    """As on a Besu network of one's own: nobody has funds, and nobody needs any."""
    free = ("--base-fee", "0", "--gas-price", "0", "--disable-min-priority-fee", "--block-time", "1")
    with anvil(*free) as url, net_at(url, tmp_path, funded=False) as net:
        given = replace(config(tmp_path / "d", url, net.key_file), signers=2, bump_after=1.0)
        with started(given) as node:
            maker = people.maker(node.client)
            goods = maker.goods(3)
            for goods_id in goods:
                maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
            for goods_id in goods:
                _settles(node.client, goods_id)
            assert node.node._ledger.lanes.low == frozenset()
            assert net.chain.balance(signer.address_of(net.key)) == 0


@contextmanager
def _before_eip_1559(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Endpoints whose blocks name no base fee and that take no transactions of type 2; answers what was handed over."""
    ask, handed = HttpRpc.batch, []

    def batch(self: HttpRpc, calls: Sequence[Call]) -> list[Any]:
        handed.extend(params[0] for method, params in calls if method == "eth_sendRawTransaction")
        answers = ask(self, calls)
        for place, (method, params) in enumerate(calls):
            if method == "eth_getBlockByNumber" and answers[place]:
                answers[place].pop("baseFeePerGas", None)
            if method == "eth_maxPriorityFeePerGas":
                answers[place] = RpcError(METHOD_NOT_FOUND, "the method does not exist")
            if method == "eth_sendRawTransaction" and params[0].startswith("0x02"):
                answers[place] = RpcError(-32000, "transaction type not supported")
        return answers

    monkeypatch.setattr(HttpRpc, "batch", batch)
    yield handed


def test_a_network_of_before_eip_1559(net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        _before_eip_1559(monkeypatch) as handed,
        started(replace(config(tmp_path / "d", net.url, net.key_file), bump_after=1.0)) as node,
    ):
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        _settles(node.client, goods_id)
        net.mining(False)
        trans_id = maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value
        eventually(lambda: net.in_pool(trans_id))
        eventually(
            lambda: outbox.replaced(
                [tx.id for state in UNFINISHED for tx in outbox.in_lane(signer.address_of(net.key), state, 9)]
            )
        )
        net.mining(True)
        net.mine()
        records = _settles(node.client, goods_id)
        assert records[1].trans_id.value == trans_id
        assert handed
        assert not [raw for raw in handed if raw.startswith("0x02")]
