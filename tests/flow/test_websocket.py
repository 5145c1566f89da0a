"""A node that reaches its chain over a WebSocket."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from node import app, opening
from node.chain import websocket
from node.chain.websocket import WebSocketRpc
from node.errors import SetupError
from node.flow import nudge, worker
from tests.chain.servers import anvil, free_port, url_over
from tests.support import people
from tests.support.node import eventually

from .world import Net, Running, config, in_index, net_at, started

HOUR = 3600.0


def _statuses(node: Running, goods_id: int) -> list[str]:
    return [record.status.value for record in people.history(node.client, goods_id)]


def _process(maker: people.Maker, goods_id: int) -> str:
    trans_id: str = maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value
    return trans_id


def test_a_new_head_wakes_the_confirmer(net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks come while nothing is sent, and the confirmer is not due to look by itself before the test is over."""
    monkeypatch.setattr(app, "NETWORK_PACE", replace(app.NETWORK_PACE, idle_seconds=HOUR))
    with started(config(tmp_path / "d", url_over("ws", net.url), net.key_file, confirmations=3)) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        trans_id = _process(maker, goods_id)

        def settled_by_now() -> bool:
            net.mine()
            return _statuses(node, goods_id) == ["success", "success"]

        eventually(settled_by_now)
        assert people.history(node.client, goods_id)[1].trans_id.value == trans_id
        assert net.goods(node.ready.contract, goods_id) == in_index(goods_id)


def test_a_chain_that_goes_away_fails_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the node hears of heads again once it is back, without what waited in its pool."""
    monkeypatch.setattr(nudge, "UNKNOWN_SECONDS", 0.1)
    monkeypatch.setattr(worker, "BACKOFF_SECONDS_MAX", 0.5)
    monkeypatch.setattr(websocket, "BACKOFF_SECONDS_MAX", 0.5)
    port, state = free_port(), ("--state", str(tmp_path / "state.json"))
    with ExitStack() as chain:
        url = chain.enter_context(anvil(*state, port=port))
        with (
            net_at(url, tmp_path) as net,
            started(config(tmp_path / "d", url_over("ws", url), net.key_file)) as node,
        ):
            maker = people.maker(node.client)
            (goods_id,) = maker.goods(1)
            people.settled(node.client, goods_id)
            net.mining(False)
            trans_ids = [_process(maker, goods_id)]
            eventually(lambda: net.in_pool(trans_ids[0]))
            chain.close()
            trans_ids += [_process(maker, goods_id) for _ in range(3)]
            assert _statuses(node, goods_id) == ["success", *["pending"] * 4]
            chain.enter_context(anvil(*state, port=port))
            records = people.settled(node.client, goods_id)
            assert [record.status.value for record in records] == ["success"] * 5
            assert [record.tx_hash.value for record in records[1:]] == trans_ids
            assert net.goods(node.ready.contract, goods_id) == in_index(goods_id)
            rpc = node.node._rpc
            assert isinstance(rpc, WebSocketRpc)
            heads: list[None] = []
            rpc.on_head = lambda: heads.append(None)

            def heard() -> bool:
                net.mine()
                return bool(heads)

            eventually(heard)


def test_a_node_waits_for_its_chain_within_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "CHAIN_WAIT_SECONDS", 1)
    url = f"ws://127.0.0.1:{free_port()}"
    with pytest.raises(SetupError, match=rf"--chain: no answer within 1 s: chain endpoint {url} can't be reached"):
        app.Node(config(tmp_path / "d", f"{url}/secret-path"), on_fatal=lambda: None)


def test_a_url_that_no_handshake_can_carry_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"--chain: .*want ws://"):
        app.Node(config(tmp_path / "d", "ws://user:%ff@127.0.0.1:1"), on_fatal=lambda: None)
