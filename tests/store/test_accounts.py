"""Accounts of actors in the index: given, settled, taken back, changed."""

from __future__ import annotations

from node.domain.records import MinedTx, TxKind, TxState
from node.store import accounts, circs, outbox, tables
from node.store.db import Store

from . import rows

OWN = "0x" + "7" * 40


def _given(store: Store) -> int:
    """Actor 1 of 2 gets an account of its own; answers the transaction."""
    rows.prepared(store, 2, 1)
    with store.write():
        tx_id = rows.next_transaction(TxKind.SET_ACCOUNT)
        accounts.give(1, OWN, tx_id)
    return tx_id


def _is(actor_id: int) -> tuple[str, bool, bytes]:
    found = circs.actor_of(actor_id)
    assert found is not None
    return found[0].account, found[0].sovereign, found[1]


def test_the_nodes_key_is_kept_until_the_change_is_final(store: Store) -> None:
    _given(store)
    assert not accounts.is_settled(1)
    assert _is(1) == (OWN, True, b"sealed")
    assert _is(2)[1:] == (False, b"sealed")
    (tx,) = [tx for tx in outbox.in_lane(rows.SIGNER, TxState.SIGNED, 9) if tx.kind is TxKind.SET_ACCOUNT]
    assert accounts.trans_id(1) == tx.tx_hash
    assert circs.stood_on([], [1]) == {tx.id}
    with store.write():
        accounts.settle(tx.id)
        outbox.mark_mined([MinedTx(tx.id, TxState.FINAL, 1, "0x1", "0xaa")])
    assert accounts.is_settled(1)
    assert (_is(1), _is(2)[2]) == ((OWN, True, b""), b"sealed")
    with store.write():
        accounts.take_back(tx.id)  # as after a fork deeper than what counts as final: there is no key to go back to
        accounts.change(1, "0x" + "8" * 40)
    assert _is(1) == ("0x" + "8" * 40, True, b"")


def test_a_change_that_the_contract_refuses_is_taken_back(store: Store) -> None:
    tx_id = _given(store)
    with store.write():
        accounts.take_back(tx_id)
    assert _is(1) == (f"0x{1:040x}", False, b"sealed")
    assert not accounts.is_settled(1)
    assert accounts.trans_id(1) == ""


def test_what_only_the_chain_tells_is_settled(store: Store) -> None:
    rows.prepared(store, 1, 1)
    with store.write():
        tables.Actor.update(sovereign_by=accounts.UNKNOWN_TRANSACTION).execute()
    assert _is(1)[1]
    assert accounts.is_settled(1)
    assert accounts.trans_id(1) == ""
