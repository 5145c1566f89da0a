"""Delivering to webhooks: each in its order, one batch at a time, until the other side says 2xx.

A batch is fixed in the index before it is first sent, so that it is the same under the same id at every try, also after
the process died. The cursor moves in the transaction that forgets the batch, and only after a 2xx: a process that dies
in between sends it once more.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from node.clock import Clock
from node.domain.changes import Change, Cursor, Kept
from node.domain.webhooks import (
    BATCH_GOODS_MAX,
    BATCH_MAX,
    FAILING_MICROS_MAX,
    Webhook,
    message_id,
    pause_seconds,
    signed_headers,
)
from node.errors import IndexUnavailable
from node.flow.feed import Feed, Interest
from node.flow.post import NotTaken, Poster
from node.store import changes, webhooks
from node.store.lead import Index
from node.store.seal import Seal

THREADS = 8
FAILING_THREADS_MAX = 4
"""So many threads at most are for webhooks that failed last: they must not hold up those that don't."""
SCAN_MAX = 5_000
READ_SECONDS = 5.0
TRIES_MIN = 10
"""So many tries at least come before a webhook is given up: the node itself may have been away for days."""
LOST = -1
"""Where a webhook is that has to be told that changes are lost for it: before everything."""

log = logging.getLogger(__name__)

Encode = Callable[[Webhook, Sequence[Change], Cursor, int], bytes]
"""The body of a delivery: the webhook, its changes (none if some were lost), the place behind them, and the time."""


@dataclass(eq=False, slots=True)
class _Line:
    """A webhook that is not disabled: where it is, and whether a thread is at work for it."""

    hook: Webhook
    interest: Interest
    is_busy: bool = False


