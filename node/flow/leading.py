"""Leading: one of all processes that share an index does what must not be done twice at once.

Each tries to take the lead until it has it, and looks again and again whether it still has. What it does then is made
anew each time, from what the index says, for nothing that it remembers of an earlier time need be true.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from node.errors import IndexUnavailable
from node.flow.wakes import Listener, Pipe
from node.store.lead import Lead

LOOK_SECONDS = 0.5
GRACE_SECONDS = 10

log = logging.getLogger(__name__)


class Duties(Protocol):
    """What the leader does, on threads of its own."""

    def start(self) -> None:
        """Begin."""

    def wake(self, what: bytes) -> None:
        """There is something to do."""

    def stop(self, grace_seconds: float) -> None:
        """End between two steps."""


class Leading:
    """``begin`` begins a term and makes its duties; ``on_fatal`` is told of what nobody expects.

    ``pipe`` leads to the other processes, if there are any.
    """

    def __init__(
        self,
        lead: Lead,
        begin: Callable[[], Duties],
        *,
        pipe: Pipe | None,
        on_fatal: Callable[[BaseException], None],
        at_end: Callable[[], None],
    ) -> None:
        self._lead = lead
        self._begin = begin
        self._pipe = pipe
        self._on_fatal = on_fatal
        self._at_end = at_end
        self._listener: Listener | None = None
        self.duties: Duties | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leading", daemon=True)

    @property
    def leads(self) -> bool:
        """Whether this process leads now, as far as it knows."""
        return self.duties is not None

    def start(self) -> None:
        """Take the lead at once if nobody has it, and go on looking."""
        self._look()
        self._thread.start()

    def wake(self, what: bytes) -> None:
        """There is something to do for who leads, from any thread."""
        duties = self.duties
        if duties is not None:
            duties.wake(what)
        elif self._pipe is not None:
            self._pipe.tell(what)

    def wake_here(self, what: bytes) -> None:
        """There is something to do if this process leads; another that leads learns it by itself."""
        if (duties := self.duties) is not None:
            duties.wake(what)

    def stop(self) -> None:
        """End what is done, and let another process lead."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(GRACE_SECONDS)
        self._end()
        self._lead.give_up()

    def _run(self) -> None:
        try:
            while not self._stopping.wait(LOOK_SECONDS):
                self._look()
        except BaseException as fault:  # noqa: BLE001 - whatever it is, nobody else would lead
            self._on_fatal(fault)
        finally:
            self._at_end()

    def _look(self) -> None:
        if self.duties is not None and not self._lead.holds():
            log.warning("the lead was lost")
            self._end()
        if self.duties is not None or not self._lead.take():
            return
        try:
            duties = self._begin()
        except IndexUnavailable as fault:
            log.warning("can't lead for now: %s", fault)
            self._lead.give_up()
            return
        duties.start()
        self.duties = duties
        if self._pipe is not None:
            self._listener = Listener(self._pipe, duties.wake)
            log.info("this process leads now")

    def _end(self) -> None:
        duties, self.duties = self.duties, None
        if self._listener is not None:
            self._listener.stop()
            self._listener = None
        if duties is not None:
            duties.stop(GRACE_SECONDS)
