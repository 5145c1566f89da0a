"""What the feed tells of forks, fee bumps and refusals, and how many may watch."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from node.api import outgoing
from node.domain.model import Rights
from node.flow import watch
from node.store import changes
from node.wire.vtrace.v1 import watch_pb2 as wire
from tests.support import people
from tests.support.node import eventually
from tests.support.watching import Stream, WatchClient
from tests.support.wire_client import Refusal

from .world import Net, Registrar, Running, config, started

KINDS = wire.ChangeKind


def _kinds(stream: Stream, trans_id: str, last: str) -> list[str]:
    """What is told of one circ, up to the change of this kind."""
    found: list[str] = []
    while not found or found[-1] != last:
        change = stream.change()
        if change.trans_id == trans_id:
            found.append(KINDS.Name(change.kind))
    return found


def test_a_fork_is_told(net: Net, tmp_path: Path) -> None:
    with started(config(tmp_path / "d", net.url, net.key_file)) as node, closing(WatchClient(node.client)) as watcher:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        people.settled(node.client, goods_id)
        stream = watcher.goods(goods_id)
        trans_id = maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value
        assert _kinds(stream, trans_id, "finalised") == ["recorded", "finalised"]
        net.ask("anvil_rollback", 1)
        net.mine(3)
        forked = stream.change()
        assert (KINDS.Name(forked.kind), forked.status, forked.tx_hash) == ("forked", "pending", "")
        eventually(lambda: net.mine() or people.settled(node.client, goods_id))
        again = stream.change()
        assert (KINDS.Name(again.kind), again.trans_id, again.tx_hash) == ("finalised", trans_id, trans_id)
        stream.cancel()


def test_a_fee_bump_is_told_with_its_hash(net: Net, tmp_path: Path) -> None:
    given = replace(config(tmp_path / "d", net.url, net.key_file), bump_after=1)
    with started(given) as node, closing(WatchClient(node.client)) as watcher:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        people.settled(node.client, goods_id)
        stream = watcher.goods(goods_id)
        net.mining(False)
        net.ask("anvil_setNextBlockBaseFeePerGas", hex(50 * 10**9))
        trans_id = maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value
        assert KINDS.Name(stream.change().kind) == "recorded"
        resigned = stream.change()
        assert (KINDS.Name(resigned.kind), resigned.trans_id, resigned.status) == ("resigned", trans_id, "pending")
        assert resigned.tx_hash not in ("", trans_id)
        stream.cancel()


def test_a_refusal_is_told_with_its_reason_the_cause_first(net: Net, tmp_path: Path) -> None:
    with started(config(tmp_path / "d", net.url, net.key_file)) as node, closing(WatchClient(node.client)) as watcher:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        people.settled(node.client, goods_id)
        stranger = Registrar(net, node.ready.contract)
        stream = watcher.goods(goods_id)
        net.mining(False)
        trans_ids = [maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value for _ in range(2)]
        stranger.set_rights(1, Rights.NONE)
        eventually(lambda: all(map(net.in_pool, trans_ids)))
        net.mining(True)
        told: list[wire.CircChange] = []
        while len(told) < 2:
            net.mine()
            change = stream.change()
            told += [change] if KINDS.Name(change.kind) == "refused" else []
        assert [change.trans_id for change in told] == trans_ids
        assert "ActorDisabled" in told[0].reason
        assert told[1].reason == f"it stood on a circ that the chain refused: {trans_ids[0]}"
        assert all(change.status == "failed" and change.reason for change in told)
        stream.cancel()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with started(config(tmp_path / "d", "embedded")) as node:
        yield node


def test_five_hundred_who_wait_hold_up_nobody(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "WATCHERS_OF_ONE_MAX", 500)
    maker = people.maker(running.client)
    watched, other = maker.goods(2)
    people.settled(running.client, watched)
    with ExitStack() as connections:
        watchers = [connections.enter_context(closing(WatchClient(running.client))) for _ in range(5)]
        streams = [watcher.goods(watched) for watcher in watchers for _ in range(100)]
        watcher = watchers[0]
        for _ in range(20):
            running.client.call("GetGoods", goods_id=other)
        with pytest.raises(Refusal) as refused:
            watcher.goods(other)
        assert refused.value.status == "RESOURCE_EXHAUSTED"
        assert "500 watchers already" in refused.value.message
        assert len([one for one in threading.enumerate() if one.name.startswith("push")]) <= 8
        trans_id = maker.boss.call("CreateCirc", goods_id=watched, circ_type=1).trans_id.value
        for stream in streams:
            assert stream.change().trans_id == trans_id
            stream.cancel()
        eventually(lambda: running.node._watches.total == 0)
        watcher.goods(other).cancel()


def test_the_node_has_so_many_watchers_and_no_more(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "WATCHERS_MAX", 3)
    with closing(WatchClient(running.client)) as watcher:
        first, *_ = [watcher.goods(1) for _ in range(3)]
        with pytest.raises(Refusal, match="RESOURCE_EXHAUSTED"):
            watcher.goods(1)
        first.cancel()
        eventually(lambda: running.node._watches.total == 2)
        watcher.goods(1)


def test_a_stream_lives_so_long_and_ends_with_its_cursor(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BEAT_SECONDS", 0.2)
    maker = people.maker(running.client)
    (goods_id,) = maker.goods(1)
    people.settled(running.client, goods_id)
    with closing(WatchClient(running.client)) as watcher:
        stream, other = watcher.goods(goods_id + 1), watcher.goods(goods_id)
        maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
        trans_id = other.change().trans_id
        # What happens to others moves the cursor too.
        while stream.cursor != other.cursor:
            assert not stream.next().circ_id
            other.next()
        monkeypatch.setattr(watch, "LIFE_SECONDS", 0.0)
        stream.to_end()
        assert stream.call.code() is grpc.StatusCode.OK
        monkeypatch.setattr(watch, "LIFE_SECONDS", 60.0)
        again = watcher.goods(goods_id, cursor=stream.cursor)
        second = maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value
        assert again.change().trans_id == second != trans_id
        again.cancel()


def test_nobody_skips_a_change_that_commits_meanwhile(running: Running) -> None:
    """Readers that begin and go on at any moment, beside writers: together they see all, each once, in order."""
    makers = [people.maker(running.client) for _ in range(3)]
    goods = [maker.goods(1)[0] for maker in makers]
    for goods_id in goods:
        people.settled(running.client, goods_id)
    with ExitStack() as stack:
        watcher = stack.enter_context(closing(WatchClient(running.client)))
        begin = watcher.goods(*goods).cursor
        recorded: list[str] = []

        def write(maker: people.Maker, goods_id: int) -> None:
            for _ in range(40):
                recorded.append(maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value)

        writers = [threading.Thread(target=write, args=each) for each in zip(makers, goods, strict=True)]
        for writer in writers:
            writer.start()
        cursor, seen = begin, []
        deadline = time.monotonic() + 60
        while len(seen) < 240 and time.monotonic() < deadline:
            stream = watcher.goods(*goods, cursor=cursor)
            for _ in range(min(17, 240 - len(seen))):
                change = stream.change()
                seen.append((change.trans_id, change.kind))
                cursor = change.cursor
            stream.cancel()
        for writer in writers:
            writer.join()
        assert sorted(seen) == sorted((one, kind) for one in recorded for kind in (1, 2))
        whole = changes.of_goods(goods, int(begin.partition("-")[2]), 1_000)
        assert [(each.trans_id, each.kind) for each in whole] == seen


def _flood(running: Running, goods_ids: list[int], total: int) -> None:
    """Many changes of the goods' one circ, as if it had come and gone so often."""
    with running.node._store.write():
        ((circ_id,),) = changes.t.run("SELECT circ_id FROM circ_goods WHERE goods_id = ?", goods_ids[0]).fetchall()
        row = {"circ_id": circ_id, "kind": 4, "at": 1}
        changes.t.Change.insert_many([row] * total).execute()


