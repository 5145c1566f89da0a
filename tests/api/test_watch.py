"""Streams of changes over gRPC and HTTP: what they tell, how they go on, and what bounds them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from node.domain.changes import GOODS_WATCHED_MAX
from node.wire.vtrace.v1 import watch_pb2 as wire
from tests.support import people
from tests.support.node import RunningNode, running
from tests.support.people import Maker
from tests.support.watching import WatchClient, events
from tests.support.wire_client import Refusal

KINDS = wire.ChangeKind


@pytest.fixture
def maker(node: RunningNode) -> Maker:
    return people.maker(node.client)


@pytest.fixture
def watcher(node: RunningNode) -> Iterator[WatchClient]:
    with closing(WatchClient(node.client)) as client:
        yield client


def _goods(maker: Maker, total: int) -> list[int]:
    """Goods whose production is final."""
    ids = maker.goods(total)
    people.settled(maker.boss.client, ids[0])
    return ids


def _record(maker: Maker, goods_id: int) -> str:
    return str(maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value)


def test_a_circ_is_told_when_recorded_and_when_final(node: RunningNode, watcher: WatchClient, maker: Maker) -> None:
    first, second, other = _goods(maker, 3)
    stream = watcher.goods(first, second)
    _record(maker, other)
    trans = maker.boss.call("BatchCirc", goods_ids=[first, second, other], circ_type=1).goodsId2transId[first]
    recorded, final = stream.change(), stream.change()
    assert [KINDS.Name(one.kind) for one in (recorded, final)] == ["recorded", "finalised"]
    assert list(recorded.goods_ids) == list(final.goods_ids) == [first, second]
    assert (recorded.trans_id, recorded.tx_hash, recorded.status) == (trans, "", "pending")
    shown = people.history(node.client, first)[-1]
    assert (final.trans_id, final.tx_hash, final.status) == (trans, shown.tx_hash.value, shown.status.value)
    assert final.circ_id == recorded.circ_id == shown.id.value
    assert 0 <= final.changed_at.ToMicroseconds() - recorded.changed_at.ToMicroseconds() < 60_000_000
    stream.cancel()


def test_a_stream_goes_on_behind_its_cursor(watcher: WatchClient, maker: Maker) -> None:
    (goods_id,) = _goods(maker, 1)
    stream = watcher.goods(goods_id)
    begin, told = stream.cursor, [_record(maker, goods_id) for _ in range(150)]
    people.settled(maker.boss.client, goods_id)
    seen: list[str] = []
    cursor = begin
    while seen.count(told[-1]) < 2:  # a cut after every 40 changes
        stream.cancel()
        stream = watcher.goods(goods_id, cursor=cursor)
        for _ in range(40):
            seen.append(stream.change().trans_id)
            cursor = stream.cursor
            if seen.count(told[-1]) == 2:
                break
    assert [one for number, one in enumerate(seen) if one not in seen[:number]] == told
    assert all(seen.count(one) == 2 for one in told)
    stream.cancel()


def test_an_org_watches_all_of_its_goods(node: RunningNode, maker: Maker) -> None:
    stranger = people.maker(node.client)
    (theirs,) = _goods(stranger, 1)
    with closing(WatchClient(maker.boss.client)) as watcher:
        stream = watcher.stream("WatchOrgCirc")
        _record(stranger, theirs)
        ids = maker.goods(3)
        made = stream.change()
        assert (list(made.goods_ids), made.circ_type, KINDS.Name(made.kind)) == (ids, 0, "recorded")
        assert list(stream.change().goods_ids) == ids
        stream.cancel()
        # From the beginning there is nothing of others either.
        whole = watcher.stream("WatchOrgCirc", cursor=made.cursor.partition("-")[0] + "-0")
        assert list(whole.change().goods_ids) == ids
        whole.cancel()


def test_who_leaves_the_org_is_not_told_any_more(node: RunningNode, maker: Maker) -> None:
    member = people.transporter(node.client)
    maker.boss.call("Member", org_id=maker.org_id, username=member.username)
    with closing(WatchClient(member.client)) as watcher:
        watcher.stream("WatchOrgCirc").cancel()
        maker.boss.call("OrgRemoveMember", org_id=maker.org_id, username=member.username)
        with pytest.raises(Refusal) as refused:
            watcher.stream("WatchOrgCirc")
        assert refused.value.status == "UNAUTHENTICATED"
    again = people.again(node.client, member)
    with closing(WatchClient(again)) as watcher, pytest.raises(Refusal) as refused:
        watcher.stream("WatchOrgCirc")
    assert refused.value.status == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("goods_ids", "cursor", "field"),
    [
        ([], "", "goods_id"),
        (range(1, GOODS_WATCHED_MAX + 2), "", "goods_id"),
        ([1, 1], "", "goods_id"),
        ([0], "", "goods_id"),
        ([1], "x", "cursor"),
        ([1], "00000000-" + "9" * 19, "cursor"),
        ([1], "00000000--1", "cursor"),
    ],
)
def test_bad_requests_name_the_field(
    node: RunningNode, watcher: WatchClient, goods_ids: list[int], cursor: str, field: str
) -> None:
    with pytest.raises(Refusal) as refused:
        watcher.goods(*goods_ids, cursor=cursor)
    assert (refused.value.status, refused.value.fields) == ("INVALID_ARGUMENT", [field])
    query = [("goods_id", one) for one in goods_ids] + [("cursor", cursor)]
    answer = httpx.get(f"http://{node.ready['http']}/api/v1/circ:watch", params=query)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["code"]) == (400, 3)


def test_a_cursor_of_another_feed_or_of_the_future_is_gone(node: RunningNode, watcher: WatchClient) -> None:
    own = watcher.goods(1).cursor
    for cursor in ("0" * 8 + "-0", own.partition("-")[0] + "-999999999"):
        with pytest.raises(Refusal) as refused:
            watcher.goods(1, cursor=cursor)
        assert (refused.value.status, refused.value.reason) == ("OUT_OF_RANGE", "INVALID_PARAMS")
        assert refused.value.metadata["value"] == cursor
        answer = httpx.get(
            f"http://{node.ready['http']}/api/v1/circ:watch?goods_id=1", headers={"Last-Event-ID": cursor}
        )
        assert (answer.status_code, answer.json()["code"]) == (410, 11)
        assert "read GetCirc" in answer.json()["message"]


def test_server_sent_events_go_on_after_a_cut(node: RunningNode, maker: Maker) -> None:
    (goods_id,) = _goods(maker, 1)
    http, path = node.ready["http"], f"/api/v1/circ:watch?goods_id={goods_id}"
    with events(http, path) as first:
        trans = _record(maker, goods_id)
        event = first.change()
        assert (event.data["kind"], event.data["transId"], event.data["goodsIds"]) == ("recorded", trans, [goods_id])
        assert event.data["cursor"] == event.last_id
    people.settled(maker.boss.client, goods_id)
    later = _record(maker, goods_id)
    with events(http, f"{path}&cursor=00000000-0", last_id=event.last_id) as again:
        told = [again.change().data for _ in range(3)]
    assert [(one["kind"], one["transId"]) for one in told] == [
        ("finalised", trans),
        ("recorded", later),
        ("finalised", later),
    ]
    with events(http, "/api/v1/org/circ:watch", last_id=event.last_id, token=maker.boss.client.token) as own:
        assert own.change().data == told[0]


def test_streams_go_on_after_the_node_was_killed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    node = RunningNode(data)
    maker = people.maker(node.client)
    (goods_id,) = _goods(maker, 1)
    path = f"/api/v1/circ:watch?goods_id={goods_id}"
    with closing(WatchClient(node.client)) as watcher, events(node.ready["http"], path) as sse:
        stream = watcher.goods(goods_id)
        told = [_record(maker, goods_id) for _ in range(5)]
        cursor, seen = sse.change().last_id, [stream.change().trans_id]
        node.kill()
        cursor = [cursor, *(event.last_id for event in sse.to_end())][-1]
        seen += [change.trans_id for change in stream.to_end() if change.circ_id]
        assert stream.refusal is not None
        assert stream.refusal.status == "UNAVAILABLE"
    with (
        running(data) as node,
        closing(WatchClient(node.client)) as watcher,
        events(node.ready["http"], path, last_id=cursor) as sse,
    ):
        again = watcher.goods(goods_id, cursor=stream.cursor)
        maker.boss.client = people.again(node.client, maker.boss)
        told.append(_record(maker, goods_id))
        while seen.count(told[-1]) < 2:
            seen.append(again.change().trans_id)
        assert sorted(seen) == sorted(told * 2)
        while sse.last_id != again.cursor:
            sse.next()
        # SIGTERM ends both cleanly, and both say up to where they came.
        assert node.stop() == 0
        (last,) = again.to_end()
        assert (last.circ_id, again.refusal) == (0, None)
        assert sse.to_end()[-1].last_id == again.cursor


def test_old_changes_are_dropped_but_the_newest(tmp_path: Path) -> None:
    """The floor moves with what is dropped; a cursor at it is still good, one below it is not."""
    from node.store import changes
    from node.store.db import Store
    from tests.store import rows

    store = Store(tmp_path / "index.sqlite3")
    try:
        rows.prepared(store, 2, 1)
        with store.write():
            for number in range(5):
                changes.t.Change.create(circ_id=1, kind=1, at=number)
        assert changes.forget_older(3, 2) == 2
        assert (changes.kept().first.number, changes.kept().last.number) == (2, 5)
        assert changes.forget_older(3, 2) == 1
        assert changes.forget_older(3, 2) == 0
        assert changes.forget_older(99, 10) == 1
        kept = changes.kept()
        assert (kept.first.number, kept.last.number) == (4, 5)
        assert kept.place(kept.first) == 4
        assert kept.place(type(kept.first)(kept.first.epoch, 3)) is None
    finally:
        store.close()
