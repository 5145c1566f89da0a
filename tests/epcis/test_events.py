"""Queries of an index: filters, pages, and who may ask for what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from node.domain.epcis.ids import base_of
from node.domain.epcis.query import Query, parse
from node.domain.model import CircStatus, CircType
from node.domain.roles import Role
from node.errors import VTraceError
from node.flow import events as flow
from node.flow.events import Events, of_index
from node.store import circs, people
from node.store import tables as t
from tests.epcis.histories import CHAIN_ID, CONTRACT, World

BASE = base_of(CHAIN_ID, CONTRACT)


def asked(**parameters: str) -> Query:
    return parse(list(parameters.items()))


def events_of(world: World) -> Events:
    return of_index(world.store, lambda: world.now)


def all_of(events: Events, query: Query) -> list[dict[str, Any]]:
    return [event for page in events.pages(query) for event in page.events]


def trans_ids(events: list[dict[str, Any]]) -> list[str]:
    return [event["vtrace:trans_id"] for event in events]


def recorded() -> list[str]:
    """The trans_ids of all circs, in the order of record."""
    return [str(row.outbox.tx_hash) for row in t.Circ.select().order_by(t.Circ.id)]


def epc(goods_id: int) -> str:
    return f"{BASE}:obj:{goods_id}"


@pytest.mark.parametrize("per_page", [1, 7, 149, 150, 1_000])
def test_pages_lose_nothing_and_double_nothing(world: World, per_page: int) -> None:
    pages = list(events_of(world).pages(asked(perPage=str(per_page))))
    assert trans_ids([event for page in pages for event in page.events]) == recorded()
    assert all(len(page.events) <= per_page for page in pages)
    assert len(pages) == -(-150 // per_page)
    assert [page.next is None for page in pages] == [False] * (len(pages) - 1) + [True]


def test_what_comes_between_two_pages_comes_at_the_end(world: World) -> None:
    found: list[str] = []
    for page in events_of(world).pages(asked(perPage="40")):
        found += trans_ids(page.events)
        if len(found) < 300:
            world.play(25)
    assert found == recorded()[: len(found)]
    assert len(found) >= 300


def test_a_listing_ends_before_the_first_pending_circ_and_goes_on_later(world: World) -> None:
    stuck = list(t.Circ.select().order_by(t.Circ.id))[90]
    with world.store.write():
        circs.unsettle([stuck.outbox_id])
    events, everything = events_of(world), recorded()
    assert trans_ids(all_of(events, asked(perPage="40"))) == everything[:90]
    assert trans_ids(all_of(events, parse([("vtrace:pending", "true")]))) == everything
    begun = next(iter(events.pages(asked(perPage="40"))))
    with world.store.write():
        circs.succeed([stuck.outbox_id])
    assert begun.next is not None
    assert trans_ids([*begun.events, *all_of(events, replace(asked(perPage="40"), after=begun.next))]) == everything


def test_a_pending_circ_holds_back_only_what_the_query_is_about(world: World) -> None:
    last = t.Circ.select().order_by(t.Circ.id.desc()).get()
    touched = {row.goods_id for row in t.CircGoods.select().where(t.CircGoods.circ_id == last.id)}
    other = next(each for each in world.states if each not in touched)
    before = trans_ids(all_of(events_of(world), asked(MATCH_epc=epc(other))))
    first = t.Circ.select().order_by(t.Circ.id).get()
    with world.store.write():
        t.Circ.update(status=CircStatus.PENDING.value).where(t.Circ.id == last.id).execute()
    assert trans_ids(all_of(events_of(world), asked(MATCH_epc=epc(other)))) == before
    assert len(all_of(events_of(world), asked())) == 149
    assert first.id < last.id


def test_failed_circs_are_in_no_answer(world: World) -> None:
    last = t.Circ.select().order_by(t.Circ.id.desc()).get()
    with world.store.write():
        circs.unsettle([last.outbox_id])
        assert circs.fail(last.outbox_id, "NotHolder") == [last.id]
    assert trans_ids(all_of(events_of(world), parse([("vtrace:pending", "true")]))) == recorded()[:-1]


def test_named_goods_have_their_own_history(world: World) -> None:
    events = events_of(world)
    for goods_id in (1, 7, 33):
        rows = t.CircGoods.select(t.CircGoods.circ_id).where(t.CircGoods.goods_id == goods_id)
        known = [str(row.outbox.tx_hash) for row in t.Circ.select().where(t.Circ.id.in_(rows)).order_by(t.Circ.id)]
        found = all_of(events, asked(MATCH_anyEPC=epc(goods_id), perPage="2"))
        assert trans_ids(found) == known
        (own,) = {
            one for event in found for one in event["epcList"] if one.endswith((f"/21/{goods_id}", f":obj:{goods_id}"))
        }
        assert trans_ids(all_of(events, asked(MATCH_epc=own))) == known
    both = all_of(events, asked(MATCH_epc=f"{epc(1)}|{epc(7)}"))
    assert len(both) >= len(all_of(events, asked(MATCH_epc=epc(1))))
    together = all_of(events, parse([("MATCH_epc", epc(1)), ("MATCH_anyEPC", epc(2))]))
    assert all({1, 2} <= _ids(event) for event in together)
    assert together


def _ids(event: dict[str, Any]) -> set[int]:
    return {int(one.replace("/", ":").rpartition(":")[2]) for one in event["epcList"]}


@pytest.mark.parametrize(
    "name",
    [
        f"{BASE}:obj:2147483647",
        "urn:vtrace:1:0xab:obj:1",
        "https://id.gs1.org/01/04012345111118/21/1",
        "urn:epc:id:sscc:4012345.1112223334",
        "https://example.com/1",
    ],
)
def test_an_epc_of_nothing_here_is_in_no_event(world: World, name: str) -> None:
    assert all_of(events_of(world), asked(MATCH_epc=name)) == []


def test_filters_agree_with_a_look_at_every_event(world: World) -> None:
    events = events_of(world)
    everything = all_of(events, asked())
    times = sorted({event["recordTime"] for event in everything})
    middle = times[len(times) // 2]
    looks: dict[tuple[str, str], Any] = {
        ("EQ_bizStep", "shipping|receiving"): lambda event: event["bizStep"] in ("shipping", "receiving"),
        ("EQ_action", "ADD"): lambda event: event["action"] == "ADD",
        ("GE_recordTime", middle): lambda event: event["recordTime"] >= middle,
        ("LT_recordTime", middle): lambda event: event["recordTime"] < middle,
        ("GE_eventTime", middle): lambda event: event["eventTime"] >= middle,
        ("LT_eventTime", middle): lambda event: event["eventTime"] < middle,
        ("EQ_eventID", everything[77]["eventID"]): lambda event: event is everything[77],
        ("EQ_disposition", "recalled"): lambda event: event["disposition"] == "recalled",
        ("eventType", "AggregationEvent"): lambda _: False,
    }
    for pair, look in looks.items():
        wanted = trans_ids([event for event in everything if look(event)])
        assert trans_ids(all_of(events, parse([pair, ("perPage", "3")]))) == wanted, pair
    assert trans_ids(all_of(events, parse([("GE_recordTime", middle), ("EQ_action", "ADD")])))


def test_a_page_is_bounded_in_length_and_in_circs_looked_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "PAGE_BYTES_MAX", 3_000)
    pages = list(events_of(world).pages(asked(perPage="1000")))
    assert trans_ids([event for page in pages for event in page.events]) == recorded()
    assert 15 < len(pages) < 150
    assert all(len(page.events) == 1 or sum(len(each["epcList"]) for each in page.events) <= 37 for page in pages)
    monkeypatch.setattr(flow, "LOOKED_MAX", 10)
    pages = list(events_of(world).pages(asked(EQ_bizStep="void_shipping")))
    assert [page.events for page in pages] == [[]] * 15
    assert pages[-1].next is None


@pytest.fixture
def members(world: World) -> list[Any]:
    found = []
    with world.store.write():
        for user_id, _, org_id in world.orgs:
            found.append(people.change_user(user_id, org_id=org_id))
    return found


def test_a_producer_lists_its_own_orgs_goods(world: World, members: list[Any]) -> None:
    events = events_of(world)
    counts = []
    for member in members:
        found: list[dict[str, Any]] = []
        query = asked(perPage="9")
        while True:
            document, following = events.answer(query, member)
            found += document["epcisBody"]["queryResults"]["resultsBody"]["eventList"]
            if following is None:
                break
            query = replace(query, after=following)
        of_org = t.run(
            "SELECT DISTINCT outbox.tx_hash, circ.id FROM circ JOIN outbox ON outbox.id = outbox_id "
            "JOIN circ_goods ON circ_id = circ.id JOIN goods ON goods.id = goods_id "
            "JOIN serial ON serial.id = serial_id "
            "JOIN goods_class ON goods_class.id = goods_class_id WHERE goods_class.org_id = ? ORDER BY circ.id",
            member.org_id,
        ).fetchall()
        assert trans_ids(found) == [tx_hash for tx_hash, _ in of_org]
        counts.append(len(found))
    assert min(counts) > 0
    assert max(counts) < 150


def test_others_must_name_the_goods(world: World, members: list[Any]) -> None:
    events = events_of(world)
    with world.store.write():
        driver = people.change_user(members[0].id, role=Role.TRANSPORTER.value)
    for caller in (None, driver):
        with pytest.raises(VTraceError, match="MATCH_epc"):
            events.answer(asked(), caller)
    document, following = events.answer(asked(MATCH_epc=epc(1)), None)
    assert document["type"] == "EPCISQueryDocument"
    assert following is None
    with world.store.write():
        people.revoke_tokens(members[1].id)
    with pytest.raises(VTraceError, match="revoked"):
        events.answer(asked(), members[1])


def test_who_produced_again_did_not_commission(world: World) -> None:
    with world.store.write():
        (goods_id, *_) = world.produce(1)
        by = world.states[goods_id].holder
        assert world.circ([goods_id], CircType.PRODUCE, by, by, b'{"bizStep": "packing"}')
    first, second = all_of(events_of(world), asked(MATCH_epc=epc(goods_id)))
    assert (first["action"], first["bizStep"], "ilmd" in first) == ("ADD", "commissioning", True)
    assert (second["action"], second["bizStep"], "ilmd" in second) == ("OBSERVE", "packing", False)
