"""Single cases of the flow on the simulator: the smallest examples of what the machines found, or could not try."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from node.chain import contract
from node.chain.fees import Fees
from node.chain.rpc import Look
from node.chain.signer import sign_transaction
from node.domain.model import Circ, CircStatus, CircType, Range
from node.domain.roles import Role
from node.flow.contradictions import SECONDS_MIN
from node.store import circs
from tests.chain.echo import Sender
from tests.chain.servers import RICH_WEI
from tests.simulator.chain import CHAIN_ID, Simulator
from tests.simulator.ledger import Market

from .simulated import CONFIRMATIONS, ROLES, ROUND_SECONDS, World

PROCESS = CircType.PROCESS
EXAMINER = ROLES.index(Role.EXAMINER) + 1


@contextmanager
def world_of(market: Market = Market.FEES, *, lanes: int = 1, honest: bool = True) -> Iterator[World]:
    world = World(Simulator(market=market), lanes=lanes, honest=honest)
    try:
        yield world
    finally:
        world.close()


def test_a_receipt_of_a_block_that_is_gone() -> None:
    """An endpoint still shows it (a lagging replica, a cache), while the chain has lost the transaction."""
    with world_of() as world:
        world.produce(1, 1)
        world.send()
        world.simulator.ledger.mine()
        world.confirm()
        world.simulator.ledger.fork(1, vanish=lambda _: True)
        world.simulator.faults.stale = True
        for _ in range(CONFIRMATIONS):
            world.simulator.ledger.mine()
            world.confirm()
            world.check()
        world.settle()
        world.check_settled()


def test_a_circ_of_the_same_operator_from_elsewhere_makes_a_later_one_fit() -> None:
    """Its key signed elsewhere too. The chain refuses the first of two that wait, and takes the second."""
    with world_of(honest=False) as world:
        world.produce(1, 1)
        world.settle()
        first, second = (world.record(1, PROCESS, [1])[0].trans_id for _ in range(2))
        operator = world.flow.actors.of(world.user(1))
        assert operator.signatory is not None
        number, address = operator.actor.id, world.flow.ledger.contract
        circ = Circ((Range(1, 1),), PROCESS, number, number, bytes(32), 1)
        data = contract.circulate_data(circ, operator.signatory.sign(contract.circ_message(CHAIN_ID, address, circ)))
        stranger = Sender()
        world.simulator.ledger.fund(stranger.address, RICH_WEI)
        sent = sign_transaction(
            stranger.key,
            chain_id=CHAIN_ID,
            nonce=0,
            to=address,
            data=data,
            gas=500_000,
            fees=Fees(10**12, 10**12),
        )
        world.simulator.ledger.add(sent.raw)
        world.settle()
        receipts = world.chain.receipts([first, second])
        assert [receipt is not None and receipt.status for receipt in receipts] == [False, True]
        shown = {record.trans_id: record.status for record in circs.history(1)}
        assert (shown[first], shown[second]) == (CircStatus.FAILED, CircStatus.SUCCESS)


def test_a_chain_that_takes_legacy_transactions_alone() -> None:
    with world_of(Market.LEGACY) as world:
        world.produce(1, 1)
        world.settle()
        world.check_settled()


@pytest.mark.parametrize("vanish", [False, True])
def test_a_fork_deeper_than_the_confirmations(vanish: bool) -> None:
    with world_of() as world:
        world.produce(1, 2)
        world.settle()
        world.record(1, PROCESS, [1, 2])
        world.settle()
        world.simulator.ledger.fork(CONFIRMATIONS + 2, vanish=lambda _: vanish, refill=False)
        world.settle()
        world.check_settled()


def test_a_fee_that_stays_too_low() -> None:
    with world_of() as world:
        world.produce(1, 1)
        world.send()
        world.simulator.ledger.base_fee *= 50
        for _ in range(100):
            world.send()
            world.nudge()
            world.simulator.ledger.mine()
            world.confirm()
            world.clock.seconds += ROUND_SECONDS
        assert world.is_quiet()
        world.check_settled()


@pytest.mark.parametrize(
    "seconds",
    [
        0.0,
        3_600.0,
    ],
)
def test_an_endpoint_that_hides_receipts_stops_nothing(seconds: float) -> None:
    with world_of() as world:
        world.produce(1, 1)
        world.settle()
        world.record(1, PROCESS, [1])
        world.send()
        world.simulator.ledger.mine()
        world.simulator.faults.blind = True
        for _ in range(30):
            world.confirm()
            world.send()
            world.clock.seconds += seconds
        world.settle()
        world.check_settled()


@pytest.mark.parametrize("place", [0, 1])
def test_what_stands_on_two_lanes_waits_for_both(place: int) -> None:
    with world_of(lanes=2) as world:
        world.produce(1, 1)
        world.produce(2, 1)
        world.record(EXAMINER, CircType.EXAM, [1, 2])
        world.settle()
        parts = [world.record(boss, PROCESS, [boss])[0].trans_id for boss in (1, 2)]
        world.record(EXAMINER, CircType.EXAM, [1, 2])
        world.simulator.ledger.held.add(parts[place])
        for _ in range(2 * CONFIRMATIONS):
            world.send()
            world.simulator.ledger.mine()
            world.confirm()
            world.check()
        assert world.simulator.ledger.place(parts[1 - place]) is not None
        world.settle()
        world.check_settled()


def test_two_forks_in_the_middle_of_looks_are_no_other_signer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look counts a nonce that its fork gives free, long apart."""
    with world_of() as world:
        world.produce(1, 1)
        world.settle()
        world.record(1, PROCESS, [1])
        look = world.chain.look

        def forked_after(*asked: Any) -> Look:
            found = look(*asked)
            world.simulator.ledger.fork(1, vanish=lambda _: True)
            return found

        for _ in range(2):
            world.send()
            world.simulator.ledger.mine()
            with monkeypatch.context() as racing:
                racing.setattr(world.chain, "look", forked_after)
                world.confirm()
            for _ in range(2):
                world.clock.seconds += SECONDS_MIN
                world.confirm()
                world.nudge()
            world.check()
        world.settle()
        world.check_settled()
