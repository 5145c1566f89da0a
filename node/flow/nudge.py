"""What gets nowhere: lost transactions are sent again, underpriced ones get higher fees, poor lanes are told of."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from node.chain import signer
from node.chain.rpc import Chain
from node.domain.records import UNMINED, OutboxTx, TxState
from node.flow.bump import Bumper
from node.flow.ledger import Ledger
from node.flow.readiness import HEIGHT
from node.store import outbox, progress
from node.store.lead import Index

RESEND_HEADS = 20
"""Blocks that may pass a lane's oldest transaction by before it is sent again."""
UNKNOWN_SECONDS = 5.0
"""How long a lane's oldest may be in no block until the chain is asked whether it has it at all."""
LOOK_SECONDS = 5.0
"""How old fees and balances may be."""
BUMP_MAX = 64

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Oldest:
    """A lane's oldest transaction that was sent and is in no block, and when it was first seen so."""

    tx_id: int
    live_hash: str
    head: int
    seconds: float


class Nudger:
    """Looks after lanes that stand still. ``step`` is one look; ``resend`` wakes the sender."""

    def __init__(
        self,
        store: Index,
        chain: Chain,
        ledger: Ledger,
        bumper: Bumper,
        *,
        bump_seconds: float,
        fee_max: int | None,
        resend: Callable[[], None],
    ) -> None:
        self._store = store
        self._chain = chain
        self._ledger = ledger
        self._bumper = bumper
        self._bump_seconds = bump_seconds
        self._fee_max = fee_max
        self._resend = resend
        self._oldest: dict[str, _Oldest] = {}
        self._told: frozenset[str] = frozenset()
        self._looked: float | None = None
        self._balances: dict[str, int] = {}

    def step(self) -> bool:
        """Look at every lane that waits for a block."""
        with self._store.write():  # so that nothing is enrolled between counting and remembering
            self._ledger.waiting = outbox.count(UNMINED)
        lanes = outbox.lanes_with([TxState.SENT])
        if not lanes and self._looked is not None and time.monotonic() - self._looked < LOOK_SECONDS:
            return False
        head = self._look()
        moved = [self._nudge(lane, head) for lane in lanes]
        if any(moved):
            self._resend()
        return False

    def _look(self) -> int:
        """What transactions have to offer now, and what lanes can pay. Answers the height of the chain."""
        lanes = self._ledger.lanes
        look = self._chain.look(lanes.all, 0)
        self._ledger.fees = self._chain.fees().at_most(self._fee_max)
        balances = dict(zip(lanes.all, self._chain.balances(lanes.all), strict=True))
        nonces = dict(zip(lanes.all, look.nonces, strict=True))
        need, low = self._ledger.most_to_pay, self._ledger.low(balances)
        for lane in sorted(low - self._told):
            log.warning("lane %s runs low: it has %d wei, the largest circ may need %d", lane, balances[lane], need)
        self._ledger.lanes.low = self._told = low
        with self._store.write():
            progress.seen(nonces, balances)
            progress.note(self._ledger.clock(), fees=self._ledger.fees.text, **{HEIGHT: str(look.head.number)})
        self._ledger.spending.saw(self._balances, balances)
        self._balances = balances
        self._looked = time.monotonic()
        return look.head.number

    def _nudge(self, lane: str, head: int) -> bool:
        """Answers whether the lane has something to send again."""
        waiting = outbox.in_lane(lane, TxState.SENT, BUMP_MAX)
        seen = self._oldest.pop(lane, None)
        if not waiting:
            return False
        first, *others = waiting
        if seen is None or (seen.tx_id, seen.live_hash) != (first.id, first.live_hash):
            self._oldest[lane] = _Oldest(first.id, first.live_hash, head, time.monotonic())
            return False
        self._oldest[lane] = seen
        waited = time.monotonic() - seen.seconds
        is_lost = head - seen.head >= RESEND_HEADS
        if not is_lost and waited >= UNKNOWN_SECONDS:
            (known,) = self._chain.transactions([first.live_hash])
            is_lost = known is None
        if is_lost:
            del self._oldest[lane]
            with self._store.write():
                lost = outbox.mark_lost(lane)
            log.warning("%d transactions of %s are in no block: sending them again", lost, lane)
            return True
        return waited >= self._bump_seconds and self._bumper.bump([first, *self._underpriced(others)]) > 0

    def _underpriced(self, txs: list[OutboxTx]) -> list[OutboxTx]:
        """Those that offer less than is asked for now: they would only wait for their turn to be raised."""
        asked = self._ledger.fees.max_fee_per_gas
        return [tx for tx in txs if signer.fees_of(tx.raw).max_fee_per_gas < asked]
