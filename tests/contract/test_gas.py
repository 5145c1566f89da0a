"""Gas: the headline figures, and the limits that the formula gives."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from node.chain import contract, gas
from node.domain.model import GOODS_ID_MAX, CircType, Range, Rights, ranges_of

from .ledger import EXAM, PROCESS, PRODUCE, REGISTRAR, STRANGER, TRANSFER, Ledger, address_of, circ, key_of, sign

CHAIN_ID = 1337


def used(ledger: Ledger, goods: tuple[Range, ...], circ_type: CircType, operator: int, to: int | None = None) -> int:
    """The gas that a circ uses; it must be within the formula's limit."""
    wanted = replace(circ(goods, circ_type, operator, to), version=ledger.version_of(goods))
    limit = gas.circulate_gas(circ_type, goods)
    signature = ledger.sign(wanted)
    outcome = ledger.send(contract.circulate_data(wanted, signature), gas=limit)
    assert outcome.error is None
    assert outcome.gas_used <= limit
    return outcome.gas_used


@pytest.mark.parametrize("first", [80_000, 90_003])
def test_a_batch_of_a_thousand_neighbours(ledger: Ledger, first: int) -> None:
    goods = (Range(first, 1000),)
    assert used(ledger, goods, PRODUCE, 1) <= 2_900 * 1000
    assert used(ledger, goods, PROCESS, 1) <= 740 * 1000
    assert used(ledger, goods, EXAM, 2) <= 740 * 1000
    assert used(ledger, goods, EXAM, 1) <= 740 * 1000
    assert used(ledger, goods, TRANSFER, 1, 2) <= 740 * 1000


def test_a_single_circ(ledger: Ledger) -> None:
    goods = (Range(801, 1),)
    assert used(ledger, goods, PRODUCE, 1) <= 60_000
    assert used(ledger, goods, PROCESS, 1) <= 42_500
    assert used(ledger, goods, EXAM, 2) <= 42_500
    # A receiver with a higher number than the operator's has to be looked up, in a slot that nothing else reads.
    assert used(ledger, goods, TRANSFER, 1, 2) <= 42_500
    assert used(ledger, goods, TRANSFER, 2, 1) <= 40_500


def test_scattered_goods(ledger: Ledger) -> None:
    goods = ranges_of(range(100_000, 160_000, 100))
    assert used(ledger, goods, PRODUCE, 1) <= 24_500 * 600
    assert used(ledger, goods, PROCESS, 1) <= 6_600 * 600
    assert used(ledger, goods, TRANSFER, 1, 2) <= 6_600 * 600


SHAPES = [
    pytest.param(shape, id=name)
    for name, shape in {
        "one": [801],
        "word": range(800, 808),
        "run": range(803, 1203),
        "end of the ids": range(GOODS_ID_MAX - 300, GOODS_ID_MAX + 1),
        "a goods a word": range(803, 2403, 8),
        "every other goods": range(801, 1201, 2),
        "far apart, no zero byte in an id": range(0x11111111, 0x11111111 + 100 * 0x10101, 0x10101),
    }.items()
]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_limit_holds_and_is_near(ledger: Ledger, shape: range) -> None:
    goods = ranges_of(shape)
    assert gas.circulate_gas(PRODUCE, goods) <= 1.15 * used(ledger, goods, PRODUCE, 1)
    assert gas.circulate_gas(PROCESS, goods) <= 1.10 * used(ledger, goods, PROCESS, 1)
    assert gas.circulate_gas(EXAM, goods) <= 1.10 * used(ledger, goods, EXAM, 1)
    assert gas.circulate_gas(TRANSFER, goods) <= 1.10 * used(ledger, goods, TRANSFER, 1, 2)
    assert gas.circulate_gas(EXAM, goods) <= 1.10 * used(ledger, goods, EXAM, 1)