class Deliveries:
    """``look`` starts what is due, on threads of its own; it never waits for the other side."""

    def __init__(self, store: Index, seal: Seal, clock: Clock, feed: Feed, poster: Poster, encode: Encode) -> None:
        self._store = store
        self._seal = seal
        self._clock = clock
        self._feed = feed
        self._poster = poster
        self._encode = encode
        self._lines: dict[int, _Line] = {}
        self._changed = threading.Event()
        self._read_at = -READ_SECONDS
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="webhook")
        self._is_stopping = False
        feed.ticks.append(self.look)
        feed.sweeps.append(self.keep_up)
        feed.is_swept = True

    def changed(self) -> None:
        """Webhooks were made or ended."""
        self._changed.set()

    def look(self) -> None:
        """Start every delivery that is due."""
        # A call with an idempotency key tells of a webhook before it is committed, so look now and then as well.
        if self._changed.is_set() or time.monotonic() - self._read_at >= READ_SECONDS:
            self._changed.clear()
            self._read_at = time.monotonic()
            self._read()
        now = self._clock()
        with self._lock:
            failing = sum(line.is_busy and line.hook.failures > 0 for line in self._lines.values())
            for line in self._lines.values():
                waits = line.hook.batch_end is not None or line.interest.touched
                if self._is_stopping or line.is_busy or not waits or line.hook.next_at > now:
                    continue
                if line.hook.failures:
                    if failing >= FAILING_THREADS_MAX:
                        continue
                    failing += 1
                line.is_busy = True
                self._threads.submit(self._work, line)

    def _read(self) -> None:
        hooks = {hook.id: hook for hook in webhooks.live()}
        with self._lock:
            for gone in self._lines.keys() - hooks.keys():
                self._feed.remove(self._lines.pop(gone).interest)
            for new in hooks.keys() - self._lines.keys():
                interest = Interest(frozenset(), hooks[new].org_id, lambda: None)
                self._lines[new] = _Line(hooks[new], interest)
                self._feed.add(interest)

    def keep_up(self) -> None:
        """Move the cursors of webhooks that nothing happened for, so that they do not grow too old."""
        with self._lock:
            idle = [line for line in self._lines.values() if not line.is_busy and line.hook.batch_end is None]
        kept = self._feed.kept()
        with self._store.write():
            for line in idle:
                seen = self._feed.untouched_up_to(line.interest)
                if seen is not None and kept.place(line.hook.cursor) is not None and seen > line.hook.cursor.number:
                    self._advance(line, Cursor(kept.last.epoch, seen))

    def stop(self, grace_seconds: float) -> None:
        """Start no more deliveries, and wait for those under way."""
        self._feed.is_swept = False
        self._feed.sweeps.remove(self.keep_up)
        self._feed.ticks.remove(self.look)
        with self._lock:
            self._is_stopping = True
            for line in self._lines.values():
                self._feed.remove(line.interest)
        waiter = threading.Thread(target=self._threads.shutdown, kwargs={"cancel_futures": True}, daemon=True)
        waiter.start()
        waiter.join(grace_seconds)

    def _work(self, line: _Line) -> None:
        try:
            self._deliver(line)
        except IndexUnavailable as fault:
            log.warning("webhook %d: %s", line.hook.id, fault)
            line.interest.touched = True
        except Exception:
            log.exception("webhook %d: not delivered until the next start", line.hook.id)
            with self._lock:
                line.hook = replace(line.hook, next_at=2**63)
        finally:
            self._store.close_thread()
            with self._lock:
                line.is_busy = False

    def _deliver(self, line: _Line) -> None:
        hook = line.hook
        if hook.batch_end is None:
            self._feed.take(line.interest)
        with self._store.read():
            kept = changes.kept()
            after = kept.place(hook.cursor)
            batch, upto = self._lost(hook, kept) if after is None else self._batch(line, after)
        end = Cursor(kept.last.epoch, upto)
        if after is not None and not batch:
            self._advance(line, end)
            return
        begin = hook.cursor if after is not None else Cursor(end.epoch, LOST)
        if hook.batch_end is None or hook.cursor != begin:
            with self._store.write():
                webhooks.begin_batch(hook, begin, upto)
            line.hook = hook = replace(hook, cursor=begin, batch_end=upto)
        body = self._encode(hook, batch, end, self._clock())
        secret = webhooks.secret(self._seal, hook.id)
        if secret is None:
            return
        sign_id = message_id(hook.id, end.epoch, hook.cursor.number, upto)
        headers = signed_headers(secret, sign_id, self._clock() // 1_000_000, body)
        try:
            self._poster.post(hook.url, {"content-type": "application/json", "user-agent": "vtrace", **headers}, body)
        except NotTaken as fault:
            self._fail(line, fault)
        else:
            self._advance(line, end)

    def _lost(self, hook: Webhook, kept: Kept) -> tuple[list[Change], int]:
        """No changes: the hook is told that some are lost, and from where on there will be others."""
        if hook.cursor == Cursor(kept.last.epoch, LOST) and hook.batch_end is not None:
            return [], hook.batch_end
        return [], kept.last.number

    def _batch(self, line: _Line, after: int) -> tuple[list[Change], int]:
        """What is to be sent, and up to where it goes."""
        hook = line.hook
        if hook.batch_end is not None:
            return changes.of_org_between(hook.org_id, after, hook.batch_end), hook.batch_end
        found, upto = changes.of_org(hook.org_id, after, BATCH_MAX, SCAN_MAX)
        goods = 0
        for number, change in enumerate(found, 1):
            goods += len(change.goods_ids)
            if goods >= BATCH_GOODS_MAX and number < len(found):
                found, upto = found[:number], change.number
                break
        if upto < changes.head():
            line.interest.touched = True
        return found, upto

    def _advance(self, line: _Line, to: Cursor) -> None:
        if line.hook.failing_since is not None:
            log.info("webhook %d: taken again", line.hook.id)
        with self._store.write():
            webhooks.advance(line.hook, to)
        line.hook = replace(
            line.hook, cursor=to, batch_end=None, failing_since=None, failures=0, next_at=0, last_error=""
        )

    def _fail(self, line: _Line, fault: NotTaken) -> None:
        hook, now = line.hook, self._clock()
        since = hook.failing_since if hook.failing_since is not None else now
        is_old = now - since >= FAILING_MICROS_MAX and hook.failures + 1 >= TRIES_MIN
        is_over = fault.is_gone or is_old
        apart = random.random()  # nosec B311: only so that not all hooks try again at once
        next_at = now + int(pause_seconds(hook.failures + 1, apart) * 1_000_000)
        with self._store.write():
            webhooks.fail(hook, str(fault), since, next_at, now if is_over else None)
        log.warning("webhook %d: %s%s", hook.id, fault, "; disabled" if is_over else "")
        line.hook = replace(
            hook, failing_since=since, failures=hook.failures + 1, next_at=next_at, last_error=str(fault)
        )
        if is_over:
            self.changed()
