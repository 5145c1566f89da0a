"""Every custom error, by its name and its arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from eth_utils import keccak

from node.chain import contract
from node.domain.model import ACTOR_MAX, EXAM_TIMES_MAX, GOODS_ID_MAX, TIMES_MAX, Circ, CircType, Range, Rights

from .ledger import (
    ADMIN,
    ALL_RIGHTS,
    CHAIN_ID,
    EXAM,
    PROCESS,
    PRODUCE,
    REGISTRAR,
    STRANGER,
    TRANSFER,
    Ledger,
    Outcome,
    address_of,
    circ,
    key_of,
    sign,
)

REGISTRAR_ROLE = keccak(text="REGISTRAR_ROLE")
NEWCOMER = key_of(77)
ZERO = "0x" + 40 * "0"
NAME_DIGEST = keccak(text="name")

# Errors that no caller can meet: the name and the version are fixed in the code and short.
UNREACHABLE = {"InvalidShortString", "StringTooLong"}

Case = tuple[str, Callable[[Ledger], Outcome], str]
CASES: list[Case] = []


def refused(expected: str) -> Callable[[Callable[[Ledger], Outcome]], Callable[[Ledger], Outcome]]:
    """Add a case: what the decorated function does ends in ``expected``."""

    def add(case: Callable[[Ledger], Outcome]) -> Callable[[Ledger], Outcome]:
        CASES.append((case.__name__, case, expected))
        return case

    return add


def ranges(*pairs: tuple[int, int]) -> tuple[Range, ...]:
    return tuple(Range(*pair) for pair in pairs)


def circulate(goods: tuple[Range, ...], circ_type: CircType = PRODUCE) -> Callable[[Ledger], Outcome]:
    return lambda ledger: ledger.circulate(circ(goods, circ_type, 1))


refused("NoGoods()")(circulate(()))
refused("EmptyRange(index=0)")(circulate(ranges((1, 0))))
refused("EmptyRange(index=1)")(circulate(ranges((1, 1), (2, 0))))
refused("GoodsIdOutOfBounds(index=0, first=0, count=1)")(circulate(ranges((0, 1))))
refused(f"GoodsIdOutOfBounds(index=0, first={GOODS_ID_MAX}, count=2)")(circulate(ranges((GOODS_ID_MAX, 2))))
refused(f"GoodsIdOutOfBounds(index=1, first={2**32 - 1}, count={2**32 - 1})")(
    circulate(ranges((1, 1), (2**32 - 1, 2**32 - 1)))
)
refused("RangesNotAscending(index=1)")(circulate(ranges((8, 3), (10, 1))))
refused("RangesNotAscending(index=2)")(circulate(ranges((8, 3), (11, 1), (1, 1))))


@refused("UnknownCircType(circType=2)")
def gap_in_the_kinds(ledger: Ledger) -> Outcome:
    return ledger.circulate(replace(circ(1, PRODUCE, 1), circ_type=2))  # type: ignore[arg-type]


@refused("UnknownCircType(circType=255)")
def kind_beyond_the_last(ledger: Ledger) -> Outcome:
    return ledger.circulate(replace(circ(1, PRODUCE, 1), circ_type=255))  # type: ignore[arg-type]


@refused("UnknownActor(actor=4)")
def operator_beyond_the_last(ledger: Ledger) -> Outcome:
    return ledger.circulate(circ(1, PRODUCE, 4))


@refused("UnknownActor(actor=0)")
def nobody_operates(ledger: Ledger) -> Outcome:
    return ledger.circulate(circ(1, PRODUCE, 0))


@refused("UnknownActor(actor=4)")
def receiver_beyond_the_last(ledger: Ledger) -> Outcome:
    ledger.circulate(circ(1, PRODUCE, 1))
    return ledger.circulate(circ(1, TRANSFER, 1, 4, version=1))


@refused("UnknownActor(actor=0)")
def nobody_receives(ledger: Ledger) -> Outcome:
    return ledger.circulate(circ(1, PRODUCE, 1, 0))


@refused(f"UnknownActor(actor={2**32 - 1})")
def receiver_too_large_for_a_lane(ledger: Ledger) -> Outcome:
    return ledger.circulate(circ(1, PRODUCE, 1, 2**32 - 1))


@refused(f"UnknownActor(actor={2**32 - 1})")
def operator_too_large_for_a_lane(ledger: Ledger) -> Outcome:
    return ledger.circulate(circ(1, PRODUCE, 2**32 - 1))


@refused(f"UnknownActor(actor={2**20})")
def receiver_just_too_large_for_a_lane(ledger: Ledger) -> Outcome:
    return ledger.circulate(circ(1, PRODUCE, 1, 2**20))


@refused("UnknownActor(actor=4)")
def rights_of_an_unknown_actor(ledger: Ledger) -> Outcome:
    return ledger.send(contract.set_rights_data(4, Rights.NONE), REGISTRAR)


@refused("UnknownActor(actor=4)")
def account_of_an_unknown_actor(ledger: Ledger) -> Outcome:
    return ledger.send(contract.set_account_data(4, address_of(NEWCOMER)), REGISTRAR)


@refused("ActorDisabled(actor=1)")
def disabled(ledger: Ledger) -> Outcome:
    ledger.send(contract.set_rights_data(1, Rights.PRODUCE | Rights.EXAMINE), REGISTRAR)
    return ledger.circulate(circ(1, PRODUCE, 1))


@refused("MissingRight(actor=1, right=2)")
def produce_without_the_right(ledger: Ledger) -> Outcome:
    ledger.send(contract.set_rights_data(1, Rights.CIRCULATE | Rights.EXAMINE), REGISTRAR)
    return ledger.circulate(circ(1, PRODUCE, 1))


@refused("WrongReceiver(to=2, operator=1)")
def process_for_another(ledger: Ledger) -> Outcome:
    return ledger.circulate(circ(1, PROCESS, 1, 2))


@refused("WrongReceiver(to=2, operator=1)")
def exam_for_another(ledger: Ledger) -> Outcome:
    return ledger.circulate(circ(1, EXAM, 1, 2))


@refused("TransferToSelf(operator=1)")
def transfer_to_self(ledger: Ledger) -> Outcome:
    return ledger.circulate(circ(1, TRANSFER, 1))


@refused(f"BadSignature(actor=1, account={address_of(key_of(0))})")
def signed_by_another(ledger: Ledger) -> Outcome:
    wanted = circ(1, PRODUCE, 1)
    return ledger.circulate(wanted, ledger.sign(wanted, ledger.key(2)))


@refused(f"BadSignature(actor=1, account={address_of(key_of(0))})")
def not_signed(ledger: Ledger) -> Outcome:
    return ledger.circulate(circ(1, PRODUCE, 1), b"")


@refused(f"BadSignature(actor=2, account={address_of(NEWCOMER)})")
def possession_of_another_actor(ledger: Ledger) -> Outcome:
    digest = contract.account_digest(CHAIN_ID, ledger.address, 1, address_of(NEWCOMER))
    possession = sign(digest, NEWCOMER)
    return ledger.send(contract.set_account_data(2, address_of(NEWCOMER), possession), REGISTRAR)


@refused("NotHolder(goodsId=9, holder=2, operator=1)")
def produce_what_another_holds(ledger: Ledger) -> Outcome:
    ledger.circulate(circ(9, PRODUCE, 2))
    return ledger.circulate(circ(ranges((7, 4)), PRODUCE, 1, version=1))


@refused("NotHolder(goodsId=7, holder=0, operator=1)")
def process_what_nobody_holds(ledger: Ledger) -> Outcome:
    ledger.circulate(circ(6, PRODUCE, 1))
    return ledger.circulate(circ(ranges((6, 2)), PROCESS, 1, version=1))


@refused("NotHolder(goodsId=5, holder=2, operator=1)")
def transfer_what_was_transferred(ledger: Ledger) -> Outcome:
    ledger.circulate(circ(5, PRODUCE, 1, 2))
    return ledger.circulate(circ(5, TRANSFER, 1, 3, version=1))


@refused("NotHolder(goodsId=5, holder=2, operator=1)")
def exam_without_holding_or_the_right(ledger: Ledger) -> Outcome:
    ledger.circulate(circ(5, PRODUCE, 2))
    ledger.send(contract.set_rights_data(1, Rights.CIRCULATE), REGISTRAR)
    return ledger.circulate(circ(5, EXAM, 1, version=1))


@refused("NotHolder(goodsId=7, holder=0, operator=1)")
def exam_what_nobody_holds(ledger: Ledger) -> Outcome:
    ledger.circulate(circ(ranges((5, 2), (8, 4)), PRODUCE, 2))
    return ledger.circulate(circ(ranges((5, 7)), EXAM, 1, version=6))


@refused("NotHolder(goodsId=16, holder=0, operator=1)")
def exam_a_word_that_no_circ_has_named(ledger: Ledger) -> Outcome:
    return ledger.circulate(circ(ranges((16, 8)), EXAM, 1))


@refused("TimesExhausted(goodsId=11)")
def examined_once_too_often_by_another(ledger: Ledger) -> Outcome:
    ledger.circulate(circ(ranges((10, 3)), PRODUCE, 1))
    ledger.poke_goods(10, holder=2, times=EXAM_TIMES_MAX)
    ledger.poke_goods(11, holder=1, times=EXAM_TIMES_MAX)
    return ledger.circulate(circ(ranges((10, 3)), EXAM, 2, version=2 * EXAM_TIMES_MAX + 1))


@refused("TimesExhausted(goodsId=11)")
def examined_once_too_often_by_the_holder(ledger: Ledger) -> Outcome:
    ledger.circulate(circ(ranges((10, 3)), PRODUCE, 1))
    ledger.poke_goods(11, holder=1, times=TIMES_MAX)
    return ledger.circulate(circ(ranges((10, 3)), EXAM, 1, version=TIMES_MAX + 2))


@refused("TimesExhausted(goodsId=11)")
def once_too_often(ledger: Ledger) -> Outcome:
    ledger.circulate(circ(ranges((10, 3)), PRODUCE, 1))
    ledger.poke_goods(11, holder=1, times=TIMES_MAX)
    return ledger.circulate(circ(ranges((10, 3)), PROCESS, 1, version=TIMES_MAX + 2))


@refused("WrongVersion(given=0, expected=3)")
def same_circ_again(ledger: Ledger) -> Outcome:
    wanted = circ(ranges((7, 3)), PRODUCE, 1)
    assert ledger.circulate(wanted).error is None
    return ledger.circulate(wanted)


@refused("ZeroAccount()")
def register_without_account(ledger: Ledger) -> Outcome:
    return ledger.send(contract.register_actor_data(ZERO, ALL_RIGHTS, NAME_DIGEST), REGISTRAR)


@refused("ZeroAccount()")
def take_the_account_away(ledger: Ledger) -> Outcome:
    return ledger.send(contract.set_account_data(1, ZERO), REGISTRAR)


@refused("UnknownRights(rights=8)")
def register_with_unknown_rights(ledger: Ledger) -> Outcome:
    data = contract.register_actor_data(address_of(NEWCOMER), 8, NAME_DIGEST)  # type: ignore[arg-type]
    return ledger.send(data, REGISTRAR)


@refused("UnknownRights(rights=255)")
def set_unknown_rights(ledger: Ledger) -> Outcome:
    return ledger.send(contract.set_rights_data(1, 255), REGISTRAR)  # type: ignore[arg-type]


@refused("ZeroNameDigest()")
def register_without_a_name(ledger: Ledger) -> Outcome:
    return ledger.send(contract.register_actor_data(address_of(NEWCOMER), ALL_RIGHTS, bytes(32)), REGISTRAR)


@refused(f"NameTaken(nameDigest=0x{NAME_DIGEST.hex()}, actor=4)")
def register_under_another_s_name(ledger: Ledger) -> Outcome:
    ledger.register(name_digest=NAME_DIGEST)
    ledger.register()
    return ledger.send(contract.register_actor_data(address_of(NEWCOMER), ALL_RIGHTS, NAME_DIGEST), REGISTRAR)


@refused(f"NameTaken(nameDigest=0x{NAME_DIGEST.hex()}, actor=4)")
def register_under_the_name_of_a_sovereign(ledger: Ledger) -> Outcome:
    ledger.register(name_digest=NAME_DIGEST)
    digest = contract.account_digest(CHAIN_ID, ledger.address, 4, address_of(NEWCOMER))
    data = contract.set_account_data(4, address_of(NEWCOMER), sign(digest, NEWCOMER))
    assert ledger.send(data, REGISTRAR).error is None
    return ledger.send(contract.register_actor_data(address_of(ledger.key(4)), ALL_RIGHTS, NAME_DIGEST), REGISTRAR)


@refused(f"ActorsExhausted(limit={ACTOR_MAX})")
def one_actor_too_many(ledger: Ledger) -> Outcome:
    ledger.poke_actors(ACTOR_MAX - 1)
    assert ledger.register(NEWCOMER) == ACTOR_MAX
    return ledger.send(contract.register_actor_data(address_of(NEWCOMER), ALL_RIGHTS, NAME_DIGEST), REGISTRAR)


@refused("SovereignActor(actor=1)")
def registrar_changes_a_sovereign(ledger: Ledger) -> Outcome:
    digest = contract.account_digest(CHAIN_ID, ledger.address, 1, address_of(NEWCOMER))
    data = contract.set_account_data(1, address_of(NEWCOMER), sign(digest, NEWCOMER))
    assert ledger.send(data, REGISTRAR).error is None
    return ledger.send(contract.set_account_data(1, address_of(STRANGER)), REGISTRAR)


def _unauthorized(sender: str) -> str:
    return f"AccessControlUnauthorizedAccount(account={sender}, neededRole=0x{REGISTRAR_ROLE.hex()})"


@refused(_unauthorized(address_of(STRANGER)))
def stranger_registers(ledger: Ledger) -> Outcome:
    return ledger.send(contract.register_actor_data(address_of(STRANGER), ALL_RIGHTS, NAME_DIGEST))


@refused(_unauthorized(address_of(ADMIN)))
def admin_sets_rights(ledger: Ledger) -> Outcome:
    return ledger.send(contract.set_rights_data(1, Rights.NONE), ADMIN)


@refused(_unauthorized(address_of(STRANGER)))
def stranger_changes_a_custodial_account(ledger: Ledger) -> Outcome:
    return ledger.send(contract.set_account_data(1, address_of(STRANGER)))


@refused("AccessControlBadConfirmation()")
def renounce_for_another(ledger: Ledger) -> Outcome:
    selector = keccak(text="renounceRole(bytes32,address)")[:4]
    return ledger.send(selector + REGISTRAR_ROLE + bytes(12) + bytes.fromhex(address_of(REGISTRAR)[2:]))


@pytest.mark.parametrize(
    ("case", "expected"), [case[1:] for case in CASES], ids=[f"{name}-{text}" for name, _, text in CASES]
)
def test_refusal(ledger: Ledger, case: Callable[[Ledger], Outcome], expected: str) -> None:
    outcome = case(ledger)
    assert outcome.error == expected
    assert not outcome.logs


def test_every_error_of_the_contract_has_a_refusal() -> None:
    declared = {entry["name"] for entry in contract.artifact()["abi"] if entry["type"] == "error"}
    assert declared - UNREACHABLE == {expected.partition("(")[0] for _, _, expected in CASES}


@pytest.mark.parametrize("field", ["goods", "circ_type", "to", "form_digest", "version"])
def test_a_signature_covers_every_field(ledger: Ledger, field: str) -> None:
    signed = circ(ranges((6, 4)), PRODUCE, 1)
    other = {
        "goods": ranges((6, 3)),
        "circ_type": EXAM,
        "to": 2,
        "form_digest": bytes(32),
        "version": 1,
    }
    tampered: Circ = replace(signed, **{field: other[field]})
    outcome = ledger.circulate(tampered, ledger.sign(signed))
    assert outcome.error is not None
    assert outcome.error.startswith("BadSignature(actor=1,")


def test_a_signature_is_for_one_chain_and_one_contract(ledger: Ledger) -> None:
    wanted = circ(1, PRODUCE, 1)
    for digest in (
        contract.circ_digest(CHAIN_ID + 1, ledger.address, wanted),
        contract.circ_digest(CHAIN_ID, address_of(STRANGER), wanted),
    ):
        error = ledger.circulate(wanted, sign(digest, ledger.key(1))).error
        assert error is not None
        assert error.startswith("BadSignature(")
