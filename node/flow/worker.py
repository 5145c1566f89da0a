"""A background thread that repeats one step, waits when there is nothing to do, and backs off from faults."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from node.chain.transport import ChainUnavailable
from node.errors import IndexUnavailable, SignerUnavailable

BACKOFF_SECONDS_FIRST = 0.5
BACKOFF_SECONDS_MAX = 10.0
GATHER_SECONDS = 0.02
"""The least from a step that left nothing to the next, unless a worker says otherwise. What comes meanwhile is done
with that: a call of the chain and a commit cost nearly the same for one transaction as for many, and callers wait for
both."""

log = logging.getLogger(__name__)


class LedgerFault(Exception):
    """The chain contradicts the node's own books. Going on would spoil them: the node must stop."""


class TryLater(Exception):
    """The chain is there but does not take what it was given; the message says why."""


class Worker:
    """Runs ``step`` until stopped. A step answers whether it should run again at once.

    ``tell`` hears what keeps it from going on, and an empty text once it does. After a step that left nothing it rests
    for ``gather_seconds``.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], bool],
        *,
        idle_seconds: float,
        on_fatal: Callable[[BaseException], None],
        at_end: Callable[[], None],
        tell: Callable[[str], None] = lambda _: None,
        gather_seconds: float = GATHER_SECONDS,
    ) -> None:
        self.name = name
        self._step = step
        self._idle_seconds = idle_seconds
        self._on_fatal = on_fatal
        self._at_end = at_end
        self._tell = tell
        self._gather_seconds = gather_seconds
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """There is something to do: don't wait for the next look."""
        if not self._wake.is_set():  # each circ tells it, and setting costs
            self._wake.set()

    def stop(self, timeout_seconds: float) -> bool:
        """Ask the thread to end after its step; answers whether it did in time."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _note(self, trouble: str) -> None:
        try:
            self._tell(trouble)
        except IndexUnavailable as fault:
            log.warning("%s: can't note its trouble: %s", self.name, fault)

    def _run(self) -> None:
        backoff, told = 0.0, ""
        try:
            while not self._stopping.is_set():
                self._wake.clear()
                try:
                    again = self._step()
                except (ChainUnavailable, IndexUnavailable, SignerUnavailable, TryLater) as fault:
                    if str(fault) != told:
                        told = str(fault)
                        log.warning("%s: can't go on for now, trying again: %s", self.name, fault)
                        self._note(told)
                    backoff = min(max(BACKOFF_SECONDS_FIRST, backoff * 2), BACKOFF_SECONDS_MAX)
                    apart = random.uniform(0.75, 1.0)  # nosec B311: only so that not all that wait try again at once
                    self._stopping.wait(backoff * apart)
                    continue
                if told:
                    log.info("%s: goes on", self.name)
                    self._note("")
                backoff, told = 0.0, ""
                if not again:
                    self._stopping.wait(self._gather_seconds)
                    self._wake.wait(self._idle_seconds)
        except BaseException as fault:  # noqa: BLE001 - whatever it is, the node must not go on without this thread
            self._on_fatal(fault)
        finally:
            self._at_end()
