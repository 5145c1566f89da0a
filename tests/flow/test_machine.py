"""The flow on a chain where everything goes wrong that can, driven by Hypothesis; checked after every step.

What it must come to: every circ that was answered is taken exactly once, in the order in which it was answered, and
the index says what the chain says. ``VTRACE_MACHINE=EXAMPLES[xSTEPS]`` looks longer and elsewhere each time, such as
``VTRACE_MACHINE=2000x80 pytest tests/flow/test_machine.py``.
"""

from __future__ import annotations

import os
import random
import sys
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from node.domain.model import CircType
from node.domain.roles import Role
from node.errors import VTraceError
from tests.simulator.chain import Simulator
from tests.simulator.dialects import DIALECTS, Dialect
from tests.simulator.ledger import Block, Market

from .simulated import CONFIRMATIONS, ROLES, World

FORK_MAX = CONFIRMATIONS - 1
"""A fork never reaches what is final: how deep one may be is what --confirmations says."""
GOODS_MAX = 6
USERS = st.integers(1, len(ROLES))
BOSSES = st.sampled_from([number for number, role in enumerate(ROLES, 1) if role is Role.BOSS])
FAULTS: list[dict[str, Any]] = [
    *({}, {}, {}, {"down": True}, {"cut": 0}, {"cut": 1}, {"cut": 3}, {"swallow": True}, {"delay": True}),
    *({"shuffle": True}, {"blind": True}, {"stale": True}, {"stale": True, "behind": 1}, {"behind": 1}, {"behind": 2}),
]
EXAMINER = ROLES.index(Role.EXAMINER) + 1


def in_teardown(world: World | None) -> None:
    """At the end of an example: let all come to rest and look at it, unless it has failed before."""
    if world is None:
        return
    try:
        if sys.exc_info()[1] is None:
            world.settle()
            world.check_settled()
    finally:
        world.close()


