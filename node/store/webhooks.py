"""Webhooks. Writers run inside ``Store.write()``."""

from __future__ import annotations

from typing import Any

from node.domain.changes import Cursor
from node.domain.webhooks import Webhook
from node.store import tables as t
from node.store.seal import Seal
from node.store.sealed import webhook_secret


def add(org_id: int, url: str, begin: Cursor, now: int) -> int:
    """A webhook that begins behind a cursor, still without its secret; answers its id."""
    made = t.Webhook.create(
        org=org_id, url=url, secret_sealed=b"", epoch=begin.epoch, position=begin.number, created_at=now
    )
    return int(made.id)


def keep_secret(seal: Seal, webhook_id: int, secret: bytes) -> None:
    """Keep a webhook's secret, sealed."""
    sealed = seal.close(webhook_secret(webhook_id), secret)
    t.Webhook.update(secret_sealed=sealed).where(t.Webhook.id == webhook_id).execute()


def secret(seal: Seal, webhook_id: int) -> bytes | None:
    """A webhook's secret; None once there is no such webhook."""
    row = t.Webhook.get_or_none(t.Webhook.id == webhook_id)
    return None if row is None else seal.open(webhook_secret(webhook_id), bytes(row.secret_sealed))


def of_org(org_id: int) -> list[Webhook]:
    """An org's webhooks, the oldest first."""
    return _found(t.Webhook.org == org_id)


def live() -> list[Webhook]:
    """All webhooks that are not disabled."""
    return _found(t.Webhook.disabled_at.is_null())


def failing() -> list[Webhook]:
    """All webhooks that fail or are disabled."""
    return _found(t.Webhook.failing_since.is_null(False))


def webhook(webhook_id: int) -> Webhook | None:
    """The webhook with this id."""
    return next(iter(_found(t.Webhook.id == webhook_id)), None)


def delete(webhook_id: int) -> None:
    """Forget a webhook."""
    t.Webhook.delete().where(t.Webhook.id == webhook_id).execute()


def begin_batch(hook: Webhook, begin: Cursor, end: int) -> None:
    """The batch behind ``begin`` and up to ``end`` is what is sent, however often, until it is taken."""
    t.Webhook.update(epoch=begin.epoch, position=begin.number, batch_end=end).where(t.Webhook.id == hook.id).execute()


def advance(hook: Webhook, to: Cursor) -> None:
    """All up to a place was taken, or is not the hook's concern. Nothing fails any more."""
    t.Webhook.update(
        epoch=to.epoch,
        position=to.number,
        batch_end=None,
        failing_since=None,
        failures=0,
        next_at=0,
        last_error="",
    ).where(t.Webhook.id == hook.id).execute()


def fail(hook: Webhook, error: str, since: int, next_at: int, disabled_at: int | None) -> None:
    """A try failed."""
    t.Webhook.update(
        failing_since=since, failures=hook.failures + 1, next_at=next_at, last_error=error, disabled_at=disabled_at
    ).where(t.Webhook.id == hook.id).execute()


def _found(where: Any) -> list[Webhook]:
    row = t.Webhook
    return [
        Webhook(id_, org_id, url, Cursor(epoch, position), *more)
        for id_, org_id, url, epoch, position, *more in t.tuples(
            row.select(
                row.id,
                row.org_id,
                row.url,
                row.epoch,
                row.position,
                row.batch_end,
                row.created_at,
                row.failing_since,
                row.failures,
                row.next_at,
                row.last_error,
                row.disabled_at,
            )
            .where(where)
            .order_by(row.id)
        )
    ]
