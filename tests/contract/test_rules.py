"""What the contract does when no rule is broken."""

from __future__ import annotations

import pytest
from eth_utils import keccak

from node.chain import contract
from node.chain.contract import AccountChanged, ActorRegistered, Circulated, RightsChanged
from node.domain.model import EXAM_TIMES_MAX, GOODS_ID_MAX, TIMES_MAX, Range, Rights

from .ledger import (
    ALL_RIGHTS,
    CHAIN_ID,
    EXAM,
    PROCESS,
    PRODUCE,
    REGISTRAR,
    STRANGER,
    TRANSFER,
    Ledger,
    address_of,
    circ,
    key_of,
    sign,
)

NEWCOMER = key_of(77)


def possession(ledger: Ledger, actor: int) -> bytes:
    """The newcomer's proof for an actor."""
    digest = contract.account_digest(CHAIN_ID, ledger.address, actor, address_of(NEWCOMER))
    return sign(digest, NEWCOMER)


def test_the_contract_says_what_it_is(ledger: Ledger) -> None:
    assert contract.decode_name(ledger.call(contract.name_data())) == "VTrace"
    assert contract.decode_name(ledger.call(keccak(text="version()")[:4])) == "1"


def test_actors_are_numbered_from_one(ledger: Ledger) -> None:
    outcome = ledger.send(
        contract.register_actor_data(address_of(NEWCOMER), Rights.EXAMINE, keccak(text="n")), REGISTRAR
    )
    assert int.from_bytes(outcome.output, "big") == 4
    assert outcome.events == [ActorRegistered(4, address_of(NEWCOMER), Rights.EXAMINE, keccak(text="n"))]
    assert contract.decode_actor_of(ledger.call(contract.actor_of_data(4))) == (
        address_of(NEWCOMER),
        Rights.EXAMINE,
    )
    assert contract.decode_actor_of(ledger.call(contract.actor_of_data(5))) is None
    assert contract.decode_actor_of(ledger.call(contract.actor_of_data(0))) is None


def test_actors_may_share_an_account(ledger: Ledger) -> None:
    assert ledger.register(ledger.key(1)) == 4
    assert ledger.circulate(circ(1, PRODUCE, 4)).error is None
    assert ledger.goods(1) == (4, 1)


def test_a_life(ledger: Ledger) -> None:
    steps = [
        (circ(5, PRODUCE, 1), (1, 1)),
        (circ(5, PRODUCE, 1, version=1), (1, 2)),
        (circ(5, PROCESS, 1, version=2), (1, 3)),
        (circ(5, TRANSFER, 1, 2, version=3), (2, 4)),
        (circ(5, EXAM, 3, version=4), (2, 5)),
        (circ(5, EXAM, 2, version=5), (2, 6)),
        (circ(5, TRANSFER, 2, 1, version=6), (1, 7)),
        (circ(5, PRODUCE, 1, 3, version=7), (3, 8)),
    ]
    for step, state in steps:
        outcome = ledger.circulate(step)
        assert outcome.error is None
        assert outcome.events == [Circulated(step)]
        assert ledger.goods(5) == state
    assert ledger.goods(4) == ledger.goods(6) == (0, 0)


@pytest.mark.parametrize("first", [1, 2, 7, 8, 9, 4095, GOODS_ID_MAX - 20, GOODS_ID_MAX - 16])
@pytest.mark.parametrize("count", [1, 6, 7, 8, 9, 16, 17])
def test_a_run_touches_its_goods_and_no_others(ledger: Ledger, first: int, count: int) -> None:
    around = range(max(first - 2, 0), first + count + 2)
    ledger.circulate(circ((Range(first, count),), PRODUCE, 1))
    outcome = ledger.circulate(circ((Range(first, count),), TRANSFER, 1, 2, version=count))
    assert outcome.error is None
    for goods_id in around:
        assert ledger.goods(goods_id) == ((2, 2) if first <= goods_id < first + count else (0, 0))