class Anchoring(RuleBasedStateMachine):
    @initialize(dialect=st.sampled_from(DIALECTS), market=st.sampled_from(Market), lanes=st.integers(1, 3))
    def start(self, dialect: Dialect, market: Market, lanes: int) -> None:
        self.world = World(Simulator(dialect, market), lanes=lanes)
        self.chain = self.world.simulator.ledger
        self.faults = self.world.simulator.faults
        for boss in (1, 2):
            self.world.produce(boss, 2)
        self.work(2)

    def teardown(self) -> None:
        in_teardown(getattr(self, "world", None))

    # --- callers

    @rule(boss=BOSSES, total=st.integers(1, 3))
    def make_goods(self, boss: int, total: int) -> None:
        if len(self.world.told) < GOODS_MAX:
            self.world.produce(boss, total)

    @precondition(lambda self: self.world.told)
    @rule(
        user=USERS,
        circ_type=st.sampled_from([CircType.PROCESS, CircType.PROCESS, CircType.TRANSFER, CircType.EXAM]),
        to=USERS,
        goods=st.sets(st.integers(1, GOODS_MAX), min_size=1, max_size=4),
        times=st.integers(1, 3),
    )
    def record(self, user: int, circ_type: CircType, to: int, goods: set[int], times: int) -> None:
        """Of goods that the user holds, if there are such; the examiner looks at anybody's."""
        held = self.world.held_by(user)
        wanted = goods & (self.world.told.keys() if user == EXAMINER else held) or held or {1}
        kind = CircType.EXAM if user == EXAMINER else circ_type
        for _ in range(times):
            try:
                self.world.record(user, kind, sorted(wanted), f"user{to}" if kind is CircType.TRANSFER else "")
            except VTraceError:
                return  # a refusal is an answer too, and leaves nothing

    @rule(role=st.sampled_from([Role.EXAMINER, Role.NORMAL, Role.TRANSPORTER]))
    def change_role(self, role: Role) -> None:
        self.world.change_role(EXAMINER, role)

    # --- the node

    @rule(what=st.sampled_from(["send", "confirm", "nudge", "mine", "wait a little", "wait"]))
    def step(self, what: str) -> None:
        """One thing alone."""
        if what == "mine":
            self.chain.mine()
        elif what.startswith("wait"):
            self.world.clock.seconds += 20.0 if what == "wait" else 3.0
        else:
            getattr(self.world, what)()

    @rule(rounds=st.integers(1, 3))
    def work(self, rounds: int) -> None:
        """What mostly happens: a step of each, and a block."""
        for _ in range(rounds):
            self.world.send()
            self.chain.mine()
            self.world.confirm()
            self.world.nudge()

    @precondition(lambda self: not self.faults.down and self.faults.cut is None)
    @rule()
    def restart(self) -> None:
        self.world.restart()

    # --- the chain

    @rule(
        depth=st.integers(1, FORK_MAX),
        refill=st.booleans(),
        vanish=st.sampled_from(["none", "all", "odd", "even"]),
        noticed=st.booleans(),
    )
    def fork(self, depth: int, refill: bool, vanish: str, noticed: bool) -> None:
        if noticed:
            self.work(1)
        if depth >= len(self.chain.canonical):
            return
        gone = {"none": (), "all": (0, 1), "odd": (1,), "even": (0,)}[vanish]
        self.chain.fork(depth, vanish=lambda tx: tx.nonce % 2 in gone, refill=refill)

    @rule(depth=st.integers(FORK_MAX + 1, 3 * CONFIRMATIONS), vanish=st.booleans())
    def fork_deep(self, depth: int, vanish: bool) -> None:
        """What was final is so no more. The deployment stays."""
        depth = min(depth, len(self.chain.canonical) - 1 - self.deployed_at())
        if depth > FORK_MAX:
            self.world.is_shaken = True
            self.chain.fork(depth, vanish=lambda _: vanish)

    def deployed_at(self) -> int:
        return next((b.number for b in self.chain.canonical if b.state.programs), len(self.chain.canonical))

    @rule(data=st.data())
    def fork_back(self, data: st.DataObject) -> None:
        """To a branch that was left."""
        branches = [block for block in self.chain.blocks.values() if self.is_near(block)]
        if branches:
            self.chain.adopt(data.draw(st.sampled_from(branches)))

    def is_near(self, block: Block) -> bool:
        """Whether a block is on another branch that is as high, and forks off no deeper than one may."""
        if block.number < self.chain.head.number or self.chain.is_canonical(block):
            return False
        while not self.chain.is_canonical(block):
            block = self.chain.blocks[block.parent_hash]
        return self.chain.head.number - block.number <= FORK_MAX

    @precondition(lambda self: self.chain.pool)
    @rule(place=st.integers(0, 5), is_lost=st.booleans())
    def drop_or_hold(self, place: int, is_lost: bool) -> None:
        """The pool forgets one of those that wait, or no block takes it for a while."""
        waiting = list(self.chain.pool.values())
        tx = waiting[place % len(waiting)]
        if is_lost:
            self.chain.drop(tx.hash)
        else:
            self.chain.held.add(tx.hash)

    @precondition(lambda self: self.chain.market is Market.FEES)
    @rule(times=st.sampled_from([1, 2, 5]))
    def change_base_fee(self, times: int) -> None:
        self.chain.base_fee = times * 10**9

    # --- the endpoint

    @rule(faults=st.sampled_from(FAULTS), seed=st.integers(0, 9))
    def go_wrong(self, faults: dict[str, Any], seed: int) -> None:
        """In this way from now on, and no longer in the one before."""
        self.world.simulator.heal()
        self.faults = self.world.simulator.faults
        for name, value in faults.items():
            setattr(self.faults, name, random.Random(seed) if name == "shuffle" else value)

    @invariant()
    def holds(self) -> None:
        self.world.check()


def machine_settings(usual: str) -> settings:
    """EXAMPLESxSTEPS as usual, always the same ones; or those of VTRACE_MACHINE, others each time."""
    longer = os.environ.get("VTRACE_MACHINE")
    examples, _, steps = (longer or usual).partition("x")
    return settings(
        max_examples=int(examples),
        stateful_step_count=int(steps or 40),
        deadline=None,
        derandomize=longer is None,
        database=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


TestAnchoring = Anchoring.TestCase
TestAnchoring.settings = machine_settings("80x50")
