"""Telling the process that leads that there is something to do, without it looking all the time.

What is told goes through a pipe that all processes of a machine have from the one that started them. A byte says what
there is to do; that one is lost, or comes too often, does no harm, since who leads looks now and then anyway.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable

SENDER, WEBHOOKS, HEAD = b"s", b"w", b"h"
"""There is something to send; webhooks were made or ended; the chain has another block."""
_END = b"."
GATHER_SECONDS = 0.005
"""The least between two wakes: what comes meanwhile is told with the next one."""
READ_BYTES = 65_536

log = logging.getLogger(__name__)


class Pipe:
    """A pipe between processes, both of whose ends each of them has. It must not block."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading = reading
        self.writing = writing

    def tell(self, what: bytes) -> None:
        """Wake who leads. Costs a system call; a pipe that is full wakes it anyway."""
        try:
            os.write(self.writing, what)
        except BlockingIOError:
            return


class Listener:
    """Hears on a thread of its own what others tell, for as long as this process leads."""

    def __init__(self, pipe: Pipe, heard: Callable[[bytes], None]) -> None:
        self._pipe = pipe
        self._heard = heard
        self._stopping = threading.Event()
        self._ended_here, self._end = os.pipe()
        self._thread = threading.Thread(target=self._run, name="wakes", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Hear no more."""
        self._stopping.set()
        os.write(self._end, _END)
        self._thread.join()
        os.close(self._end)
        os.close(self._ended_here)

    def _run(self) -> None:
        while not self._stopping.is_set():
            select.select([self._pipe.reading, self._ended_here], [], [])
            try:
                told = os.read(self._pipe.reading, READ_BYTES)
            except BlockingIOError:
                continue  # another that led was quicker, or this is the end
            for what in (SENDER, WEBHOOKS):
                if what in told:
                    self._heard(what)
            self._stopping.wait(GATHER_SECONDS)