def test_who_reads_nothing_is_cut_off_and_goes_on(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "SLOW_SECONDS", 0.5)
    maker = people.maker(running.client)
    ids = maker.goods(5_000)
    people.settled(running.client, ids[0])
    with closing(WatchClient(maker.boss.client)) as slow, closing(WatchClient(maker.boss.client)) as quick:
        stream = slow.stream("WatchOrgCirc")
        begin = int(stream.cursor.partition("-")[2])
        _flood(running, ids, 150)
        eventually(lambda: running.node._watches.total == 0)
        read = len(stream.to_end())
        assert stream.refusal is not None
        assert stream.refusal.status == "CANCELLED"
        assert 0 < read < 150
        again = quick.stream("WatchOrgCirc", cursor=stream.cursor)
        numbers = [int(again.change().cursor.partition("-")[2]) for _ in range(150 - read)]
        assert numbers == list(range(begin + read + 1, begin + 151))
        again.cancel()


def test_who_reads_no_events_is_cut_off(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "SLOW_SECONDS", 0.5)
    maker = people.maker(running.client)
    ids = maker.goods(5_000)
    people.settled(running.client, ids[0])
    host, _, port = running.ready.http.partition(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.connect((host, int(port)))
        head = (
            f"GET /api/v1/org/circ:watch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {maker.boss.client.token}\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(12) == b"HTTP/1.1 200"
        eventually(lambda: running.node._watches.total == 1)
        _flood(running, ids, 600)
        eventually(lambda: running.node._watches.total == 0)
        running.client.call("GetGoods", goods_id=ids[0])
