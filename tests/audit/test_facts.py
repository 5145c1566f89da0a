"""What the chain says, made plain."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain import contract
from node.chain.rpc import Receipt, Transaction
from node.domain.form import rfc3339
from node.domain.model import Circ, CircType, Rights, ids_of, ranges_of
from node.flow.audit.facts import Actor, Actors, Evidence, Fault, Place, names_goods, weigh
from tests.audit.world import World

ONE, OTHER = "0x" + "11" * 20, "0x" + "22" * 20


@given(st.sets(st.integers(1, 60), min_size=1), st.integers(1, 61))
def test_a_circ_names_its_goods_and_no_others(goods: set[int], goods_id: int) -> None:
    circ = Circ(ranges_of(goods), CircType.PROCESS, 1, 1, bytes(32), 0)
    assert names_goods(circ, goods_id) == (goods_id in ids_of(circ.goods))


def test_an_actor_is_what_it_was_at_the_time() -> None:
    actors = Actors()
    actors.learn(Place(5, 0, 0), contract.ActorRegistered(1, ONE, Rights.CIRCULATE, b"n" * 32))
    actors.learn(Place(7, 2, 3), contract.AccountChanged(1, OTHER, False))
    actors.learn(Place(7, 2, 4), contract.RightsChanged(1, Rights.NONE))
    assert actors.at(1, Place(5, 0, 0)) == Actor(ONE, Rights.CIRCULATE)
    assert actors.at(1, Place(7, 1, 9)) == Actor(ONE, Rights.CIRCULATE)
    assert actors.at(1, Place(7, 2, 3)) == Actor(OTHER, Rights.CIRCULATE)
    assert actors.at(1, Place(8, 0, 0)) == Actor(OTHER, Rights.NONE)
    assert actors.at(1, Place(4, 9, 9)) is None
    assert actors.at(2, Place(8, 0, 0)) is None
    assert (actors.name_digest(1), actors.name_digest(2)) == (b"n" * 32, None)
    assert (actors.called(b"n" * 32), actors.called(bytes(32))) == ((1,), ())
    assert (actors.accounts(1), actors.accounts(2)) == ({ONE, OTHER}, set())


@pytest.mark.parametrize(
    "event", [contract.AccountChanged(3, ONE, True), contract.RightsChanged(3, Rights.NONE)], ids=["account", "rights"]
)
def test_an_actor_that_was_never_registered(event: contract.Event) -> None:
    with pytest.raises(ValueError, match="actor 3 is changed, but its registration is not among the logs"):
        Actors().learn(Place(1, 0, 0), event)


def _mined(world: World) -> tuple[Transaction, Receipt]:
    tx_hash = world.view.circs(4)[1].trans_id
    assert tx_hash is not None
    (transaction,), (receipt,) = world.chain.transactions([tx_hash]), world.chain.receipts([tx_hash])
    assert transaction is not None
    assert receipt is not None
    return transaction, receipt


def _weigh(world: World, transaction: Transaction | None, receipt: Receipt) -> Evidence:
    block = world.chain.block(receipt.block_number)
    return weigh(transaction, receipt, block and block.hash, world.chain_id, world.address)


def test_a_transaction_that_carries_a_circ(world: World) -> None:
    transaction, receipt = _mined(world)
    evidence = _weigh(world, transaction, receipt)
    assert evidence.fault is None
    (event,) = evidence.events
    assert event.circ == evidence.call
    assert evidence.signed_by is not None


def test_transactions_that_carry_none(world: World) -> None:
    transaction, receipt = _mined(world)
    log = receipt.logs[0]
    nobody_signed = contract.circulate_data(contract.decode_circulate(transaction.input)[0], b"")
    other_digest = bytes([log.data[0] ^ 1]) + log.data[1:]
    cases = [
        (None, receipt, Fault.ELSEWHERE),
        (replace(transaction, to=None), replace(receipt, logs=()), Fault.ELSEWHERE),
        (replace(transaction, to=OTHER), replace(receipt, logs=()), Fault.ELSEWHERE),
        (replace(transaction, to=OTHER), replace(receipt, status=False), Fault.ELSEWHERE),
        (replace(transaction, to=OTHER), receipt, None),
        (transaction, replace(receipt, block_hash="0x" + "00" * 32), Fault.FORKED_OFF),
        (transaction, replace(receipt, block_number=10**9), Fault.FORKED_OFF),
        (transaction, replace(receipt, status=False), Fault.REVERTED),
        (replace(transaction, input=b"\1\2\3"), replace(receipt, status=False), Fault.REVERTED),
        (replace(transaction, input=b""), receipt, Fault.NO_EVENT),
        (transaction, replace(receipt, logs=()), Fault.NO_EVENT),
        (transaction, replace(receipt, logs=(replace(log, address=OTHER),)), Fault.NO_EVENT),
        (transaction, replace(receipt, logs=(replace(log, topics=()),)), Fault.NO_EVENT),
        (transaction, replace(receipt, logs=(replace(log, data=other_digest),)), Fault.OTHER_CALL),
        (replace(transaction, input=nobody_signed), receipt, None),
    ]
    for given_transaction, given_receipt, fault in cases:
        evidence = _weigh(world, given_transaction, given_receipt)
        assert evidence.fault == fault
        assert fault is None or evidence.fault is not Fault.FORKED_OFF or not evidence.events
        direct = given_transaction is not None and given_transaction.to == transaction.to
        assert direct or evidence.signed_by is None


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1_760_000_000_123_456, "2025-10-09T08:53:20.123456Z"),
        (10**30, "1000000000000000000000000000000 microseconds since 1970"),
    ],
)
def test_times_are_written_as_in_forms(micros: int, text: str) -> None:
    assert rfc3339(micros) == text
