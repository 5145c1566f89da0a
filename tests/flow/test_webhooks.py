"""Webhooks of a running node: what arrives, what is tried again, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from node.domain import webhooks as rules
from node.flow import deliver, post
from node.flow.state import state_of
from node.store import changes
from node.store import webhooks as rows
from tests.support import people
from tests.support.node import RunningNode, eventually, running
from tests.support.receiver import BREAK, DRIP, FAIL, FLOOD, GONE, HANG, REDIRECT, Delivery, Receiver, receiving
from tests.support.watching import WatchClient
from tests.support.wire_client import Refusal

from .world import Running, config, started


@dataclass
class Org:
    """A boss with goods, and a client of the service that watches."""

    maker: people.Maker
    goods_id: int
    watch: WatchClient

    def hook(self, url: str, **fields: Any) -> Any:
        return self.watch.call("CreateWebhook", url=url, **fields)

    def shown(self) -> Any:
        (hook,) = self.watch.call("ListWebhooks").webhooks
        return hook

    def record(self) -> str:
        return str(self.maker.boss.call("CreateCirc", goods_id=self.goods_id, circ_type=1).trans_id.value)


@contextmanager
def org_of(client: Any) -> Iterator[Org]:
    maker = people.maker(client)
    (goods_id,) = maker.goods(1)
    people.settled(client, goods_id)
    with closing(WatchClient(maker.boss.client)) as watch:
        yield Org(maker, goods_id, watch)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(rules, "BACKOFF_SECONDS_FIRST", 0.05)
    with started(replace(config(tmp_path / "d", "embedded"), webhooks_local=True)) as node:
        yield node


@pytest.fixture
def org(node: Running) -> Iterator[Org]:
    with org_of(node.client) as made:
        yield made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def _changes(receiver: Receiver, secret: str, last: str) -> list[tuple[str, str]]:
    """What arrives, each delivery verified by the reference library, until a circ is final."""
    found: list[tuple[str, str]] = []
    while (last, "finalised") not in found:
        delivery = receiver.next()
        body = Webhook(secret).verify(delivery.body, delivery.headers)
        assert body["type"] == "circ.changed"
        assert body["cursor"] == body["changes"][-1]["cursor"]
        assert body["timestamp"] == body["changes"][-1]["changedAt"]
        found += [(change["transId"], change["kind"]) for change in body["changes"]]
    return found


def test_changes_arrive_signed_and_in_order(org: Org, receiver: Receiver) -> None:
    made = org.hook(receiver.url)
    told = [org.record() for _ in range(30)]
    arrived = _changes(receiver, made.secret, told[-1])
    assert [one for one, kind in arrived if kind == "recorded"] == told
    assert sorted(arrived) == sorted((one, kind) for one in told for kind in ("recorded", "finalised"))
    eventually(lambda: org.shown().cursor != made.cursor)
    shown = org.shown()
    assert (shown.id, shown.url, shown.state, shown.last_error) == (made.id, receiver.url, "active", "")


@pytest.mark.parametrize("how", [FAIL, REDIRECT, BREAK, HANG, DRIP])
def test_what_is_not_taken_is_sent_again_as_it_was(
    org: Org, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(post, "POST_SECONDS_MAX", 0.5)
    receiver.answers = [how, how]
    made = org.hook(receiver.url)
    trans_id = org.record()
    first = receiver.next()
    eventually(lambda: org.shown().state == "failing")
    failing = org.shown()
    assert (failing.cursor, bool(failing.last_error)) == (made.cursor, True)
    assert failing.HasField("failing_since")
    later = org.record()
    tries = [first, receiver.next(), receiver.next()]
    assert len({one.id for one in tries}) == len({one.body for one in tries}) == 1
    assert {one.path for one in tries} == {"/hook?x=1"}
    assert first.json["changes"][0]["transId"] == trans_id
    for one in tries:
        Webhook(made.secret).verify(one.body, one.headers)
    _changes(receiver, made.secret, later)
    eventually(lambda: org.shown().state == "active" and not org.shown().last_error)


def test_an_answer_without_end_is_not_read(org: Org, receiver: Receiver) -> None:
    receiver.answers = [FLOOD]
    made = org.hook(receiver.url)
    org.record()
    receiver.next()
    eventually(lambda: org.shown().cursor != made.cursor)
    assert org.shown().state == "active"


def test_one_that_hangs_holds_up_no_other(node: Running, org: Org, receiver: Receiver) -> None:
    with receiving() as slow, org_of(node.client) as other:
        slow.answers = [HANG] * 20
        for _ in range(rules.WEBHOOKS_OF_ORG_MAX):
            org.hook(slow.url)
        secret = other.hook(receiver.url).secret
        org.record()
        for _ in range(rules.WEBHOOKS_OF_ORG_MAX):
            slow.next()
        _changes(receiver, secret, other.record())
        assert {hook.state for hook in org.watch.call("ListWebhooks").webhooks} == {"active"}


@pytest.mark.parametrize("how", [GONE, FAIL])
def test_one_that_wants_no_more_or_fails_for_days_is_disabled(
    node: Running, org: Org, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == FAIL:
        monkeypatch.setattr(deliver, "FAILING_MICROS_MAX", 0)
        monkeypatch.setattr(deliver, "TRIES_MIN", 2)
    receiver.answers = [how] * 9
    made = org.hook(receiver.url)
    org.record()
    eventually(lambda: org.shown().state == "disabled")
    shown = org.shown()
    assert (shown.cursor, shown.last_error) == (made.cursor, f"it answered {410 if how == GONE else 500}")
    assert not shown.HasField("next_at")
    tries = receiver.deliveries.qsize()
    assert tries == (1 if how == GONE else 2)
    (told,) = state_of(node.node._store, lambda: 0).webhooks
    assert (told.id, told.state) == (made.id, "disabled")
    # Another one with its cursor misses nothing.
    receiver.answers.clear()
    with receiving() as better:
        again = org.hook(better.url, cursor=shown.cursor)
        assert better.next().json["changes"][0]["kind"] == "recorded"
        assert again.cursor == shown.cursor
    assert receiver.deliveries.qsize() == tries


def test_a_webhook_is_told_that_changes_are_lost(node: Running, org: Org, receiver: Receiver) -> None:
    receiver.answers = [FAIL, FAIL]
    made = org.hook(receiver.url)
    deliveries = node.node.leading.duties.deliveries

    def is_quiet() -> bool:
        """Else what happened before the webhook may still move its cursor."""
        with node.node._store.read():
            has_seen_all = deliveries._feed._seen >= changes.head()
        lines = deliveries._lines.values()
        return has_seen_all and bool(lines) and not any(line.is_busy or line.interest.touched for line in lines)

    eventually(is_quiet)
    with node.node._store.write():
        rows.t.Webhook.update(epoch="00000000", position=7).where(rows.t.Webhook.id == made.id).execute()
    deliveries._lines.clear()
    deliveries.changed()
    org.record()
    tries = [receiver.next() for _ in range(3)]
    assert len({one.id for one in tries}) == 1
    assert [one.json["type"] for one in tries] == ["circ.gone"] * 3
    assert {one.json["cursor"] for one in tries} == {tries[0].json["cursor"]}
    assert tries[0].json["changes"] == []
    last = org.record()
    assert (last, "recorded") in _changes(receiver, made.secret, last)


def test_who_may_do_what(node: Running, org: Org, receiver: Receiver) -> None:
    key = ("idempotency-key", "one")
    made = org.watch.call("CreateWebhook", key, url=receiver.url)
    assert org.watch.call("CreateWebhook", key, url=receiver.url) == made
    with pytest.raises(Refusal, match="ALREADY_EXISTS"):
        org.watch.call("CreateWebhook", key, url=receiver.url + "2")
    assert len(org.watch.call("ListWebhooks").webhooks) == 1
    assert made.secret not in str(org.watch.call("ListWebhooks"))
    with node.node._store.read():
        (row,) = rows.t.Webhook.select(rows.t.Webhook.secret_sealed).tuples()
    assert made.secret.removeprefix("whsec_").encode() not in bytes(row[0])
    for fields in ({"url": "ftp://x"}, {"url": receiver.url, "cursor": "x"}):
        with pytest.raises(Refusal, match="INVALID_ARGUMENT"):
            org.watch.call("CreateWebhook", **fields)
    with pytest.raises(Refusal, match="OUT_OF_RANGE"):
        org.hook(receiver.url, cursor="00000000-1")
    with org_of(node.client) as other:
        with pytest.raises(Refusal, match="NOT_FOUND"):
            other.watch.call("DeleteWebhook", id=made.id)
        assert not other.watch.call("ListWebhooks").webhooks
    for _ in range(rules.WEBHOOKS_OF_ORG_MAX - 1):
        org.hook(receiver.url)
    with pytest.raises(Refusal, match="FAILED_PRECONDITION"):
        org.hook(receiver.url)
    for hook in org.watch.call("ListWebhooks").webhooks:
        org.watch.call("DeleteWebhook", id=hook.id)
    eventually(lambda: not node.node.leading.duties.deliveries._lines)
    org.record()
    assert receiver.deliveries.empty()


def test_an_address_that_only_the_node_reaches_is_refused(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "BACKOFF_SECONDS_FIRST", 0.05)
    with started(config(tmp_path / "d", "embedded")) as node, org_of(node.client) as org:
        with pytest.raises(Refusal, match="want an https URL"):
            org.hook(receiver.url)
        org.hook(f"https://localhost:{receiver.port}/")
        org.record()
        eventually(lambda: org.shown().state == "failing")
        assert "which is no public address" in org.shown().last_error
        assert receiver.deliveries.empty()


def test_cursors_of_idle_webhooks_do_not_grow_old(node: Running, org: Org, receiver: Receiver) -> None:
    made = org.hook(receiver.url)
    with org_of(node.client) as other:
        other.record()
        eventually(
            lambda: (
                node.node.leading.duties.deliveries._feed.kept().last.number
                == node.node.leading.duties.deliveries._feed._seen
            )
        )
        eventually(lambda: made.id in node.node.leading.duties.deliveries._lines)

        def moved() -> bool:
            node.node.leading.duties.deliveries.keep_up()
            return bool(org.shown().cursor != made.cursor)

        eventually(moved)
    assert receiver.deliveries.empty()


def test_a_node_that_is_killed_before_it_hears_the_answer_sends_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with receiving() as receiver:
        receiver.answers = [HANG]
        node = RunningNode(data, "--webhooks-local")
        with org_of(node.client) as org:
            secret = org.hook(receiver.url).secret
            trans_id = org.record()
            first: Delivery = receiver.next()
            later = org.record()
            node.kill()
        with running(data, "--webhooks-local"):
            again = receiver.next()
            assert (again.id, again.body) == (first.id, first.body)
            Webhook(secret).verify(again.body, again.headers)
            assert again.json["changes"][0]["transId"] == trans_id
            _changes(receiver, secret, later)
