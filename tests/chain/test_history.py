"""Transactions put together again from what a chain shows, and read from their bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.chain import signer
from node.chain.fees import Fees
from node.chain.history import History, read_signed, sender_of
from node.chain.rpc import Chain
from node.chain.transport import HttpRpc
from tests.chain.echo import CREATION, Sender, mined
from tests.chain.servers import anvil, embedded, fund


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x7f", bytes(55), bytes(range(256)) * 3])
def test_the_bytes_of_a_transaction_say_who_sent_what(data: bytes) -> None:
    key = signer.new_key()
    fees = Fees(10**11, 0)
    signed = signer.sign_transaction(
        key, chain_id=31337, nonce=300, to="0x" + "11" * 20, data=data, gas=21_000, fees=fees
    )
    found = read_signed(signed.raw)
    assert found is not None
    assert (found.hash, found.nonce, found.data) == (signed.hash, 300, data)
    assert sender_of(signed.raw) == signer.address_of(key)


@pytest.mark.parametrize("raw", [b"", b"\x02", b"\x02\xc0", b"\xf8", b"\xb8\xff", b"\x02\xf9\xff\xff\x01", b"rubbish"])
def test_bytes_that_are_no_transaction_are_none(raw: bytes) -> None:
    assert read_signed(raw) is None
    assert sender_of(raw) is None


@pytest.mark.parametrize("kind", ["embedded", "anvil"])
def test_the_chain_gives_the_very_bytes_again(tmp_path: Path, kind: str) -> None:
    sender = Sender()
    with embedded(tmp_path / "chain", sender.address) if kind == "embedded" else anvil() as served:
        rpc = HttpRpc(served) if isinstance(served, str) else served
        if isinstance(served, str):
            fund(rpc, sender.address)
        chain = Chain(rpc)
        sent = [sender.sign(chain.chain_id(), None, CREATION)]
        sent += [sender.sign(chain.chain_id(), sender.address, bytes([number])) for number in range(3)]
        for one in sent:
            assert chain.send([one.raw]) == [None]
        (receipt, *_) = mined(chain, [one.hash for one in sent])
        assert receipt.contract_address is not None
        history = History(rpc, receipt.contract_address)
        found = history.transactions([one.hash for one in sent])
        assert [one.raw for one in found] == [one.raw for one in sent]
        assert {one.sender for one in found} == {sender.address}
        head = chain.head().number
        assert history.first_block(None, head) == receipt.block_number
        assert history.first_block(sent[0].hash, head) == receipt.block_number
        for nonce, one in enumerate(sent):
            assert history.transaction_at(sender.address, nonce, head).hash == one.hash
        if isinstance(served, str):
            rpc.close()
