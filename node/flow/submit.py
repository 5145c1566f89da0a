"""The sender: hands the outbox's signed bytes to the chain, batched, each lane in the order of its nonces.

Sending twice is harmless: the bytes are the same, and "already known" is success. A process that dies
anywhere in here sends again at the next start.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from node.chain.rpc import Chain, ChainUnavailable, SendRefusal
from node.domain.records import OutboxTx, TxState
from node.faults import point
from node.flow.bump import Bumper
from node.flow.ledger import Ledger
from node.flow.refusals import ANSWERS, Action
from node.store import outbox, progress
from node.store.lead import Index

BATCH_MAX = 100
PAUSE_SECONDS_FIRST = 0.5
PAUSE_SECONDS_MAX = 30.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Pause:
    """A lane that the chain refused: what was told of it, and when it is tried again."""

    trouble: str
    seconds: float
    until: float


class Sender:
    """Sends what is signed. ``step`` is one batch of each lane; ``sent`` counts what the chain took."""

    def __init__(self, store: Index, chain: Chain, ledger: Ledger, bumper: Bumper) -> None:
        self._store = store
        self._chain = chain
        self._ledger = ledger
        self._bumper = bumper
        self._pauses: dict[str, _Pause] = {}
        self.sent = 0

    def resume(self) -> None:
        """At start: everything that is in no block yet is sent again."""
        with self._store.write():
            waiting = outbox.send_again()
        if waiting:
            log.info("sending %d unfinished transactions again", waiting)

    def step(self) -> bool:
        """Send one batch of each lane that has something; answers whether more waits already."""
        lanes = [lane for lane in outbox.lanes_with([TxState.SIGNED]) if not self._is_paused(lane)]
        if not lanes:
            return False
        self._ledger.identity.check()
        more = [self._send(lane) for lane in lanes]
        return any(more)

    def _is_paused(self, lane: str) -> bool:
        pause = self._pauses.get(lane)
        return pause is not None and time.monotonic() < pause.until

    def _send(self, lane: str) -> bool:
        """Send one batch of a lane; answers whether more of it waits, as far as it may go on at once."""
        batch = outbox.in_lane(lane, TxState.SIGNED, BATCH_MAX)
        if not self._ledger.lanes.is_one:
            waiting = outbox.waiting([tx.id for tx in batch])
            ready = next((place for place, tx in enumerate(batch) if tx.id in waiting), len(batch))
            batch = batch[:ready]
        if not batch:
            return False
        point("sending")
        try:
            refusals = self._chain.send([tx.raw for tx in batch])
        except ChainUnavailable:
            self._ledger.identity.doubt()
            raise
        point("sent")
        accepted: list[int] = []
        refused: tuple[OutboxTx, SendRefusal] | None = None
        for tx, refusal in zip(batch, refusals, strict=True):
            if refusal is not None and ANSWERS[refusal.kind].action is not Action.CONFIRM:
                refused = tx, refusal
                break
            accepted.append(tx.id)
        if accepted:
            with self._store.write():
                outbox.mark_sent(accepted)
            point("marked")
            self.sent += len(accepted)
        if refused is None:
            self._goes_on(lane)
            return len(batch) == BATCH_MAX
        self._ledger.identity.doubt()
        return self._answer(lane, *refused)

    def _answer(self, lane: str, tx: OutboxTx, refusal: SendRefusal) -> bool:
        """Do what the table says about a refusal; answers whether the lane goes on at once."""
        answer = ANSWERS[refusal.kind]
        trouble = f"nonce {tx.nonce} of {lane} waits: {refusal.kind.value} ({refusal.message})"
        if answer.action is Action.BUMP and self._bumper.bump([tx]):
            return True
        if answer.action is Action.RESEND:
            with self._store.write():
                outbox.mark_lost(lane)
        advice = answer.advice.format(signer=lane)
        self._stops(lane, f"{trouble}; {advice}" if advice else trouble)
        return False

    def _stops(self, lane: str, trouble: str) -> None:
        before = self._pauses.get(lane)
        seconds = PAUSE_SECONDS_FIRST if before is None else min(before.seconds * 2, PAUSE_SECONDS_MAX)
        self._pauses[lane] = _Pause(trouble, seconds, time.monotonic() + seconds)
        if before is None or before.trouble != trouble:
            log.warning("%s", trouble)
            with self._store.write():
                progress.trouble(self._ledger.clock(), lane, trouble)

    def _goes_on(self, lane: str) -> None:
        if self._pauses.pop(lane, None) is not None:
            log.info("lane %s goes on", lane)
            with self._store.write():
                progress.trouble(self._ledger.clock(), lane, "")
