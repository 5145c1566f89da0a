"""rpcs that tell what happens to goods: streams, and webhooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from node.api import convert, protojson
from node.api.call import Call
from node.api.outgoing import Page
from node.domain.changes import Change, Cursor
from node.domain.records import User
from node.domain.webhooks import Webhook
from node.errors import Reason
from node.flow.watch import Watch, Watches
from node.flow.webhooks import Webhooks
from node.wire.vtrace.v1 import watch_pb2 as wire


class Watching:
    """Servicer of VTraceWatch."""

    failed = Reason.CREATE_CIRC_FAILED
    duplicate = Reason.ENTRY_DUPLICATE

    def __init__(self, watches: Watches, webhooks: Webhooks) -> None:
        self._watches = watches
        self._webhooks = webhooks

    def WatchCirc(self, request: wire.WatchCircRequest, address: str) -> Changes:
        """The changes of named goods, for anybody."""
        return Changes(self._watches.goods(address, request.goods_id, request.cursor))

    def WatchOrgCirc(self, caller: User, request: wire.WatchOrgCircRequest) -> Changes:
        """The changes of the goods of the caller's org."""
        return Changes(self._watches.org(caller, request.cursor))

    def CreateWebhook(self, caller: User, request: wire.CreateWebhookRequest, call: Call) -> wire.CreateWebhookResponse:
        """A webhook of the caller's org."""

        def create() -> wire.CreateWebhookResponse:
            made, secret = self._webhooks.create(caller, request.url, request.cursor)
            return wire.CreateWebhookResponse(id=made.id, secret=secret, cursor=str(made.cursor))

        return call.once(create)

    def ListWebhooks(self, caller: User, _: wire.ListWebhooksRequest) -> wire.ListWebhooksResponse:
        """The webhooks of the caller's org."""
        answer = wire.ListWebhooksResponse()
        for hook in self._webhooks.of(caller):
            shown = answer.webhooks.add(
                id=hook.id,
                url=hook.url,
                state=hook.state,
                cursor=str(hook.shown_cursor),
                created_at=convert.timestamp(hook.created_at),
                last_error=hook.last_error,
            )
            if hook.failing_since is not None:
                shown.failing_since.CopyFrom(convert.timestamp(hook.failing_since))
                if hook.disabled_at is None:
                    shown.next_at.CopyFrom(convert.timestamp(hook.next_at))
        return answer

    def DeleteWebhook(self, caller: User, request: wire.DeleteWebhookRequest) -> wire.DeleteWebhookResponse:
        """End a webhook of the caller's org."""
        self._webhooks.delete(caller, request.id)
        return wire.DeleteWebhookResponse()


def webhook_body(hook: Webhook, changes: Sequence[Change], end: Cursor, now: int) -> bytes:
    """The body of a delivery: changes, or that some were lost."""
    body = wire.WebhookBody(
        type="circ.changed" if changes else "circ.gone",
        timestamp=convert.timestamp(changes[-1].at if changes else now),
        webhook_id=hook.id,
        cursor=str(end),
        changes=[convert.change(each, end.epoch) for each in changes],
    )
    return protojson.to_json(body)


class Changes:
    """A watch as an Outgoing."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def take(self) -> Page:
        """The changes that there are now; else a beat if one is due."""
        taken = self._watch.take()
        messages = [convert.change(each, taken.cursor.epoch) for each in taken.changes]
        if taken.is_beat:
            messages.append(wire.CircChange(cursor=str(taken.cursor)))
        return Page(messages, taken.more, taken.is_last)

    def on_ready(self, wake: Callable[[], None]) -> None:
        """``wake`` is called when there may be something to take."""
        self._watch.on_ready(wake)

    def close(self) -> None:
        """Nobody listens any more."""
        self._watch.close()
