"""Captured events on an index alone: all or none whatever goes wrong, and what is remembered of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from node.chain.signer import HeldKey
from node.domain.epcis.document import Given
from node.domain.epcis.ids import base_of
from node.domain.epcis.read import read
from node.domain.model import CircType
from node.domain.records import User
from node.errors import Reason, SignerUnavailable, Status, VTraceError
from node.flow.capture import JOB_KEPT_MICROS, JOBS_KEPT_MAX, Captures, Job
from node.flow.once import Once
from node.store import captures, circs
from node.store import tables as t
from node.store.seal import KEY_BYTES, Seal
from tests.simulator.chain import Simulator
from tests.simulator.ledger import Market
from tests.support.epcis import CONTEXT, event

from .simulated import NOW, World


def anybody(_: User, __: CircType) -> None:
    """Roles are for the API to look at."""


@dataclass
class Shop:
    """A node's capture, with goods of user 1."""

    world: World
    goods: list[int]
    now: int = NOW
    told: int = 0
    made: Captures = field(init=False)

    def __post_init__(self) -> None:
        once = Once(self.world.store, Seal(b"\7" * KEY_BYTES), self.clock, self.tell)
        self.made = Captures(self.world.store, self.world.flow.recorder, once, self.clock, self.tell)

    def clock(self) -> int:
        return self.now

    def tell(self) -> None:
        self.told += 1

    def capture(self, *events: Any, number: int = 1, key: str | None = None) -> Job:
        ledger = self.world.flow.ledger
        given = [Given(index, each, (CONTEXT,)) for index, each in enumerate(events)]
        circs_asked = read(given, base_of(ledger.chain_id, ledger.contract))
        return self.made.capture(self.world.user(number), circs_asked, anybody, key, repr(events).encode())

    def event(self, *goods: int, **more: Any) -> dict[str, Any]:
        ledger = self.world.flow.ledger
        base = base_of(ledger.chain_id, ledger.contract)
        return event(*(f"{base}:obj:{goods_id}" for goods_id in goods), **more)

    def counts(self) -> tuple[int, int, int, int]:
        """Circs, transactions, captured events and jobs."""
        return tuple(table.select().count() for table in (t.Circ, t.Outbox, t.CapturedEvent, t.CaptureJob))  # type: ignore[return-value]


@pytest.fixture
def shop() -> Iterator[Shop]:
    world = World(Simulator(market=Market.FEES))
    try:
        yield Shop(world, world.produce(1, 4))
    finally:
        world.close()


def test_a_document_is_recorded_whole_or_not_at_all(shop: Shop) -> None:
    circ_count, transactions, *_ = shop.counts()
    job = shop.capture(*(shop.event(goods) for goods in shop.goods))
    assert (job.success, len(job.outcome["recorded"]), shop.told) == (True, 4, 1)
    assert shop.counts() == (circ_count + 4, transactions + 4, 4, 1)
    refused = shop.capture(shop.event(shop.goods[0], step="storing"), shop.event(99))
    assert (refused.success, refused.outcome["recorded"]) == (False, [])
    assert shop.counts() == (circ_count + 4, transactions + 4, 4, 2)
    assert shop.made.job(shop.world.user(1), refused.capture_id) is not None


def test_a_backlog_that_fills_up_half_way_lets_nothing_in(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    before = shop.counts()
    monkeypatch.setattr(shop.world.flow.ledger, "_backlog_max", shop.world.flow.ledger.waiting + 2)
    with pytest.raises(VTraceError) as refused:
        shop.capture(*(shop.event(goods) for goods in shop.goods))
    assert refused.value.status is Status.RESOURCE_EXHAUSTED
    assert shop.counts() == before


def test_a_signer_that_goes_away_half_way_lets_nothing_in(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    before, signed = shop.counts(), HeldKey.sign
    calls = iter(range(100))

    def sign(self: HeldKey, message: bytes) -> bytes:
        if next(calls) == 3:
            raise SignerUnavailable("gone")
        return signed(self, message)

    monkeypatch.setattr(HeldKey, "sign", sign)
    with pytest.raises(SignerUnavailable):
        shop.capture(*(shop.event(goods) for goods in shop.goods))
    assert shop.counts() == before
    assert shop.capture(*(shop.event(goods) for goods in shop.goods)).success


def test_an_event_whose_circ_failed_can_be_captured_again(shop: Shop) -> None:
    given = shop.event(shop.goods[0])
    (first,) = shop.capture(given).outcome["recorded"]
    with shop.world.store.write():
        (row,) = t.Outbox.select().where(t.Outbox.tx_hash == first["transIDs"][0])
        assert circs.fail(row.id, "somebody else changed the state")
    (second,) = shop.capture(given).outcome["recorded"]
    assert second["transIDs"] != first["transIDs"]
    assert shop.capture(given).outcome["duplicates"] == [second]


def test_a_key_is_free_again_after_a_refusal(shop: Shop) -> None:
    given = (shop.event(shop.goods[0]), shop.event(shop.goods[1]))
    shop.world.record(1, CircType.TRANSFER, shop.goods[:1], "user2")
    assert not shop.capture(*given, key="k").success
    shop.world.record(2, CircType.TRANSFER, shop.goods[:1], "user1")
    job = shop.capture(*given, key="k")
    assert job.success
    assert shop.capture(*given, key="k") == job
    with pytest.raises(VTraceError) as refused:
        shop.capture(given[0], key="k")
    assert refused.value.reason is Reason.CIRC_ALREADY_EXIST


def test_who_keeps_its_own_key_is_told_how_to_record(shop: Shop) -> None:
    with shop.world.store.write():
        t.Actor.update(sovereign_by=1, key_sealed=b"").where(t.Actor.user == 1).execute()
    (error,) = shop.capture(shop.event(shop.goods[0])).outcome["errors"]
    assert "keeps its own key" in error["detail"]
    assert "call PrepareCirc" in error["detail"]


def test_jobs_are_kept_for_30_days_and_so_many_of_each_user(shop: Shop) -> None:
    user, other = shop.world.user(1), shop.world.user(2)
    first = shop.capture(shop.event(shop.goods[0]))
    shop.capture(shop.event(99), number=2)
    assert shop.made.job(other, first.capture_id) is None
    assert [len(shop.made.jobs(one, None, 9)) for one in (user, other)] == [1, 1]
    with shop.world.store.write():
        for number in range(JOBS_KEPT_MAX):
            captures.forget_jobs(1, JOBS_KEPT_MAX - 1, 0, 1)
            captures.add_job(f"{number}", 1, NOW, NOW, True, "{}")
    assert t.CaptureJob.select().where(t.CaptureJob.user_id == 1).count() == JOBS_KEPT_MAX
    assert shop.made.job(user, first.capture_id) is None
    assert len(shop.made.jobs(other, None, 9)) == 1
    shop.now += JOB_KEPT_MICROS
    assert shop.made.jobs(other, None, 9) == shop.made.jobs(user, None, 9) == []
    kept = t.CaptureJob.select().count()
    shop.now += 1
    shop.capture(shop.event(shop.goods[0]))
    assert t.CaptureJob.select().count() < kept
    assert shop.capture(shop.event(shop.goods[0])).outcome["recorded"] == []