def test_ranges_may_share_a_word(ledger: Ledger) -> None:
    goods = (Range(9, 1), Range(10, 1), Range(12, 3), Range(15, 4))
    assert ledger.circulate(circ(goods, PRODUCE, 1)).error is None
    assert ledger.circulate(circ(goods, EXAM, 2, version=9)).error is None
    assert [ledger.goods(goods_id) for goods_id in (8, 9, 10, 11, 12, 14, 15, 18, 19)] == [
        (0, 0),
        (1, 2),
        (1, 2),
        (0, 0),
        (1, 2),
        (1, 2),
        (1, 2),
        (1, 2),
        (0, 0),
    ]


def test_times_counts_to_its_limit_without_spilling(ledger: Ledger) -> None:
    for goods_id in range(16, 24):
        ledger.poke_goods(goods_id, holder=1, times=TIMES_MAX - 1)
    version = 8 * (TIMES_MAX - 1)
    assert ledger.circulate(circ((Range(16, 8),), TRANSFER, 1, 2, version=version)).error is None
    assert [ledger.goods(goods_id) for goods_id in range(15, 25)] == [(0, 0)] + 8 * [(2, TIMES_MAX)] + [(0, 0)]


def test_examiners_leave_circs_to_the_holder(ledger: Ledger) -> None:
    for goods_id in range(16, 24):
        ledger.poke_goods(goods_id, holder=1 + goods_id % 2, times=EXAM_TIMES_MAX - 1)
    goods = (Range(16, 8),)
    assert ledger.circulate(circ(goods, EXAM, 3, version=8 * (EXAM_TIMES_MAX - 1))).error is None
    before = [ledger.goods(goods_id) for goods_id in goods[0]]
    assert before == 4 * [(1, EXAM_TIMES_MAX), (2, EXAM_TIMES_MAX)]
    refused = ledger.circulate(circ(goods, EXAM, 3, version=8 * EXAM_TIMES_MAX))
    assert refused.error == "TimesExhausted(goodsId=16)"
    ledger.poke_goods(16, holder=2, times=1)
    # What the holder does goes on, in the same word as what only an examiner may do.
    assert ledger.circulate(circ([16, 17], EXAM, 2, version=1 + EXAM_TIMES_MAX)).error is None
    assert ledger.circulate(circ([16, 18], EXAM, 1, version=2 + EXAM_TIMES_MAX)).error is None
    assert ledger.circulate(circ([18], TRANSFER, 1, 2, version=1 + EXAM_TIMES_MAX)).error is None
    assert [ledger.goods(goods_id) for goods_id in (16, 17, 18)] == [
        (2, 3),
        (2, EXAM_TIMES_MAX + 1),
        (2, EXAM_TIMES_MAX + 2),
    ]


def test_what_was_examined_for_nothing_can_still_be_produced(ledger: Ledger) -> None:
    assert ledger.circulate(circ(16, EXAM, 3)).error == "NotHolder(goodsId=16, holder=0, operator=3)"
    assert ledger.circulate(circ(16, PRODUCE, 1)).error is None


def test_a_refused_registration_takes_no_name(ledger: Ledger) -> None:
    digest = keccak(text="n")
    data = contract.register_actor_data(address_of(NEWCOMER), ALL_RIGHTS, digest)
    assert ledger.send(data).error is not None
    assert ledger.register(NEWCOMER, name_digest=digest) == 4
    assert ledger.register() == 5


def test_goods_at_their_limit_do_not_hinder_their_neighbours(ledger: Ledger) -> None:
    ledger.poke_goods(16, holder=1, times=TIMES_MAX)
    ledger.poke_goods(18, holder=1, times=TIMES_MAX)
    assert ledger.circulate(circ(17, PRODUCE, 1)).error is None
    assert ledger.goods(17) == (1, 1)


def test_a_disabled_actor_can_receive(ledger: Ledger) -> None:
    outcome = ledger.send(contract.set_rights_data(2, Rights.NONE), REGISTRAR)
    assert outcome.events == [RightsChanged(2, Rights.NONE)]
    assert ledger.circulate(circ(1, PRODUCE, 1, 2)).error is None
    assert ledger.goods(1) == (2, 1)


