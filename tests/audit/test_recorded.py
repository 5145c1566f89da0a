"""The bounds of the time of record, and what honest nodes show within them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain import contract
from node.clock import now_micros
from node.domain.form import form_digest
from node.domain.limits import CLOCKS_APART_MICROS, DEPLOYMENT_WAIT_MICROS
from node.domain.model import Circ, Rights, ranges_of
from node.flow.audit import Auditor, ShownCirc
from node.flow.audit.facts import Actors, Event, Evidence, Facts, Fault, Place
from node.flow.audit.rules import recorded
from node.flow.audit.rules.case import Case
from tests.audit.world import PROCESS, View, World

BEGAN, BLOCK_SECONDS, NOW = 1_000_000, 1_100_000, 1_200_000
"""Of the ledger's first block, of the one that holds the circs, and of the audit."""
APART, DAY = CLOCKS_APART_MICROS // 1_000_000, DEPLOYMENT_WAIT_MICROS // 1_000_000
OWN, OTHER = "0x" + "11" * 32, "0x" + "22" * 32
CALL = Circ(ranges_of([7]), PROCESS, 1, 1, form_digest(bytes(16), b""), 0)
EVENT = Event(OWN, Place(5, 0, 0), CALL)


def _case(*, sovereign: bool = False) -> Case:
    actors = Actors()
    actors.learn(Place(1, 0, 0), contract.ActorRegistered(1, "0x" + "0" * 40, Rights.CIRCULATE, bytes(32)))
    if sovereign:
        actors.learn(Place(9, 0, 0), contract.AccountChanged(1, "0x" + "1" * 40, True))
    facts = Facts(10, 1, 1, actors, block_times={5: BLOCK_SECONDS}, began=BEGAN, now=NOW * 1_000_000)
    return Case(7, facts, 64)


def _circ(seconds: float) -> ShownCirc:
    at = int(seconds * 1_000_000)
    return ShownCirc(7, 1, "coop", "coop", "coop", b"", bytes(16), OWN, OWN, 0, "success", recorded_at=at)


def _found(case: Case) -> list[str]:
    return [str(each) for each in case.verdict(fresh=False).differences]


@pytest.mark.parametrize(
    ("evidence", "event", "latest"),
    [
        (None, EVENT, BLOCK_SECONDS),
        (None, replace(EVENT, tx_hash=OTHER), BLOCK_SECONDS),
        (Evidence(OWN, 5, Fault.REVERTED, CALL), None, BLOCK_SECONDS),
        (Evidence(OWN, 5, Fault.FORKED_OFF, CALL), None, NOW),
        (Evidence(OWN, None, None, CALL), None, NOW),
        (None, None, NOW),
    ],
    ids=["mined", "carried", "reverted", "forked off", "sent", "unknown"],
)
def test_the_bounds(evidence: Evidence | None, event: Event | None, latest: int) -> None:
    for seconds, wrong in (
        (BEGAN - DAY - APART - 0.1, "before a day before the ledger's first block"),
        (BEGAN - DAY - APART, ""),
        (latest + APART, ""),
        (latest + APART + 0.1, "after "),
    ):
        case = _case()
        recorded.check(case, _circ(seconds), evidence, event)
        found = _found(case)
        assert len(found) == bool(wrong), (seconds, found)
        assert all(wrong in line for line in found)


def test_a_sovereign_actor_may_have_sent_its_circ_before_the_node_had_it() -> None:
    """What the node's own transaction carried, it had before all the same."""
    for tx_hash, bound in ((OTHER, NOW), (OWN, BLOCK_SECONDS)):
        for seconds, wrong in ((bound + APART, 0), (bound + APART + 0.1, 1)):
            case = _case(sovereign=True)
            recorded.check(case, _circ(seconds), None, replace(EVENT, tx_hash=tx_hash))
            assert len(_found(case)) == wrong


@given(st.lists(st.floats(0, APART / 2 - 1), min_size=1, max_size=20), st.data())
def test_an_unsteady_clock_is_no_lie_and_one_lie_is_one_difference(unsteady: list[float], data: st.DataObject) -> None:
    """Circs 20 s apart, by a clock that is up to so much wrong; one of them, or none, is moved out of its bounds."""
    times = [BEGAN + 20 * number + wrong - APART / 4 for number, wrong in enumerate(unsteady)]
    lies = data.draw(st.sampled_from([None, *range(len(times))]))
    if lies is not None:
        times[lies] += data.draw(st.sampled_from([-1_000_000, 1_000_000]))
    case = _case()
    for seconds in times:
        recorded.check(case, _circ(seconds), None, EVENT)
    assert len(_found(case)) == (lies is not None)


@given(st.lists(st.integers(BEGAN, BLOCK_SECONDS), min_size=2, max_size=10))
def test_times_that_creep_backwards_are_found(times: list[int]) -> None:
    """The bound is the latest of all before, not the last."""
    case = _case()
    for seconds in times:
        recorded.check(case, _circ(seconds), None, EVENT)
    latest, wrong = times[0], 0
    for seconds in times:
        wrong += seconds < latest - APART
        latest = max(latest, seconds)
    assert len(_found(case)) == wrong


def test_a_chain_that_was_away_says_nothing_against_the_node(own: World) -> None:
    """What was recorded long before its block, and after the circ before it, is honest."""
    signed, shown = own.prepare([1], PROCESS, "coop")
    assert own.deliver(signed).status
    former = own.view.circs(1)[0].recorded_at
    settled = replace(shown, tx_hash=signed.hash, status="success", recorded_at=former)
    own.view.add(1, settled)
    assert Auditor(own.view, own.chain, own.address).audit([1]).differences == ()


def test_the_auditors_clock_counts_for_what_waits(world: World, view: View) -> None:
    for ahead, wrong in ((0, 0), (-86_400, 1)):
        auditor = Auditor(view, world.chain, world.address, clock=lambda ahead=ahead: now_micros() + ahead * 1_000_000)
        found = auditor.audit_all().differences
        assert [each.goods_id for each in found] == [3] * wrong, list(map(str, found))
