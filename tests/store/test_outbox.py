"""The outbox: nonces, lanes, and how far transactions are."""

from __future__ import annotations

import pytest

from node.domain.records import UNFINISHED, UNMINED, MinedTx, TxState
from node.store import outbox, tables
from node.store.db import Store

from . import rows

OTHER = "0x" + "6" * 40


def _states(signer: str = rows.SIGNER) -> dict[int, str]:
    found = {tx.nonce: tx.state.value for state in TxState for tx in outbox.in_lane(signer, state, 100)}
    return dict(sorted(found.items()))


def _mined(tx_id: int, state: TxState, number: int, tx_hash: str = "0xaa") -> MinedTx:
    return MinedTx(tx_id, state, number, f"0x{number}", tx_hash)


def test_nonces_go_up_for_each_signer(store: Store) -> None:
    with store.write():
        assert outbox.next_nonce(rows.SIGNER) is None
        rows.transaction(41)
        assert outbox.next_nonce(rows.SIGNER) == 42
        assert outbox.next_nonce(OTHER) is None


def test_a_lane_answers_its_own_first_in_nonce_order(store: Store) -> None:
    with store.write():
        for nonce in (3, 1, 2, 0):
            rows.transaction(nonce)
        rows.transaction(0, signer=OTHER)
    assert [tx.nonce for tx in outbox.in_lane(rows.SIGNER, TxState.SIGNED, 3)] == [0, 1, 2]
    assert [tx.nonce for tx in outbox.in_lane(rows.SIGNER, TxState.SIGNED, 9, below_nonce=2)] == [0, 1]
    assert outbox.in_lane(rows.SIGNER, TxState.SENT, 3) == []
    assert outbox.lanes_with([TxState.SIGNED]) == [rows.SIGNER, OTHER]
    assert outbox.count(UNMINED) == 5


def test_a_transaction_on_its_way(store: Store) -> None:
    with store.write():
        ids = [rows.transaction(nonce) for nonce in range(5)]
        outbox.mark_sent(ids[:4])
        outbox.mark_mined(
            [
                _mined(ids[0], TxState.FINAL, 9),
                _mined(ids[1], TxState.REVERTED, 9),
                _mined(ids[2], TxState.MINED, 10),
            ]
        )
    assert _states() == {0: "final", 1: "reverted", 2: "mined", 3: "sent", 4: "signed"}
    assert outbox.count(UNMINED) == 2
    assert outbox.has_final()
    assert [tx.nonce for tx in outbox.mined_up_to(10, 9)] == [2]
    assert outbox.mined_up_to(9, 9) == []
    with store.write():
        assert outbox.send_again() == 1
    assert _states()[3] == "signed"


def test_a_late_word_of_the_sender_changes_nothing(store: Store) -> None:
    """The confirmer may find a transaction mined before the sender notes that it was sent."""
    with store.write():
        tx_id = rows.transaction(0)
        outbox.mark_mined([_mined(tx_id, TxState.FINAL, 9)])
        outbox.mark_sent([tx_id])
        assert outbox.mark_lost(rows.SIGNER) == 0
    assert _states() == {0: "final"}


def test_what_a_fork_took_away_is_to_be_sent_again(store: Store) -> None:
    with store.write():
        ids = [rows.transaction(nonce) for nonce in range(4)]
        states = (TxState.FINAL, TxState.REVERTED, TxState.MINED, TxState.MINED)
        outbox.mark_mined([_mined(ids[n], state, 9 + n) for n, state in enumerate(states)])
    assert outbox.blocks_from(10) == [(12, "0x12"), (11, "0x11"), (10, "0x10")]
    assert outbox.blocks_before(10, 1) == [(9, "0x9")]
    with store.write():
        assert outbox.take_out([(12, "0x12"), (10, "0x10")]) == [ids[1], ids[3]]
    assert _states() == {0: "final", 1: "signed", 2: "mined", 3: "signed"}
    (first, second) = outbox.in_lane(rows.SIGNER, TxState.SIGNED, 9)
    assert {(tx.block_number, tx.block_hash) for tx in (first, second)} == {(None, None)}


def test_signing_again_keeps_every_hash(store: Store) -> None:
    with store.write():
        tx_id = rows.transaction(0)
        outbox.mark_sent([tx_id])
        for again in (b"second", b"third"):
            (tx,) = [tx for state in UNMINED for tx in outbox.in_lane(rows.SIGNER, state, 1)]
            outbox.replace(tx, again, f"0x{again.hex()}", 5)
    (tx,) = outbox.in_lane(rows.SIGNER, TxState.SIGNED, 1)
    assert (tx.raw, tx.live_hash, tx.signed_at) == (b"third", f"0x{b'third'.hex()}", 5)
    assert tx.tx_hash == f"{rows.SIGNER}:0"
    assert outbox.replaced([tx_id]) == {tx_id: [f"0x{b'second'.hex()}", tx.tx_hash]}
    with store.write():
        outbox.mark_mined([_mined(tx_id, TxState.MINED, 3)])
        outbox.replace(tx, b"fourth", "0x4", 6)
    assert _states() == {0: "mined"}
    assert tables.Replaced.select().count() == 2


def test_the_oldest_is_as_old_as_its_first_signature(store: Store) -> None:
    assert outbox.oldest_at(UNMINED) is None
    with store.write():
        rows.transaction(0)
        (tx,) = outbox.in_lane(rows.SIGNER, TxState.SIGNED, 1)
        outbox.replace(tx, b"again", "0xagain", 77)
    assert outbox.oldest_at(UNMINED) == 0


def test_what_waits_for_another_lane(store: Store) -> None:
    with store.write():
        first, second = rows.transaction(0), rows.transaction(0, signer=OTHER)
        behind = outbox.add(
            signer=OTHER, nonce=1, kind=rows.TxKind.CIRC, raw=b"x", tx_hash="0xx", now=0, waits_for=[first, second]
        )
    assert outbox.unfinished([second, behind, first]) == [(first, rows.SIGNER), (second, OTHER), (behind, OTHER)]
    for state in (TxState.MINED, TxState.FINAL, TxState.REVERTED):
        assert outbox.waiting([first, second, behind]) == {behind}
        with store.write():
            outbox.mark_mined([_mined(first, state, 1)])
    with store.write():
        outbox.mark_mined([_mined(second, TxState.FINAL, 1)])
    assert outbox.waiting([first, second, behind]) == set()
    assert outbox.unfinished([first, second, behind]) == [(behind, OTHER)]


@pytest.mark.usefixtures("store")
def test_nothing_under_way() -> None:
    assert outbox.count(UNFINISHED) == 0
    assert outbox.lanes_with(UNFINISHED) == []
    assert outbox.blocks_from(0) == []
    assert not outbox.has_final()