@st.composite
def shapes(draw: st.DrawFn) -> tuple[Range, ...]:
    """Ascending ranges, dense or sparse."""
    at = draw(st.integers(1, 40) | st.integers(1, GOODS_ID_MAX - 2**20))
    gaps = st.integers(0, 3) | st.integers(0, 20) | st.integers(0, 2**16)
    found = []
    for gap, count in draw(st.lists(st.tuples(gaps, st.integers(1, 30)), min_size=1, max_size=12)):
        found.append(Range(at + gap, count))
        at = found[-1].end
    return tuple(found)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=shapes(), goods=shapes())
@example(before=(Range(801, 1), Range(803, 1)), goods=(Range(800, 1), Range(801, 3), Range(804, 4)))
@example(before=tuple(Range(n, 1) for n in range(802, 900, 2)), goods=tuple(Range(n, 5) for n in range(800, 900, 5)))
def test_the_limit_holds_for_any_shape(deployed: Ledger, before: tuple[Range, ...], goods: tuple[Range, ...]) -> None:
    ledger = deployed.fork()
    used(ledger, before, PRODUCE, 1)
    used(ledger, goods, PRODUCE, 1)
    used(ledger, goods, PROCESS, 1)
    used(ledger, goods, EXAM, 3)
    used(ledger, goods, TRANSFER, 1, 3)


def test_the_other_limits_hold(ledger: Ledger) -> None:
    assert ledger.deploy_gas <= gas.DEPLOY_GAS <= 1.15 * ledger.deploy_gas
    data = contract.register_actor_data(address_of(key_of(99)), Rights(7), b"\xff" * 32)
    fresh = Ledger()
    registered = fresh.send(data, REGISTRAR)
    assert registered.error is None
    assert 1.15 * registered.gas_used <= gas.REGISTER_ACTOR_GAS <= 1.30 * registered.gas_used
    assert ledger.send(contract.set_rights_data(1, Rights(7)), REGISTRAR, gas=gas.SET_RIGHTS_GAS).error is None
    account = address_of(STRANGER)
    possession = sign(contract.account_digest(CHAIN_ID, ledger.address, 1, account), STRANGER)
    data = contract.set_account_data(1, account, possession)
    assert ledger.send(data, REGISTRAR, gas=gas.SET_ACCOUNT_GAS).error is None


@settings(max_examples=300, deadline=None)
@given(
    goods=shapes() | st.builds(lambda first, count: (Range(first, count),), st.integers(1, 99), st.integers(1, 10_000)),
    circ_type=st.sampled_from(CircType),
    gas_max=st.integers(80_000, 1_000_000),
)
def test_cut_keeps_every_goods_in_groups_that_fit(goods: tuple[Range, ...], circ_type: CircType, gas_max: int) -> None:
    groups = gas.cut(circ_type, goods, gas_max)
    assert [goods_id for group in groups for span in group for goods_id in span] == [
        goods_id for span in goods for goods_id in span
    ]
    limits = [gas.circulate_gas(circ_type, group) for group in groups]
    assert all(limit <= gas_max for limit in limits)
    for before, behind in itertools.pairwise(groups):
        # No group could have taken the next goods, together with the rest of their word.
        taken, follows = before[-1], behind[0]
        more = min(follows.count, 8 - follows.first % 8)
        if any(taken.first in span and follows.first in span for span in goods):
            longer = (*before[:-1], Range(taken.first, taken.count + more))
        else:
            longer = (*before, Range(follows.first, more))
        assert gas.circulate_gas(circ_type, longer) > gas_max


def test_cut_leaves_alone_what_fits() -> None:
    goods = (Range(3, 1000),)
    assert gas.cut(PROCESS, goods, gas.GAS_MAX) == [goods]
    assert gas.cut(PROCESS, (), gas.GAS_MAX) == []


def test_cut_ends_where_words_do() -> None:
    groups = gas.cut(PRODUCE, (Range(3, 20_000),), gas.GAS_MAX)
    assert [group[0].end % 8 for group in groups[:-1]] == [0] * (len(groups) - 1)


def test_cut_refuses_what_cannot_fit() -> None:
    with pytest.raises(ValueError, match=r"goods 7 doesn't fit into 50000 gas"):
        gas.cut(PRODUCE, (Range(7, 1),), 50_000)
