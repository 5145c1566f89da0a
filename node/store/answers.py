"""Answers of calls with an idempotency key. Writers run inside ``Store.write()``."""

from __future__ import annotations

from dataclasses import dataclass

from node.store import tables as t


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The answer, sealed, of the call that had a key first, and the keyed digest of its request."""

    rpc: str
    request_digest: bytes
    sealed: bytes
    created_at: int


def find(scope: str, key: str) -> KeptAnswer | None:
    """What was answered to the call with this key."""
    row = t.Idempotency
    query = row.select(row.rpc, row.request_digest, row.answer_sealed, row.created_at)
    for rpc, digest, sealed, created_at in t.tuples(query.where(row.scope == scope, row.key == key)):
        return KeptAnswer(rpc, bytes(digest), bytes(sealed), created_at)
    return None


def add(scope: str, key: str, answer: KeptAnswer) -> int:
    """Keep an answer; answers the row's id."""
    made = t.Idempotency.create(
        scope=scope,
        key=key,
        rpc=answer.rpc,
        request_digest=answer.request_digest,
        answer_sealed=answer.sealed,
        created_at=answer.created_at,
    )
    return int(made.id)


def forget(scope: str, key: str) -> None:
    """Make a key free again."""
    t.Idempotency.delete().where(t.Idempotency.scope == scope, t.Idempotency.key == key).execute()


def forget_older(than: int, limit: int) -> None:
    """Drop the oldest answers, at most ``limit``, of those kept before ``than``."""
    row = t.Idempotency
    oldest = row.select(row.id).where(row.created_at < than).order_by(row.created_at).limit(limit)
    row.delete().where(row.id.in_([id_ for (id_,) in t.tuples(oldest)])).execute()
