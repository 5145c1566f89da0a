"""The outbox: nonces, and how far transactions are."""

from __future__ import annotations

import pytest

from node.domain.records import TxState
from node.store import outbox
from node.store.db import Store

from . import rows


def _states() -> dict[int, TxState]:
    return {tx.nonce: tx.state for tx in outbox.in_state(list(TxState), 100)}


def test_nonces_go_up_for_each_signer(store: Store) -> None:
    with store.write():
        assert outbox.next_nonce(rows.SIGNER) is None
        rows.transaction(41)
        assert outbox.next_nonce(rows.SIGNER) == 42
        assert outbox.next_nonce("0xother") is None


def test_the_first_in_nonce_order_are_answered(store: Store) -> None:
    with store.write():
        for nonce in (3, 1, 2, 0):
            rows.transaction(nonce)
    assert [tx.nonce for tx in outbox.in_state([TxState.SIGNED], 3)] == [0, 1, 2]
    assert outbox.in_state([TxState.SENT], 3) == []


def test_a_transaction_on_its_way(store: Store) -> None:
    with store.write():
        ids = [rows.transaction(nonce) for nonce in range(5)]
        outbox.mark(ids[:4], TxState.SENT)
        outbox.mark_mined(ids[0], TxState.FINAL, 9, "0x9", "0xaa")
        outbox.mark_mined(ids[1], TxState.REVERTED, 9, "0x9", "0xaa")
        outbox.mark_mined(ids[2], TxState.MINED, 10, "0x10", "0xaa")
    assert outbox.oldest_unmined_nonce() == 3
    assert [
        (tx.nonce, tx.block_number) for tx in outbox.in_state([TxState.SIGNED, TxState.SENT, TxState.MINED], 9)
    ] == [(2, 10), (3, None), (4, None)]
    with store.write():
        assert outbox.send_again() == 1
    assert list(_states().values()) == ["final", "reverted", "mined", "signed", "signed"]
    with store.write():
        outbox.mark([ids[2]], TxState.SIGNED)
    (forked,) = [tx for tx in outbox.in_state([TxState.SIGNED], 9) if tx.nonce == 2]
    assert (forked.block_number, forked.block_hash) == (None, None)
    assert outbox.oldest_unmined_nonce() == 2


@pytest.mark.usefixtures("store")
def test_nothing_unmined() -> None:
    assert outbox.oldest_unmined_nonce() is None
