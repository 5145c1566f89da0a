"""Typed data: eth-account, outside the project's code, hashes and signs it as the contract's digests say."""

from __future__ import annotations

import json

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from node.chain import contract, signer, typed
from node.domain.model import ACTOR_MAX, Circ, CircType, ranges_of

KEY = bytes([9]) * 32
ACCOUNT = signer.address_of(KEY)
CONTRACT = signer.contract_address(ACCOUNT, 5)
CHAIN_ID = 94_920_696_226_661

circs = st.builds(
    lambda goods, *others: Circ(ranges_of(goods), *others),
    st.sets(st.integers(1, 2**31 - 1), min_size=1, max_size=20),
    st.sampled_from(CircType),
    st.integers(1, ACTOR_MAX),
    st.integers(1, ACTOR_MAX),
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**40),
)


def _digest(text: str) -> bytes:
    signable = encode_typed_data(full_message=json.loads(text))
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


@settings(max_examples=60, deadline=None)
@given(circs)
def test_a_circ_is_hashed_and_signed_by_eth_account_alone(circ: Circ) -> None:
    text = typed.circ_json(CHAIN_ID, CONTRACT, circ)
    assert _digest(text) == contract.circ_digest(CHAIN_ID, CONTRACT, circ)
    signature = bytes(Account.sign_typed_data(KEY, full_message=json.loads(text)).signature)
    assert signature == signer.HeldKey(KEY).sign(contract.circ_message(CHAIN_ID, CONTRACT, circ))
    assert typed.read_circ(text) == (CHAIN_ID, CONTRACT, circ)


def test_an_account_is_hashed_by_eth_account_alone() -> None:
    text = typed.account_json(CHAIN_ID, CONTRACT, 7, ACCOUNT.lower())
    assert _digest(text) == contract.account_digest(CHAIN_ID, CONTRACT, 7, ACCOUNT)


GOOD = typed.circ_json(CHAIN_ID, CONTRACT, Circ(ranges_of([3, 4, 9]), CircType.PROCESS, 5, 5, bytes(32), 12))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "7",
        "[" * 10_000,
        GOOD[:-1],
        GOOD + " ",
        GOOD.replace('"Circ"', '"Permit"'),
        GOOD.replace('"version":"1"', '"version":"2"'),
        GOOD.replace('"name":"VTrace"', '"name":"Other"'),
        GOOD.replace('"uint8"', '"uint16"'),
        GOOD.replace('"circType":1', '"circType":2'),
        GOOD.replace('"circType":1', '"circType":true'),
        GOOD.replace('"operator":5', '"operator":"5"'),
        GOOD.replace('"operator":5', '"operator":5.5'),
        GOOD.replace('"operator":5', '"operator":5,"more":1'),
        GOOD.replace('"operator":5', '"operator":6,"operator":5'),
        GOOD.replace(CONTRACT, CONTRACT.lower()),
        GOOD.replace(CONTRACT, "0x12"),
        GOOD.replace('"first":3', '"first":1e400'),
        GOOD.replace('"version":12', '"version":NaN'),
        GOOD.replace('"message"', '"message":{},"message"'),
    ],
)
def test_nothing_else_is_read_as_a_circ(text: str) -> None:
    assert text != GOOD
    with pytest.raises(ValueError, match="not the typed data of a circ"):
        typed.read_circ(text)
