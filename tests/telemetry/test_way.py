"""The figures of a node's way to the chain, each moved by what it tells of, on an Anvil."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from node.chain import signer
from node.clock import now_micros
from node.flow.figures import index_figures
from node.flow.readiness import HEIGHT
from node.measures import Spread
from node.store import progress
from node.store import tables as t
from tests.chain.servers import anvil, fund
from tests.flow.world import Net, Running, config, net_at, started
from tests.support import people
from tests.support.node import eventually
from tests.support.watching import WatchClient
from tests.telemetry.asking import Key, key, own, read, unreadable, url


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    with anvil() as at, net_at(at, tmp_path) as made:
        yield made


def reached(node: Running, check: Callable[[dict[Key, float]], bool]) -> dict[Key, float]:
    """The figures once they are as they should be."""

    def look() -> dict[Key, float] | None:
        now = read(url(node, "/metrics"))
        return now if check(now) else None

    found: dict[Key, float] = eventually(look)
    return found


def named(name: str) -> Key:
    return key(f"vtrace_{name}")


def test_records_on_their_way_move_the_figures(net: Net, tmp_path: Path) -> None:
    lane = signer.address_of(net.key)
    next_nonce, chain_nonce = key("vtrace_lane_next_nonce", lane=lane), key("vtrace_lane_chain_nonce", lane=lane)
    balance, spent = (
        key("vtrace_lane_balance_wei", lane=lane),
        key("vtrace_fees_spent_wei_total", lane=lane, worker="1"),
    )
    trouble = key("vtrace_lane_trouble", lane=lane)
    with started(config(tmp_path / "d", net.url, net.key_file, confirmations=2)) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        net.settle()
        before = reached(node, lambda now: now[named("unfinished")] == 0 and now.get(balance, 0) > 0)
        assert before[named("backlog")] == before[named("oldest_pending_seconds")] == 0
        assert before[key("vtrace_lane_open", lane=lane)] == 1

        net.mining(False)
        for _ in range(2):
            maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
        waiting = reached(node, lambda now: now[named("backlog")] == 2 and now[named("oldest_pending_seconds")] > 0)
        assert waiting[named("unfinished")] == 2
        assert waiting[next_nonce] == before[next_nonce] + 2

        def mine() -> dict[Key, float]:
            net.mine()
            head = net.chain.head().number
            return reached(node, lambda now: now[named("chain_head")] == head)

        mined: dict[Key, float] = eventually(lambda: (now := mine())[named("backlog")] == 0 and now)
        assert mined[named("unfinished")] >= 1  # the last block is not deep enough
        assert mine()[named("unfinished")] == 0
        height = net.chain.head().number
        done = reached(
            node,
            lambda now: (
                (now[named("chain_head")], now[named("chain_height")]) == (height, height)
                and now[chain_nonce] == waiting[next_nonce]
                and now[spent] > before.get(spent, 0)
            ),
        )
        assert done[named("chain_confirmed")] == height - 1
        assert done[balance] < before[balance]
        assert done[named("chain_lag_blocks")] == 0
        assert done[named("chain_seen_timestamp_seconds")] > before[named("chain_seen_timestamp_seconds")]

        net.ask("anvil_reorg", 2, [])
        reached(node, lambda now: now[named("forks_total")] > before[named("forks_total")])

        net.settle()
        fund(net.rpc, lane, 0)
        maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
        reached(node, lambda now: now[trouble] == 1)
        fund(net.rpc, lane)
        reached(node, lambda now: now[trouble] == 0)
        net.settle()

        with closing(WatchClient(node.client)) as watcher:
            stream = watcher.goods(goods_id)
            reached(node, lambda now: now[own("vtrace_watches")] == 1)
            stream.cancel()
            reached(node, lambda now: now[own("vtrace_watches")] == 0)

        assert read(url(node, "/metrics"))[own("vtrace_ready")] == 1
        node.node._operating.watchman.drain()
        assert read(url(node, "/metrics"))[own("vtrace_ready")] == 0


def test_what_the_index_notes_is_told(net: Net, tmp_path: Path) -> None:
    with started(config(tmp_path / "d", net.url, net.key_file)) as node:
        maker = people.maker(node.client)
        eventually(lambda: "head" in progress.noted())

        def now() -> dict[str, float | Spread]:
            figures = index_figures(node.node._store, now_micros, 1_000)
            return {
                "".join((figure.name.removeprefix("vtrace_"), *labels.values())): value
                for figure in figures
                for labels, value in figure.values
            }

        with node.node._store.write():  # so that nothing of the node's own comes between
            before = now()
            progress.note(now_micros(), **{HEIGHT: "107", "head": "100", "trouble.sender": "it rains"})
            hook = {"org": maker.org_id, "url": "https://a.example", "secret_sealed": b"", "epoch": "", "position": 0}
            t.Webhook.create(**hook, created_at=1, failing_since=1)
            scanned = dict.fromkeys(("scans", "readers", "places", "usual_readers", "usual_places", "since"), 1)
            t.ScanAlert.create(goods_id=1, serial_id=maker.serial_id, org_id=maker.org_id, level="hint", **scanned)
            told = now()
            assert (told["chain_lag_blocks"], told["chain_height"], told["chain_head"]) == (7, 107, 100)
            assert (told["backlog_max"], told["index_up"]) == (1_000, 1)
            for name in ("webhooks_failing", "scan_notices", "troublesender"):
                assert told[name] == before.get(name, 0) + 1

            t.Webhook.delete().execute()
            t.ScanAlert.delete().execute()

        with unreadable(node):
            assert now() == {"index_up": 0}
