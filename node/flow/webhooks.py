"""An org's webhooks: making, listing and ending them."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from node.clock import Clock
from node.domain.changes import parse_cursor
from node.domain.records import User
from node.domain.webhooks import SECRET_BYTES, WEBHOOKS_OF_ORG_MAX, Webhook, checked_url, shown_secret
from node.errors import Reason, Status, VTraceError, denied
from node.flow.feed import Feed
from node.flow.watch import org_of
from node.store import people, webhooks
from node.store.db import Store
from node.store.seal import Seal


class Webhooks:
    """What a boss does with webhooks. ``changed`` is told after each commit."""

    def __init__(
        self, store: Store, seal: Seal, clock: Clock, feed: Feed, changed: Callable[[], None], *, is_local: bool
    ) -> None:
        self._store = store
        self._seal = seal
        self._clock = clock
        self._feed = feed
        self._changed = changed
        self._is_local = is_local

    def create(self, caller: User, url: str, cursor: str) -> tuple[Webhook, str]:
        """A webhook of the caller's org, and its secret as it is shown this once."""
        checked_url(url, is_local=self._is_local)
        given = parse_cursor(cursor) if cursor else None
        secret = secrets.token_bytes(SECRET_BYTES)

        def make() -> Webhook:
            org_id = _own_org(caller)
            if len(webhooks.of_org(org_id)) >= WEBHOOKS_OF_ORG_MAX:
                raise VTraceError(
                    Reason.INVALID_PARAMS,
                    f"org {org_id} has {WEBHOOKS_OF_ORG_MAX} webhooks already: delete one",
                    metadata={"org_id": org_id},
                    status=Status.FAILED_PRECONDITION,
                )
            webhook_id = webhooks.add(org_id, url, self._feed.place(given), self._clock())
            webhooks.keep_secret(self._seal, webhook_id, secret)
            made = webhooks.webhook(webhook_id)
            assert made is not None
            return made

        made = self._store.together(make)
        self._changed()
        return made, shown_secret(secret)

    def of(self, caller: User) -> list[Webhook]:
        """The webhooks of the caller's org."""
        with self._store.read():
            return webhooks.of_org(_own_org(caller))

    def delete(self, caller: User, webhook_id: int) -> None:
        """End a webhook of the caller's org."""
        with self._store.write():
            hook = webhooks.webhook(webhook_id)
            if hook is None or hook.org_id != _own_org(caller):
                raise VTraceError(
                    Reason.INVALID_PARAMS,
                    f"id: no webhook {webhook_id} in the caller's org",
                    metadata={"id": webhook_id},
                    status=Status.NOT_FOUND,
                )
            webhooks.delete(webhook_id)
        self._changed()


def _own_org(caller: User) -> int:
    org_id = org_of(caller)
    org = people.org(org_id)
    if org is None or org.owner != caller.username:
        raise denied(f"org {org_id} belongs to another boss", org_id=org_id)
    return org_id
