"""Accounts of actors: the node's at first, the owner's own later. Writers run inside ``Store.write()``."""

from __future__ import annotations

from node.domain.records import TxState
from node.store import tables as t

UNKNOWN_TRANSACTION = 0
"""Stands in ``sovereign_by`` where the chain alone told that an actor is sovereign."""


def give(actor_id: int, account: str, outbox_id: int) -> None:
    """Remember the owner's account that a transaction gives to an actor. The node's key is kept until it is final."""
    row = t.Actor.get_by_id(actor_id)
    t.Actor.update(account=account, account_before=row.account, sovereign_by=outbox_id, last_outbox=outbox_id).where(
        t.Actor.id == actor_id
    ).execute()


def settle(outbox_id: int) -> None:
    """The contract took such a transaction, deep enough: the node's key is of no use any more, and forgotten."""
    t.Actor.update(key_sealed=b"").where(t.Actor.sovereign_by == outbox_id).execute()


def take_back(outbox_id: int) -> None:
    """The contract refused such a transaction: the actor is the node's as before."""
    t.Actor.update(account=t.Actor.account_before, account_before=None, sovereign_by=None).where(
        t.Actor.sovereign_by == outbox_id, t.Actor.key_sealed != b""
    ).execute()


def is_settled(actor_id: int) -> bool:
    """Whether the contract has the owner's account for good, so that only its owner can change it."""
    by = t.Actor.get_by_id(actor_id).sovereign_by
    if by in (None, UNKNOWN_TRANSACTION):
        return by is not None
    return bool(t.Outbox.get_by_id(by).state == TxState.FINAL.value)


def change(actor_id: int, account: str) -> None:
    """The owner changed its account on the chain."""
    t.Actor.update(account=account).where(t.Actor.id == actor_id).execute()


def trans_id(actor_id: int) -> str:
    """The transaction that gave a sovereign actor its owner's account; empty where it is not known."""
    row = t.Outbox.get_or_none(t.Outbox.id == t.Actor.get_by_id(actor_id).sovereign_by)
    return "" if row is None else str(row.tx_hash)
