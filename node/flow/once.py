"""Calls with an idempotency key are done once: what a call makes and its answer become durable together.

So a caller that got no answer, for whatever reason, asks again with the same key: either nothing was made yet and it
is made now, or it was made and the answer is the first one.
"""

from __future__ import annotations

import hmac
import secrets
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from node.clock import Clock
from node.domain.records import User
from node.errors import Reason, VTraceError
from node.flow.callers import fresh
from node.store import answers, keys, sealed
from node.store.answers import KeptAnswer
from node.store.db import Store
from node.store.seal import Seal

KEPT_MICROS = 7 * 86_400 * 1_000_000
SWEEP_EVERY = 64
SWEEP_ROWS = 4 * SWEEP_EVERY
SECRET_KEY = "idempotency"  # nosec B105: its name
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class KeyedCall:
    """A call with a key. ``scope`` says whose key it is, ``duplicate`` is the reason to refuse another request."""

    rpc: str
    scope: str
    key: str
    caller: User | None
    duplicate: Reason


class Once:
    """Does calls once, and answers repeated ones. ``submitted`` is told after each commit.

    Requests are remembered as keyed digests and answers sealed: a request may hold a password, an answer a token.
    """

    def __init__(self, store: Store, seal: Seal, clock: Clock, submitted: Callable[[], None]) -> None:
        self._store = store
        self._seal = seal
        self._clock = clock
        self._submitted = submitted
        with store.write():
            self._secret = keys.own_key(seal, SECRET_KEY, lambda: secrets.token_bytes(SECRET_BYTES))

    def run(self, call: KeyedCall, request: bytes, work: Callable[[], bytes]) -> bytes:
        """What ``work`` answers, or answered to the same call within the last 7 days.

        ``work`` runs inside the transaction that keeps its answer, maybe on another call's thread; when it raises,
        nothing is kept, and the key is free for another try. ALREADY_EXISTS for a key that another request had.
        """
        digest = hmac.digest(self._secret, call.rpc.encode() + b"\0" + request, "sha256")

        def done() -> bytes:
            known = self._known(call, digest)
            if known is not None:
                return known
            answer = work()
            self._keep(call, digest, answer)
            return answer

        answer = self._store.together(done)
        # Told within ``work`` too, but then there was nothing to see yet.
        self._submitted()
        return answer

    def _known(self, call: KeyedCall, digest: bytes) -> bytes | None:
        kept = answers.find(call.scope, call.key)
        if kept is None:
            return None
        if kept.created_at <= self._clock() - KEPT_MICROS:
            answers.forget(call.scope, call.key)
            return None
        if call.caller is not None:
            fresh(call.caller)
        if not hmac.compare_digest(kept.request_digest, digest):
            what = f"another {call.rpc}" if kept.rpc == call.rpc else f"the rpc {kept.rpc}"
            raise VTraceError(
                call.duplicate,
                f"idempotency-key: {call.key} was given with {what} before, want a key of its own for each request",
                metadata={"field": "idempotency-key", "value": call.key, "rpc": kept.rpc},
            )
        return zlib.decompress(self._seal.open(_row(call), kept.sealed))

    def _keep(self, call: KeyedCall, digest: bytes, answer: bytes) -> None:
        now = self._clock()
        # A batch answers each goods' trans_id, nearly all of it the same text again.
        closed = self._seal.close(_row(call), zlib.compress(answer, 1))
        number = answers.add(call.scope, call.key, KeptAnswer(call.rpc, digest, closed, now))
        if number % SWEEP_EVERY == 0:
            answers.forget_older(now - KEPT_MICROS, SWEEP_ROWS)


def _row(call: KeyedCall) -> str:
    return sealed.answer(call.scope, call.key)
