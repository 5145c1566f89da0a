"""The reference client signs nothing but what was asked for, whatever a node gives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from node.chain import contract, signer, typed
from node.domain.form import form_digest
from node.domain.model import Circ, CircType, ranges_of
from node.flow.signing import NotWhatWasAsked, Place, Wanted, check_place, checked_circ, signed_account, signed_circ

BY = signer.HeldKey(bytes([4]) * 32)
PLACE = Place(31_337, signer.contract_address(BY.account, 1))
SALT = bytes(range(16))
WANTED = Wanted((3, 4, 9), CircType.PROCESS, "", b'{"a": 1}')
HANDED = replace(WANTED, circ_type=CircType.TRANSFER, to="u2")
CIRC = Circ(ranges_of(WANTED.goods_ids), CircType.PROCESS, 5, 5, form_digest(SALT, WANTED.form), 12)


def _checked(circ: Circ, wanted: Wanted = WANTED, place: Place = PLACE, salt: bytes = SALT, version: int = 12) -> Circ:
    text = typed.circ_json(place.chain_id, place.contract, circ)
    return checked_circ(wanted, PLACE, 5, text, salt, version)


def test_what_was_asked_for_is_signed() -> None:
    assert _checked(CIRC) == CIRC
    digest = contract.circ_digest(PLACE.chain_id, PLACE.contract, CIRC)
    assert signer.recover(digest, signed_circ(BY, PLACE, CIRC)) == BY.account
    handed = replace(CIRC, circ_type=CircType.TRANSFER, to=6)
    assert _checked(handed, HANDED) == handed


@pytest.mark.parametrize(
    ("lie", "named"),
    [
        (lambda: _checked(replace(CIRC, goods=ranges_of([3, 4, 10]))), "the goods"),
        (lambda: _checked(replace(CIRC, goods=ranges_of([3, 4, 9, 10]))), "the goods"),
        (lambda: _checked(replace(CIRC, circ_type=CircType.TRANSFER, to=6)), "the kind"),
        (lambda: _checked(replace(CIRC, circ_type=CircType.PRODUCE)), "the kind"),
        (lambda: _checked(replace(CIRC, operator=6, to=6)), "the operator"),
        (lambda: _checked(replace(CIRC, to=6)), "the receiver"),
        (lambda: _checked(replace(CIRC, circ_type=CircType.TRANSFER), HANDED), "the receiver"),
        (lambda: _checked(replace(CIRC, form_digest=bytes(32))), "the form"),
        (lambda: _checked(CIRC, salt=bytes(16)), "the form"),
        (lambda: _checked(CIRC, salt=bytes(15)), "salt has 15 bytes"),
        (lambda: _checked(CIRC, version=13), "the version"),
        (lambda: _checked(CIRC, place=replace(PLACE, chain_id=1)), "of chain 1"),
        (lambda: _checked(CIRC, place=replace(PLACE, contract=BY.account)), "it is for contract"),
        (lambda: checked_circ(WANTED, PLACE, 5, "{}", SALT, 12), "not the typed data"),
        (lambda: signed_account(BY, PLACE, 5, typed.account_json(1, PLACE.contract, 5, BY.account)), "something else"),
        (lambda: signed_account(BY, PLACE, 0, typed.account_json(1, PLACE.contract, 0, BY.account)), "something else"),
        (lambda: check_place(PLACE, 1, None), "want 1"),
        (lambda: check_place(PLACE, None, BY.account), "want 0x"),
    ],
)
def test_nothing_else_is(lie: Callable[[], Any], named: str) -> None:
    with pytest.raises(NotWhatWasAsked, match=named):
        lie()


def test_a_place_that_is_known_is_compared_and_the_case_of_an_address_is_not() -> None:
    check_place(PLACE, PLACE.chain_id, PLACE.contract.lower())
