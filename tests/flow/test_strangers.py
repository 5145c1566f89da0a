"""Somebody else at the contract: another registrar who takes rights, and strangers who hand over what waits.

What the chain refuses fails, together with exactly the pending circs that stood on it; all else succeeds. The chain
is asked what it took, so nothing here foresees its verdict.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from node.chain import contract
from node.chain.fees import Fees
from node.chain.signer import sign_transaction
from node.domain.model import Circ, CircType, Rights
from node.domain.roles import rights_of
from node.errors import VTraceError
from node.store import circs
from tests.chain.echo import Sender
from tests.chain.servers import RICH_WEI
from tests.simulator.chain import CHAIN_ID, Simulator
from tests.simulator.ledger import Tx
from tests.simulator.programs import REGISTRAR_ROLE

from .simulated import CONFIRMATIONS, ROLES, World
from .test_machine import BOSSES, FORK_MAX, GOODS_MAX, USERS, in_teardown, machine_settings

CIRCULATE = contract.circulate_data(Circ((), CircType.EXAM, 0, 0, bytes(32), 0), b"")[:4]
FIRST_WEI = 10**12
"""A tip above any that the node offers."""


class Strangers(RuleBasedStateMachine):
    @initialize(lanes=st.integers(1, 3))
    def start(self, lanes: int) -> None:
        self.world = World(Simulator(), lanes=lanes, honest=False)
        self.chain = self.world.simulator.ledger
        self.world.produce(1, 2)
        self.world.produce(2, 2)
        self.world.settle()
        self.registrar, self.carrier = Sender(), Sender()
        for sender in (self.registrar, self.carrier):
            self.chain.fund(sender.address, RICH_WEI)
        for block in self.chain.blocks.values():
            for program in block.state.programs.values():
                program.roles.add((REGISTRAR_ROLE, self.registrar.address))  # type: ignore[attr-defined]

    def teardown(self) -> None:
        in_teardown(getattr(self, "world", None))

    def first(self, sender: Sender, data: bytes) -> None:
        """Call the contract from somebody else's account, ahead of all that waits."""
        nonce = self.chain.head.state.nonces.get(sender.address, 0)
        while (sender.address, nonce) in self.chain.pool:
            nonce += 1
        signed = sign_transaction(
            sender.key,
            chain_id=CHAIN_ID,
            nonce=nonce,
            to=self.world.flow.ledger.contract,
            data=data,
            gas=500_000,
            fees=Fees(2 * FIRST_WEI, FIRST_WEI),
        )
        self.chain.add(signed.raw)

    @rule(user=USERS, kept=st.booleans())
    def change_rights(self, user: int, kept: bool) -> None:
        found = circs.actor_of(user)
        program = self.world.program()
        if found is None or program is None or found[0].id not in program.actors:
            return
        rights = rights_of(ROLES[user - 1]) if kept else Rights.NONE
        self.first(self.registrar, contract.set_rights_data(found[0].id, rights))

    @precondition(lambda self: self.circs_in_pool())
    @rule(place=st.integers(0, 5))
    def carry(self, place: int) -> None:
        waiting = self.circs_in_pool()
        self.first(self.carrier, waiting[place % len(waiting)].data)

    def circs_in_pool(self) -> list[Tx]:
        own = self.world.flow.ledger.lanes.all
        return [tx for tx in self.chain.pool.values() if tx.sender in own and tx.data[:4] == CIRCULATE]

    @rule(boss=BOSSES)
    def make_goods(self, boss: int) -> None:
        if len(self.world.told) < GOODS_MAX:
            self.world.produce(boss, 1)

    @rule(
        user=USERS,
        circ_type=st.sampled_from([CircType.PROCESS, CircType.PROCESS, CircType.TRANSFER, CircType.EXAM]),
        to=USERS,
        goods=st.sets(st.integers(1, GOODS_MAX), min_size=1, max_size=3),
    )
    def record(self, user: int, circ_type: CircType, to: int, goods: set[int]) -> None:
        receiver = f"user{to}" if circ_type is CircType.TRANSFER else ""
        try:
            self.world.record(user, circ_type, sorted(goods & self.world.told.keys() or {1}), receiver)
        except VTraceError:
            return

    @rule()
    def send(self) -> None:
        self.world.send()

    @rule()
    def confirm(self) -> None:
        self.world.confirm()

    @rule(blocks=st.sampled_from([1, 1, CONFIRMATIONS]))
    def mine(self, blocks: int) -> None:
        for _ in range(blocks):
            self.chain.mine()

    @rule(depth=st.integers(1, FORK_MAX), refill=st.booleans())
    def fork(self, depth: int, refill: bool) -> None:
        self.chain.fork(depth, refill=refill)

    @rule()
    def restart(self) -> None:
        self.world.restart()

    @invariant()
    def holds(self) -> None:
        self.world.check()


TestStrangers = Strangers.TestCase
TestStrangers.settings = machine_settings("40x30")