def test_the_registrar_changes_a_custodial_account(ledger: Ledger) -> None:
    outcome = ledger.send(contract.set_account_data(1, address_of(NEWCOMER)), REGISTRAR)
    assert outcome.events == [AccountChanged(1, address_of(NEWCOMER), sovereign=False)]
    wanted = circ(1, PRODUCE, 1)
    assert ledger.circulate(wanted, ledger.sign(wanted, ledger.key(1))).error is not None
    assert ledger.circulate(wanted, ledger.sign(wanted, NEWCOMER)).error is None
    back = ledger.send(contract.set_account_data(1, address_of(ledger.key(1))), REGISTRAR)
    assert back.error is None


def test_possession_makes_sovereign_for_good(ledger: Ledger) -> None:
    data = contract.set_account_data(1, address_of(NEWCOMER), possession(ledger, 1))
    assert ledger.send(data, REGISTRAR).events == [AccountChanged(1, address_of(NEWCOMER), sovereign=True)]
    assert contract.decode_actor_of(ledger.call(contract.actor_of_data(1))) == (
        address_of(NEWCOMER),
        ALL_RIGHTS,
    )
    # The account hands over to another, which proves possession too; a hand-over without proof is refused.
    successor = address_of(STRANGER)
    ledger.fund(NEWCOMER)
    refused = ledger.send(contract.set_account_data(1, successor), NEWCOMER)
    assert refused.error == f"BadSignature(actor=1, account={successor})"
    proof = sign(contract.account_digest(CHAIN_ID, ledger.address, 1, successor), STRANGER)
    handed = ledger.send(contract.set_account_data(1, successor, proof), NEWCOMER)
    assert handed.events == [AccountChanged(1, successor, sovereign=True)]
    # The registrar still rules the rights.
    assert ledger.send(contract.set_rights_data(1, Rights.NONE), REGISTRAR).error is None


def test_an_actor_cannot_make_itself_sovereign(ledger: Ledger) -> None:
    ledger.fund(ledger.key(1))
    data = contract.set_account_data(1, address_of(NEWCOMER), possession(ledger, 1))
    error = ledger.send(data, ledger.key(1)).error
    assert error is not None
    assert error.startswith("AccessControlUnauthorizedAccount(")


def test_a_contract_account_answers_by_eip1271(ledger: Ledger) -> None:
    actor = ledger.register(NEWCOMER)
    wanted = circ(1, PRODUCE, actor)
    ledger.put_wallet(address_of(NEWCOMER), approved=contract.circ_digest(CHAIN_ID, ledger.address, wanted))
    refused = ledger.circulate(circ(2, PRODUCE, actor), b"any bytes")
    assert refused.error == f"BadSignature(actor={actor}, account={address_of(NEWCOMER)})"
    assert ledger.circulate(wanted, b"any bytes").error is None
    assert ledger.goods(1) == (actor, 1)


def test_a_contract_account_proves_possession(ledger: Ledger) -> None:
    wallet = address_of(NEWCOMER)
    ledger.put_wallet(wallet, approved=contract.account_digest(CHAIN_ID, ledger.address, 1, wallet))
    outcome = ledger.send(contract.set_account_data(1, wallet, b"any bytes"), REGISTRAR)
    assert outcome.events == [AccountChanged(1, wallet, sovereign=True)]


def test_all_or_nothing(ledger: Ledger) -> None:
    ledger.circulate(circ(30, PRODUCE, 2))
    assert ledger.circulate(circ((Range(1, 30),), PRODUCE, 1, version=1)).error is not None
    assert [ledger.goods(goods_id) for goods_id in range(1, 31)] == 29 * [(0, 0)] + [(2, 1)]


def test_goods_of_answers_for_any_number(ledger: Ledger) -> None:
    for goods_id in (0, GOODS_ID_MAX, GOODS_ID_MAX + 1, 2**32 - 1):
        assert ledger.goods(goods_id) == (0, 0)
