"""Whether the node can do its work now, and if not, why: looked at once a second, told to whoever asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from node.clock import Clock
from node.errors import IndexUnavailable
from node.flow.ledger import Ledger
from node.store import outbox, progress
from node.store.db import Store

IDLE_SECONDS = 1.0
STALE_SECONDS = 30.0
"""How old a look may be. The index can be busy for as long as that with somebody else's write."""
CHAIN_SECONDS = 60.0
"""How long the chain may be away; callers get answers for longer than that, but somebody should look."""
LAG_BLOCKS_MAX = 100
"""How many blocks may not be followed yet: more is a node that catches up, whose answers lack what others can see."""
HEIGHT = "chain_height"
"""What the nudger notes of the chain's height, and with it that it saw the chain."""

INDEX, CHAIN, HEAD, CONTRACT, BACKLOG = "index", "chain", "head", "contract", "backlog"
LOOK, DRAINING = "look", "draining"


@dataclass(frozen=True, slots=True)
class Readiness:
    """``reasons`` says by the name of each part that is not ready why; empty when all are."""

    reasons: dict[str, str]

    @property
    def is_ready(self) -> bool:
        """Whether the node can do all that it is there for."""
        return not self.reasons

    @property
    def is_serving(self) -> bool:
        """Whether it can answer calls: that the chain is away need not concern who reads or records."""
        return not self.reasons.keys() & {INDEX, LOOK, DRAINING}


class Watchman:
    """Looks at the parts. ``step`` is one look; ``tell`` hears what it found."""

    def __init__(self, store: Store, ledger: Ledger, clock: Clock, tell: Callable[[Readiness], None]) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._tell = tell
        self._began = clock()  # the chain was seen when the ledger was opened
        self._looked = time.monotonic()
        self._found: dict[str, str] = {LOOK: "the node has just started"}
        self._is_draining = False

    def now(self) -> Readiness:
        """What the last look found. No I/O."""
        if self._is_draining:
            return Readiness({DRAINING: "the node is stopping"})
        seconds = time.monotonic() - self._looked
        if seconds > STALE_SECONDS:
            return Readiness({LOOK: f"the last look was {seconds:.0f} s ago"})
        return Readiness(self._found)

    def drain(self) -> None:
        """The node is about to stop: it is not ready any more, for good."""
        self._is_draining = True
        self._tell(self.now())

    def step(self) -> bool:
        """One look."""
        self._found = self._look()
        self._looked = time.monotonic()
        self._tell(self.now())
        return False

    def _look(self) -> dict[str, str]:
        found = {}
        try:
            with self._store.read():
                noted, is_deployed = progress.noted(), outbox.first_block() is not None
        except IndexUnavailable:
            return {INDEX: "the index can't be read"}
        height, seen = noted.get(HEIGHT, ("", 0))
        head = int(noted["head"][0]) if "head" in noted else 0
        away = (self._clock() - max(seen, self._began)) / 1_000_000
        if away > CHAIN_SECONDS:
            found[CHAIN] = f"the chain was last seen {away:.0f} s ago"
        if height and int(height) - head > LAG_BLOCKS_MAX:
            found[HEAD] = f"blocks were followed up to {head}, and the chain is at {height}"
        if not is_deployed:
            found[CONTRACT] = "the contract is in no block yet"
        if not self._ledger.has_room(1):
            found[BACKLOG] = f"{self._ledger.waiting} transactions wait for the chain, which is the limit"
        return found
