"""What the processes of a node must know of each other's part of the way to the chain, and tell of themselves.

How much waits for the chain all of them look up, since each adds to it. Who leads asks the chain for fees and balances,
and leaves them in the index, where the others read them.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from node.chain.fees import Fees
from node.domain.records import UNMINED
from node.flow.ledger import Ledger
from node.flow.state import WORKER, WORKER_BEAT_SECONDS
from node.store import outbox, progress
from node.store.db import Store

IDLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Who:
    """A process of a node: its number among those of one machine."""

    number: int
    host: str
    pid: int

    @classmethod
    def this(cls, number: int) -> Who:
        """This process."""
        return cls(number, socket.gethostname(), os.getpid())

    def __str__(self) -> str:
        return f"worker {self.number} on {self.host}, pid {self.pid}"

    @property
    def row(self) -> str:
        """Under which name its sign of life is noted."""
        return f"{WORKER}{self.number} on {self.host}"


class Follower:
    """``step`` is a worker's; ``leads`` says whether this process asks the chain itself for what others read."""

    def __init__(self, store: Store, ledger: Ledger, who: Who, leads: Callable[[], bool]) -> None:
        self._store = store
        self._ledger = ledger
        self._who = who
        self._leads = leads
        self._told: float | None = None

    def step(self) -> bool:
        """Learn what changed, and give a sign of life."""
        self._learn()
        if self._told is None or time.monotonic() - self._told >= WORKER_BEAT_SECONDS:
            self._tell(str(self._who.pid))
            self._told = time.monotonic()
        return False

    def end(self) -> None:
        """Nobody need wait for another sign of life."""
        self._tell("")

    def _learn(self) -> None:
        with self._store.write():  # so that nothing is enrolled here between counting and remembering
            self._ledger.waiting = outbox.count(UNMINED)
        if self._leads():
            return
        with self._store.read():
            fees = progress.noted().get("fees")
            balances = {lane.signer: lane.balance for lane in progress.lanes() if lane.balance is not None}
        if fees is not None:
            self._ledger.fees = Fees.parsed(fees[0])
        self._ledger.lanes.low = self._ledger.low(balances)

    def _tell(self, pid: str) -> None:
        with self._store.write():
            progress.note(self._ledger.clock(), **{self._who.row: pid})
