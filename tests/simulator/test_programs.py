"""The simulator's contract beside the real one on py-evm: the same verdict, output and logs, call by call."""

from __future__ import annotations

from eth_utils.crypto import keccak
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from node.chain import contract
from node.domain.model import CircType, Range, Rights
from tests.contract.ledger import ADMIN, CHAIN_ID, REGISTRAR, STRANGER, Ledger, address_of, circ, key_of, sign
from tests.simulator.programs import NOWHERE, REGISTRAR_ROLE, Reverted, VTrace, created

ACTORS = 3
DEPLOYED = Ledger()
for _ in range(ACTORS):
    DEPLOYED.register()
DEPLOYED.fund(key_of(0))
GRANT = keccak(b"grantRole(bytes32,address)")[:4]
SENDERS = st.sampled_from([REGISTRAR, REGISTRAR, STRANGER, ADMIN, key_of(0)])
ACTOR = st.integers(0, ACTORS + 2)
RIGHTS = st.sampled_from([7, 7, 7, 1, 3, 0])


def test_the_code_is_that_of_the_compiler() -> None:
    assert _made().code == DEPLOYED.code()


def _made() -> VTrace:
    program = created(contract.deploy_data(address_of(ADMIN), address_of(REGISTRAR)), CHAIN_ID, DEPLOYED.address)
    assert isinstance(program, VTrace)
    return program


class BothContracts(RuleBasedStateMachine):
    @initialize()
    def deploy(self) -> None:
        self.real = DEPLOYED.fork()
        self.simulated = _made()
        for number in range(ACTORS):
            account, name = address_of(key_of(number)), keccak(b"name %d" % number)
            self.simulated.call(address_of(REGISTRAR), contract.register_actor_data(account, Rights(7), name))

    def both(self, data: bytes, sender: object) -> None:
        real = self.real.send(data, sender)  # type: ignore[arg-type]
        try:
            output, events = self.simulated.call(address_of(sender), data)  # type: ignore[arg-type]
            is_taken = True
        except Reverted as reverted:
            output, events, is_taken = reverted.data, [], False
        assert is_taken == (real.error is None)
        assert output == real.output, Reverted(output)
        assert [(event.topics, event.data) for event in events] == [log for log in real.logs if log[0][0] in _TOPICS]

    @rule(sender=SENDERS, number=st.integers(0, 5), rights=RIGHTS | st.just(8), nobody=st.booleans())
    def register(self, sender: object, number: int, rights: int, nobody: bool) -> None:
        name = keccak(b"newcomer %d" % number) if number else bytes(32)
        account = NOWHERE if nobody and number == 5 else address_of(key_of(number))
        data = contract.register_actor_data(account, Rights.NONE, name)
        self.both(data[:36] + rights.to_bytes(32, "big") + data[68:], sender)

    @rule(sender=SENDERS, actor=ACTOR, rights=RIGHTS)
    def set_rights(self, sender: object, actor: int, rights: int) -> None:
        self.both(contract.set_rights_data(actor, Rights(rights)), sender)

    @rule(sender=SENDERS, actor=ACTOR, key=st.integers(0, 3), signer=st.none() | st.integers(0, 3))
    def set_account(self, sender: object, actor: int, key: int, signer: int | None) -> None:
        account = address_of(key_of(key))
        digest = contract.account_digest(CHAIN_ID, self.real.address, actor, account)
        possession = b"" if signer is None else sign(digest, key_of(signer))
        self.both(contract.set_account_data(actor, account, possession), sender)

    @rule(sender=SENDERS, key=st.integers(0, 3))
    def grant(self, sender: object, key: int) -> None:
        account = bytes.fromhex(address_of(key_of(key))[2:]).rjust(32, b"\0")
        self.both(GRANT + REGISTRAR_ROLE + account, sender)

    @rule(
        goods=st.lists(st.builds(Range, st.integers(0, 12), st.integers(0, 4)), max_size=3),
        ascending=st.sampled_from([True, True, True, False]),
        circ_type=st.sampled_from([0, 0, 1, 3, 4, 2]),
        operator=ACTOR,
        to=st.none() | ACTOR,
        drift=st.sampled_from([0, 0, 0, 0, 1]),
        key=st.none() | st.integers(0, 3),
    )
    def circulate(
        self,
        goods: list[Range],
        ascending: bool,
        circ_type: int,
        operator: int,
        to: int | None,
        drift: int,
        key: int | None,
    ) -> None:
        ranges = tuple(sorted(goods) if ascending else goods)
        version = self.real.version_of(ranges) + drift
        receiver = operator if to is None else to
        wanted = circ(ranges, CircType.PRODUCE, operator, receiver, version)
        kind = circ_type.to_bytes(32, "big")
        if circ_type in list(CircType):
            wanted = circ(ranges, CircType(circ_type), operator, receiver, version)
        data = contract.circulate_data(wanted, self.real.sign(wanted, None if key is None else key_of(key)))
        self.both(data[:36] + kind + data[68:], STRANGER)

    @rule(number=st.integers(0, 16))
    def look(self, number: int) -> None:
        for data in (contract.goods_of_data(number), contract.actor_of_data(number), contract.name_data()):
            assert self.simulated.call(NOWHERE, data)[0] == self.real.call(data)


_TOPICS = (
    contract.CIRCULATED_TOPIC,
    contract.ACTOR_REGISTERED_TOPIC,
    contract.ACCOUNT_CHANGED_TOPIC,
    contract.RIGHTS_CHANGED_TOPIC,
)
TestBothContracts = BothContracts.TestCase
TestBothContracts.settings = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
