"""What one process alone does for all that share an index: everything between the outbox and the chain, and what is
told or published once. All of it is made for one term of the lead, and writes in that term only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from node.chain.rpc import Chain
from node.clock import Clock
from node.files.keeper import FileKeeper
from node.flow import anchor
from node.flow.anchor import Anchorer
from node.flow.bump import Bumper
from node.flow.confirm import Confirmer
from node.flow.deliver import Deliveries
from node.flow.ledger import Ledger
from node.flow.nudge import Nudger
from node.flow.publish import Publisher
from node.flow.state import TROUBLE
from node.flow.submit import Sender
from node.flow.wakes import HEAD, SENDER, WEBHOOKS
from node.flow.worker import GATHER_SECONDS, Worker
from node.store import progress
from node.store.lead import Index

IDLE_SECONDS_NUDGER = 1.0
IDLE_SECONDS_PUBLISHER = 1.0
PUBLISHER = "publisher"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long sender and confirmer wait for something to do, and how long they rest between two steps."""

    idle_seconds: float
    sender_rest_seconds: float
    confirmer_rest_seconds: float


EMBEDDED_PACE = Pace(1.0, GATHER_SECONDS, GATHER_SECONDS)
NETWORK_PACE = Pace(0.5, 0.05, 0.1)
"""Of a chain that is asked over the network, where each question costs more than what comes along with it. Whoever
waits for one circ alone does not notice: a worker rests after a step, not before it, and only where nothing waits."""


class ChainDuties:
    """The workers of one term. ``deliveries`` makes those to webhooks; forms are published if there is a ``keeper``."""

    def __init__(
        self,
        index: Index,
        chain: Chain,
        ledger: Ledger,
        clock: Clock,
        pace: Pace,
        deliveries: Callable[[Index], Deliveries],
        *,
        confirmations: int,
        bump_seconds: float,
        fee_max: int | None,
        keeper: FileKeeper | None,
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._index = index
        self._clock = clock
        bumper = Bumper(index, ledger, fee_max)
        sender = Sender(index, chain, ledger, bumper)
        sender.resume()

        def send() -> bool:
            before = sender.sent
            again = sender.step()
            if sender.sent != before:
                self.confirmer.wake()
            return again

        def resend() -> None:
            self.sender.wake()

        confirmer = Confirmer(index, chain, ledger, confirmations=confirmations, resend=resend)
        nudger = Nudger(index, chain, ledger, bumper, bump_seconds=bump_seconds, fee_max=fee_max, resend=resend)
        self.sender = self._worker("sender", send, pace.idle_seconds, on_fatal, pace.sender_rest_seconds)
        self.confirmer = self._worker(
            "confirmer", confirmer.step, pace.idle_seconds, on_fatal, pace.confirmer_rest_seconds
        )
        self._workers = [
            self.sender,
            self.confirmer,
            self._worker("nudger", nudger.step, IDLE_SECONDS_NUDGER, on_fatal),
            self._worker("anchor", Anchorer(index, ledger, clock, resend).step, anchor.IDLE_SECONDS, on_fatal),
        ]
        if keeper is not None:
            publisher = Publisher(index, keeper)
            self._workers.append(self._worker(PUBLISHER, publisher.step, IDLE_SECONDS_PUBLISHER, _publishing_ended))
        with index.write():  # what kept an earlier leader from going on
            progress.no_troubles()
            names = (*(worker.name for worker in self._workers), PUBLISHER)
            progress.note(clock(), **{f"{TROUBLE}{name}": "" for name in names})
        self.deliveries = deliveries(index)

    def _worker(
        self,
        name: str,
        step: Callable[[], bool],
        idle_seconds: float,
        on_fatal: Callable[[BaseException], None],
        gather_seconds: float = GATHER_SECONDS,
    ) -> Worker:
        return Worker(
            name,
            step,
            idle_seconds=idle_seconds,
            on_fatal=on_fatal,
            at_end=self._index.close_thread,
            tell=lambda trouble: tell(self._index, self._clock, name, trouble),
            gather_seconds=gather_seconds,
        )

    def start(self) -> None:
        """Send, confirm and tell from now on."""
        for worker in self._workers:
            worker.start()

    def wake(self, what: bytes) -> None:
        """There is something to do, as node/flow/wakes.py has it."""
        if what == SENDER:
            self.sender.wake()
        elif what == WEBHOOKS:
            self.deliveries.changed()
        elif what == HEAD:
            self.confirmer.wake()

    def stop(self, grace_seconds: float) -> None:
        """End between two steps; what is left is done by who leads next."""
        for worker in self._workers:
            if not worker.stop(grace_seconds):
                log.warning("%s did not end in time; what it had to do is done at the next start", worker.name)
        self.deliveries.stop(grace_seconds)


def tell(index: Index, clock: Clock, name: str, trouble: str) -> None:
    """Note what keeps a part of the node from going on, or that nothing does."""
    with index.write():
        progress.note(clock(), **{f"{TROUBLE}{name}": trouble})
        if trouble:
            progress.note(clock(), last_error=f"{name}: {trouble}")


def _publishing_ended(fault: BaseException) -> None:
    """Recording must not end with it."""
    log.critical("no more forms are published until the next start: %s", fault, exc_info=fault)
