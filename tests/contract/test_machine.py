"""The contract and the rules in node/domain/custody.py, side by side: the same verdict and the same custody."""

from __future__ import annotations

from eth_utils import keccak
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from node.chain import contract, gas
from node.domain import custody
from node.domain.custody import CustodyError, GoodsState
from node.domain.model import EXAM_TIMES_MAX, GOODS_ID_MAX, TIMES_MAX, Circ, CircType, Range, Rights

from .ledger import REGISTRAR, Ledger, address_of, circ

ACTORS = 4
DEPLOYED = Ledger()
for _ in range(ACTORS):
    DEPLOYED.register()

# Neighbours around word borders, goods far off, and both ends of the ids.
REGIONS = (1, 3, 1000, 123_456_789, GOODS_ID_MAX - 12)


@st.composite
def goods(draw: st.DrawFn) -> tuple[Range, ...]:
    """Ranges near one another, mostly in order; now and then one that is empty, overlaps or leaves the ids."""
    at = draw(st.sampled_from(REGIONS))
    found = []
    for _ in range(draw(st.integers(1, 4))):
        odd = draw(st.integers(0, 19)) == 0
        gap = draw(st.integers(-3, 12)) if odd else draw(st.integers(0, 9))
        count = draw(st.integers(0, 3)) if odd else draw(st.integers(1, 12))
        found.append(Range(max(at + gap, 0), count))
        at = found[-1].end
    if found[-1].end - 1 > GOODS_ID_MAX and draw(st.integers(0, 9)):
        found = [span for span in found if span.end - 1 <= GOODS_ID_MAX] or [Range(GOODS_ID_MAX, 1)]
    return tuple(found)


ACTOR = st.integers(1, ACTORS)
# Mostly registered ones.
ANY_ACTOR = st.one_of(ACTOR, ACTOR, ACTOR, st.integers(0, ACTORS + 1))
MOSTLY_NONE = st.one_of(st.just(0), st.just(0), st.just(0), st.integers(-2, 2))


class Custody(RuleBasedStateMachine):
    @initialize()
    def deploy(self) -> None:
        self.ledger = DEPLOYED.fork()
        self.goods: dict[int, GoodsState] = {}
        self.rights = {actor: Rights(7) for actor in range(1, ACTORS + 1)}
        self.named: dict[int, int] = {}
        self.taken: list[Range] = []

    def state(self, goods_id: int) -> GoodsState:
        return self.goods.get(goods_id, custody.UNHELD)

    @rule(goods=goods(), circ_type=st.sampled_from(CircType), operator=ANY_ACTOR, to=ANY_ACTOR, drift=MOSTLY_NONE)
    def any_circ(self, goods: tuple[Range, ...], circ_type: CircType, operator: int, to: int, drift: int) -> None:
        self.play(goods, circ_type, operator, to, drift)

    @rule(goods=goods(), operator=ACTOR, to=st.none() | ACTOR, drift=MOSTLY_NONE)
    def produce(self, goods: tuple[Range, ...], operator: int, to: int | None, drift: int) -> None:
        self.play(goods, CircType.PRODUCE, operator, to or operator, drift)

    @rule(data=st.data(), circ_type=st.sampled_from(CircType), to=ANY_ACTOR, drift=MOSTLY_NONE)
    def circ_of_the_holder(self, data: st.DataObject, circ_type: CircType, to: int, drift: int) -> None:
        """A part of a range that was taken before, by whoever holds its first goods."""
        if not self.taken:
            return
        span = data.draw(st.sampled_from(self.taken))
        first = data.draw(st.integers(span.first, span.end - 1))
        part = Range(first, data.draw(st.integers(1, span.end - first)))
        operator = self.state(first).holder
        self.play((part,), circ_type, operator, to if circ_type is CircType.TRANSFER else operator, drift)

    @rule(data=st.data(), operator=ACTOR, drift=MOSTLY_NONE)
    def exam(self, data: st.DataObject, operator: int, drift: int) -> None:
        """Goods that were taken before, whoever holds them; now and then with neighbours that nobody may hold."""
        if not self.taken:
            return
        span = data.draw(st.sampled_from(self.taken))
        count = min(span.count + data.draw(MOSTLY_NONE), GOODS_ID_MAX - span.first + 1)
        self.play((Range(span.first, max(count, 1)),), CircType.EXAM, operator, operator, drift)

    @rule(name=st.integers(0, 5), rights=st.integers(0, 7))
    def register(self, name: int, rights: int) -> None:
        actor = len(self.rights) + 1
        digest, account = keccak(b"newcomer %d" % name), address_of(self.ledger.key(actor))
        outcome = self.ledger.send(contract.register_actor_data(account, Rights(rights), digest), REGISTRAR)
        if name in self.named:
            assert outcome.error == f"NameTaken(nameDigest=0x{digest.hex()}, actor={self.named[name]})"
            return
        assert outcome.events == [contract.ActorRegistered(actor, account, Rights(rights), digest)]
        self.named[name] = actor
        self.rights[actor] = Rights(rights)

    @rule(actor=ACTOR, rights=st.integers(0, 7) | st.just(7))
    def set_rights(self, actor: int, rights: int) -> None:
        assert self.ledger.send(contract.set_rights_data(actor, Rights(rights)), REGISTRAR).error is None
        self.rights[actor] = Rights(rights)

    @rule(
        region=st.sampled_from(REGIONS),
        offset=st.integers(0, 12),
        actor=ACTOR,
        times=st.sampled_from((EXAM_TIMES_MAX - 1, EXAM_TIMES_MAX, TIMES_MAX - 1)),
    )
    def age(self, region: int, offset: int, actor: int, times: int) -> None:
        """Goods that are near the end of what others may examine, or of what can be counted."""
        state = GoodsState(actor, times)
        self.ledger.poke_goods(region + offset, state.holder, state.times)
        self.goods[region + offset] = state

    def play(self, goods: tuple[Range, ...], circ_type: CircType, operator: int, to: int, drift: int) -> None:
        version = sum(self.state(goods_id).times for span in goods for goods_id in span)
        wanted: Circ = circ(goods, circ_type, operator, to, max(version + drift, 0))
        expected, after = None, {}
        try:
            after = custody.apply(wanted, self.goods, self.rights)
        except CustodyError as refusal:
            expected = str(refusal)
        self.goods.update(after)

        outcome = self.ledger.circulate(wanted)
        assert outcome.error == expected
        if expected is None:
            self.taken.extend(goods)
            assert outcome.gas_used <= gas.circulate_gas(circ_type, goods)
            assert outcome.events == [contract.Circulated(wanted)]
        for span in goods:
            for goods_id in range(max(span.first - 1, 0), min(span.end + 1, 2**31)):
                state = self.state(goods_id)
                assert self.ledger.goods(goods_id) == (state.holder, state.times)


TestCustody = Custody.TestCase
TestCustody.settings = settings(
    max_examples=80,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
