"""Forks under load, of any depth up to the limit, and a chain that comes back without its past."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from node.flow import forks, worker
from node.store import progress
from tests.chain.servers import anvil, free_port
from tests.support import people
from tests.support.node import eventually

from .world import Net, config, in_index, net_at, started


@pytest.mark.parametrize(("depth", "confirmations"), [(1, 3), (3, 1), (64, 70), (64, 1)])
def test_forks_under_load(net: Net, tmp_path: Path, depth: int, confirmations: int) -> None:
    """Also those that reach behind what counted as final, as far as the contract's own deployment."""
    with started(config(tmp_path / "d", net.url, net.key_file, confirmations=confirmations)) as node:
        makers = [people.maker(node.client) for _ in range(2)]
        goods = [maker.goods(2) for maker in makers]
        stop = threading.Event()
        recorded: dict[int, list[str]] = {goods_id: [] for ids in goods for goods_id in ids}

        def load(maker: people.Maker, ids: list[int]) -> None:
            while not stop.is_set():
                for goods_id in ids:
                    answer = maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
                    recorded[goods_id].append(answer.trans_id.value)

        threads = [threading.Thread(target=load, args=each) for each in zip(makers, goods, strict=True)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(2):
                eventually(lambda: net.mine() or net.chain.head().number > depth + 1)
                count = sum(map(len, recorded.values()))
                net.ask("anvil_reorg", depth, [])
                eventually(lambda count=count: sum(map(len, recorded.values())) > count + 10)  # type: ignore[misc]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        net.settle()
        for goods_id, trans_ids in recorded.items():
            records = people.history(node.client, goods_id)
            assert {record.status.value for record in records} == {"success"}
            assert [record.trans_id.value for record in records[1:]] == trans_ids
            assert [record.times.value for record in records] == list(range(len(records)))
            assert in_index(goods_id) == net.goods(node.ready.contract, goods_id)
            receipts = net.chain.receipts([record.tx_hash.value for record in records])
            assert all(receipt is not None and receipt.status for receipt in receipts)
        # The node may not have looked at the few blocks of a shallow fork before they were gone.
        assert depth < 64 or int(progress.noted()["forks"][0]) >= 1
        assert node.node.fault is None


def test_a_fork_while_the_node_is_down_is_noticed(net: Net, tmp_path: Path) -> None:
    given = config(tmp_path / "d", net.url, net.key_file)
    with started(given) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        people.settled(node.client, goods_id)
        trans_id = maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value
        people.settled(node.client, goods_id)
    net.ask("anvil_rollback", 1)
    net.mine(3)
    assert net.chain.receipts([trans_id]) == [None]
    with started(given) as node:
        eventually(lambda: net.chain.receipts([trans_id])[0])
        records = people.settled(node.client, goods_id)
        assert records[1].tx_hash.value == trans_id
        assert in_index(goods_id) == net.goods(node.ready.contract, goods_id)


def test_a_fork_deeper_than_the_limit_stops_the_node(net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "FORK_BLOCKS_MAX", 2)
    with started(config(tmp_path / "d", net.url, net.key_file)) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        people.settled(node.client, goods_id)
        for _ in range(4):
            maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
            people.settled(node.client, goods_id)
        net.ask("anvil_reorg", 4, [])
        assert "the chain forked more than 2 blocks deep" in str(node.fault())


def test_an_endpoint_that_is_a_little_behind_is_no_fork(
    net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind one address may stand several, each with a height of its own."""
    with started(config(tmp_path / "d", net.url, net.key_file)) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        people.settled(node.client, goods_id)
        looked = threading.Event()
        look = type(net.chain).look

        def behind(*args: object) -> object:
            found = look(*args)  # type: ignore[arg-type]
            if looked.is_set():
                return found
            looked.set()
            return type(found)(net.chain.blocks([0])[0], found.nonces, None)  # type: ignore[arg-type]

        monkeypatch.setattr(type(net.chain), "look", behind)
        maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
        assert looked.wait(30)
        people.settled(node.client, goods_id)
        assert "forks" not in progress.noted()


def test_a_chain_that_comes_back_without_its_state_is_another_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BACKOFF_SECONDS_MAX", 0.5)
    port = free_port()
    with ExitStack() as chain:
        url = chain.enter_context(anvil("--timestamp", "1700000000", port=port))
        with net_at(url, tmp_path) as net, started(config(tmp_path / "d", url, net.key_file)) as node:
            maker = people.maker(node.client)
            (goods_id,) = maker.goods(1)
            people.settled(node.client, goods_id)
            genesis = net.chain.block(0)
            assert genesis is not None
            chain.close()
            trans_id = maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value
            chain.enter_context(anvil("--timestamp", "1800000000", port=port))

            def told() -> str:
                return progress.noted().get("trouble.sender", ("", 0))[0]

            eventually(lambda: "serves another chain" in told())
            assert f"block 0: expected {genesis.hash}, found 0x" in told()
            assert net.chain.transactions([trans_id]) == [None]
            assert people.history(node.client, goods_id)[1].status.value == "pending"
            assert node.node.fault is None


def test_a_fork_that_took_the_deployment_while_the_node_was_down(net: Net, tmp_path: Path) -> None:
    given = config(tmp_path / "d", net.url, net.key_file)
    with started(given) as node:
        (goods_id,) = people.maker(node.client).goods(1)
        people.settled(node.client, goods_id)
        contract = node.ready.contract
    net.ask("anvil_rollback", net.chain.head().number)
    net.mine(2)
    assert net.chain.code(contract) == b""
    with started(given) as node:
        eventually(lambda: net.chain.code(contract))
        net.settle()
        assert in_index(goods_id) == net.goods(contract, goods_id)
        assert people.history(node.client, goods_id)[0].status.value == "success"
