"""The way of a record on a chain that forks, forgets and goes away."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from node import app, opening
from node.domain.records import UNFINISHED, TxState
from node.errors import SetupError
from node.flow import nudge, worker
from node.store import outbox
from tests.chain.servers import anvil, free_port
from tests.support import people
from tests.support.node import eventually
from tests.support.wire_client import WireClient

from .world import Net, Running, config, in_index, net_at, started


def _statuses(client: WireClient, goods_id: int) -> list[str]:
    return [record.status.value for record in people.history(client, goods_id)]


def _process(maker: people.Maker, goods_id: int) -> str:
    """Record a process; answers its trans_id."""
    trans_id: str = maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value
    return trans_id


def _all_final() -> bool:
    return outbox.count(UNFINISHED) == 0


def _succeeds_once(net: Net, node: Running, goods_id: int, *trans_ids: str) -> None:
    """The produce and ``trans_ids`` become success in this order, and the chain has each once."""
    records = people.settled(node.client, goods_id)
    assert [record.status.value for record in records] == ["success"] * (1 + len(trans_ids))
    assert [record.trans_id.value for record in records[1:]] == list(trans_ids)
    assert [record.tx_hash.value for record in records[1:]] == list(trans_ids)
    assert [record.times.value for record in records] == list(range(len(records)))
    assert net.goods(node.ready.contract, goods_id) == in_index(goods_id)
    assert in_index(goods_id).times == len(records)


def test_a_record_becomes_a_success(net: Net, tmp_path: Path) -> None:
    with started(config(tmp_path / "d", net.url, net.key_file)) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        trans_id = _process(maker, goods_id)
        _succeeds_once(net, node, goods_id, trans_id)
        (receipt,) = net.chain.receipts([trans_id])
        assert receipt is not None
        assert receipt.status


def test_a_record_waits_for_its_confirmations(net: Net, tmp_path: Path) -> None:
    with started(config(tmp_path / "d", net.url, net.key_file, confirmations=4)) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        eventually(lambda: people.history(node.client, goods_id)[0].tx_hash.value)
        net.mine(2)
        assert _statuses(node.client, goods_id) == ["pending"]
        net.mine(1)
        assert [record.status.value for record in people.settled(node.client, goods_id)] == ["success"]


def _roll_back(net: Net, blocks: int) -> None:
    net.ask("anvil_rollback", blocks)


def _reorganise(net: Net, blocks: int) -> None:
    net.ask("anvil_reorg", blocks, [])


@pytest.mark.parametrize("fork", [_roll_back, _reorganise])
def test_a_fork_takes_records_out_and_they_are_sent_again(net: Net, tmp_path: Path, fork: Any) -> None:
    with started(config(tmp_path / "d", net.url, net.key_file, confirmations=4)) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        eventually(lambda: people.history(node.client, goods_id)[0].tx_hash.value)
        net.mine(4)
        eventually(_all_final)
        trans_ids = [
            _process(maker, goods_id),
            maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=4).trans_id.value,
        ]
        eventually(lambda: all(record.tx_hash.value for record in people.history(node.client, goods_id)))
        height = net.chain.head().number
        net.mining(False)
        fork(net, 2)
        eventually(lambda: people.history(node.client, goods_id)[1].tx_hash.value == "")
        assert _statuses(node.client, goods_id) == ["success", "pending", "pending"]
        eventually(lambda: all(net.in_pool(trans_id) for trans_id in trans_ids))
        net.mining(True)
        net.mine(4)
        _succeeds_once(net, node, goods_id, *trans_ids)
        assert net.chain.head().number >= height


def test_what_the_chain_drops_is_sent_again(net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nudge, "UNKNOWN_SECONDS", 0.1)
    with started(config(tmp_path / "d", net.url, net.key_file)) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        people.settled(node.client, goods_id)
        net.mining(False)
        trans_ids = [_process(maker, goods_id) for _ in range(3)]
        eventually(lambda: net.in_pool(trans_ids[2]))
        for trans_id in trans_ids:
            net.ask("anvil_dropTransaction", trans_id)
        eventually(lambda: all(net.in_pool(trans_id) for trans_id in trans_ids))
        net.mining(True)
        net.mine()
        _succeeds_once(net, node, goods_id, *trans_ids)


def test_what_blocks_pass_by_is_sent_again(net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nudge, "UNKNOWN_SECONDS", 3600.0)
    with started(config(tmp_path / "d", net.url, net.key_file)) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        people.settled(node.client, goods_id)
        net.mining(False)
        trans_id = _process(maker, goods_id)
        eventually(lambda: outbox.count([TxState.SENT]))
        net.ask("anvil_dropTransaction", trans_id)

        def again() -> bool:
            net.mine(nudge.RESEND_HEADS // 4)
            return net.in_pool(trans_id)

        eventually(again)
        net.mining(True)
        net.mine()
        _succeeds_once(net, node, goods_id, trans_id)


def test_a_chain_that_goes_away_fails_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it comes back without what waited in its pool."""
    monkeypatch.setattr(nudge, "UNKNOWN_SECONDS", 0.1)
    monkeypatch.setattr(worker, "BACKOFF_SECONDS_MAX", 0.5)
    port, state = free_port(), ("--state", str(tmp_path / "state.json"))
    with ExitStack() as chain:
        url = chain.enter_context(anvil(*state, port=port))
        with net_at(url, tmp_path) as net, started(config(tmp_path / "d", url, net.key_file)) as node:
            maker = people.maker(node.client)
            (goods_id,) = maker.goods(1)
            people.settled(node.client, goods_id)
            net.mining(False)
            trans_ids = [_process(maker, goods_id)]
            eventually(lambda: net.in_pool(trans_ids[0]))
            chain.close()
            trans_ids += [_process(maker, goods_id) for _ in range(3)]
            assert _statuses(node.client, goods_id) == ["success", *["pending"] * 4]
            chain.enter_context(anvil(*state, port=port))
            _succeeds_once(net, node, goods_id, *trans_ids)


def test_a_node_waits_for_its_chain(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    port, state = free_port(), ("--state", str(tmp_path / "state.json"))
    with anvil(*state, port=port) as url, net_at(url, tmp_path) as net:
        given = config(tmp_path / "d", url, net.key_file)
    ready: list[str] = []

    def run() -> None:
        with started(given) as node:
            ready.append(node.ready.contract)

    thread = threading.Thread(target=run)
    thread.start()
    eventually(lambda: "waiting up to 60 s for the chain" in caplog.text)
    with anvil(*state, port=port):
        thread.join(60)
    assert not thread.is_alive()
    assert len(ready) == 1


def test_a_node_waits_for_its_chain_within_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "CHAIN_WAIT_SECONDS", 1)
    url = f"http://127.0.0.1:{free_port()}"
    for _ in range(2):  # the second finds nothing left open by the first
        with pytest.raises(SetupError, match=rf"--chain: no answer within 1 s: chain endpoint {url} can't be reached"):
            app.Node(config(tmp_path / "d", url), on_fatal=lambda: None)


def test_fees_follow_the_chain_while_nothing_is_recorded(
    net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nudge, "LOOK_SECONDS", 0.0)
    with started(config(tmp_path / "d", net.url, net.key_file)) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        people.settled(node.client, goods_id)
        net.ask("anvil_setNextBlockBaseFeePerGas", hex(1_000 * 10**9))
        net.mine()
        eventually(lambda: node.node._ledger.fees.max_fee_per_gas >= 1_000 * 10**9)
        trans_id = _process(maker, goods_id)
        _succeeds_once(net, node, goods_id, trans_id)
