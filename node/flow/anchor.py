"""Putting the audit log's head on chain once a day, and forgetting where old calls came from.

The anchor is a transaction of the registrar's lane to itself, on the way of all others: in the outbox before it is
sent, sent again after a fork, bumped when it waits. It is kept in one transaction of the index with the note of what it
anchors, so a process that dies leaves both or neither.
"""

from __future__ import annotations

from collections.abc import Callable

from node.chain.gas import ANCHOR_GAS
from node.clock import Clock
from node.domain.log_entry import anchor_data
from node.domain.records import TxKind
from node.flow.ledger import Ledger
from node.store import log
from node.store.lead import Index
from node.store.log import Anchor

IDLE_SECONDS = 60.0
DAY_MICROS = 86_400 * 1_000_000
ORIGIN_KEPT_MICROS = 90 * DAY_MICROS
FORGET_ROWS = 1_000


class Anchorer:
    """``step`` is a worker's; ``submitted`` is told after each anchor."""

    def __init__(self, store: Index, ledger: Ledger, clock: Clock, submitted: Callable[[], None]) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._submitted = submitted

    def step(self) -> bool:
        """Anchor if it is time; answers whether more is to be forgotten at once."""
        now = self._clock()
        if self._is_due(now):
            with self._store.write():
                if self._is_due(now):
                    self._anchor(now)
            self._submitted()
        before = now - ORIGIN_KEPT_MICROS
        oldest = log.oldest_origin()
        if oldest is None or oldest >= before:
            return False
        with self._store.write():
            return log.forget_origins(before, FORGET_ROWS) == FORGET_ROWS

    def _is_due(self, now: int) -> bool:
        """Whether there are new entries, a day after the last anchor, or after the first entry."""
        last, (number, _) = log.last_anchor(), log.head()
        if last is None:
            began = log.began()
            return began is not None and now - began >= DAY_MICROS
        return number > last.number and now - last.at >= DAY_MICROS

    def _anchor(self, now: int) -> None:
        number, digest = log.head()
        stored = self._ledger.enrol(TxKind.ANCHOR, anchor_data(number, digest), ANCHOR_GAS)
        log.keep_anchor(Anchor(number, digest, now, stored.tx_hash))
