"""Keys that a signing service keeps: the same signatures as with the key in hand, and what its failures look like."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from eth_account import Account

from node.chain import contract, signer, typed
from node.chain.fees import Fees
from node.chain.web3signer import REST_SECONDS, Web3Signer
from node.domain.model import Circ, CircType, Range
from node.errors import SignerUnavailable
from tests.chain.servers import free_port
from tests.chain.signing import SigningService, served

KEY, OTHER = bytes([7]) * 32, bytes([8]) * 32
ACCOUNT = signer.address_of(KEY)
CONTRACT = signer.contract_address(ACCOUNT, 0)
CALL = {"chain_id": 31_337, "nonce": 3, "to": CONTRACT, "data": b"data", "gas": 50_000}
CIRC = Circ((Range(3, 2), Range(9, 1)), CircType.PROCESS, 5, 5, bytes(range(32)), 12)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def service() -> SigningService:
    return SigningService(KEY, OTHER)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def remote(service: SigningService, clock: Clock) -> Iterator[Web3Signer]:
    with served(service) as url:
        made = Web3Signer(url, timeout_seconds=0.3, clock=clock)
        yield made
        made.close()


def test_keys_are_known_by_their_accounts(remote: Web3Signer) -> None:
    assert remote.keys().keys() == {ACCOUNT, signer.address_of(OTHER)}


@pytest.mark.parametrize("fees", [Fees(9), Fees(9, 2)], ids=["legacy", "EIP-1559"])
def test_a_transaction_is_signed_as_with_the_key_in_hand(remote: Web3Signer, fees: Fees) -> None:
    key = remote.keys()[ACCOUNT]
    signed = signer.sign_transaction(key, **CALL, fees=fees)  # type: ignore[arg-type]
    assert signed == signer.sign_transaction(KEY, **CALL, fees=fees)  # type: ignore[arg-type]
    assert signer.resign(key, signed.raw, Fees(20, 4)) == signer.resign(KEY, signed.raw, Fees(20, 4))


def test_typed_data_is_signed_as_eth_account_signs_it(remote: Web3Signer) -> None:
    import json

    signature = remote.keys()[ACCOUNT].sign(contract.circ_message(31_337, CONTRACT, CIRC))
    text = typed.circ_json(31_337, CONTRACT, CIRC)
    assert signature == bytes(Account.sign_typed_data(KEY, full_message=json.loads(text)).signature)
    assert signature == signer.HeldKey(KEY).sign(contract.circ_message(31_337, CONTRACT, CIRC))


@pytest.mark.parametrize(
    ("status", "answer", "fault"),
    [
        (500, "oops", r"refused: HTTP 500: 'oops'"),
        (404, "", "doesn't have the key: HTTP 404"),
        (302, "", "refused: HTTP 302"),
        (200, "", "answered no signature"),
        (200, "0x" + "11" * 64, "answered no signature"),
        (200, "0x" + "11" * 65, "answered no signature"),
        (200, "x" * 2_000_000, "answered more than 1048576 bytes"),
    ],
)
def test_what_is_no_signature_is_refused(
    remote: Web3Signer, service: SigningService, status: int, answer: str, fault: str
) -> None:
    key = remote.keys()[ACCOUNT]
    service.status, service.answer = status, answer
    with pytest.raises(SignerUnavailable, match=fault):
        key.sign(b"message")


def test_a_signature_of_another_key_is_refused(remote: Web3Signer, service: SigningService) -> None:
    key = remote.keys()[ACCOUNT]
    service.answer = "0x" + signer.HeldKey(OTHER).sign(b"message").hex()
    with pytest.raises(SignerUnavailable, match=f"signed with the key of {signer.address_of(OTHER)}, want {ACCOUNT}"):
        key.sign(b"message")
    service.answer = "0x" + signer.HeldKey(KEY).sign(b"another message").hex()
    with pytest.raises(SignerUnavailable):
        key.sign(b"message")


@pytest.mark.parametrize("answer", ["", "{}x", "7", '{"a": 1}', "[1]", '["0x12"]', '["zz"]'])
def test_what_is_no_list_of_keys_is_refused(remote: Web3Signer, service: SigningService, answer: str) -> None:
    service.answer = answer
    with pytest.raises(SignerUnavailable, match="public keys"):
        remote.keys()


def test_a_service_that_is_silent_or_away_is_left_alone_for_a_moment(
    remote: Web3Signer, service: SigningService, clock: Clock
) -> None:
    key = remote.keys()[ACCOUNT]
    service.resumed.clear()
    with pytest.raises(SignerUnavailable, match=r"took more than 0.3 seconds$"):
        key.sign(b"message")
    service.resumed.set()
    asked = service.signed
    with pytest.raises(SignerUnavailable, match="it is left alone for a moment"):
        key.sign(b"message")
    assert service.signed == asked
    clock.now += REST_SECONDS
    assert key.sign(b"message") == signer.HeldKey(KEY).sign(b"message")


def test_nobody_there_is_told_without_the_password_in_the_url() -> None:
    remote = Web3Signer(f"http://user:secret@127.0.0.1:{free_port()}")
    with pytest.raises(SignerUnavailable, match="can't be reached") as told:
        remote.keys()
    assert "secret" not in str(told.value)
    remote.close()
    with pytest.raises(ValueError, match="want http"):
        Web3Signer("127.0.0.1:9000")
