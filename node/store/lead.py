"""The lead: what one process alone does, of all that share an index, and how it stops being the one.

A lead ends with the process that has it, at once. Should a process believe that it leads while another does, its
writes are refused: whoever begins to lead writes down a new term, and each of its transactions looks whether that is
still the newest.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from node.errors import IndexUnavailable, SetupError
from node.store import progress


class Lead(Protocol):
    """The lead of one part of the work: at most one of all processes that share the index has it."""

    def take(self) -> bool:
        """Try to get it, without waiting; answers whether this process has it now."""

    def holds(self) -> bool:
        """Whether this process still has it. False for good once it was lost, until it is taken again."""

    def give_up(self) -> None:
        """Let another have it; without having it nothing happens."""


class LeadLost(IndexUnavailable):
    """Another process leads by now; nothing was written."""


class FileLead:
    """A lead among the processes of one machine: the system's lock of a file, which ends with the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def take(self) -> bool:
        """Try to lock the file. SetupError where it can't be opened."""
        if self._file is not None:
            return True
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as fault:
            raise SetupError(f"{self._path}: {fault.strerror}") from fault
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self._file = file
        return True

    def holds(self) -> bool:
        """The system takes no such lock away."""
        return self._file is not None

    def give_up(self) -> None:
        """Unlock the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class Index(Protocol):
    """The transactions of an index, as they are needed by what the leader does."""

    def write(self) -> AbstractContextManager[None]:
        """One database transaction: all that is written inside becomes durable together, or nothing does."""

    def read(self) -> AbstractContextManager[None]:
        """One consistent view of the index for several queries."""

    def close_thread(self) -> None:
        """Close this thread's connection, at the end of the thread."""


class Fenced:
    """An index for one term of a lead: writing raises LeadLost once somebody else has begun a term."""

    def __init__(self, index: Index, name: str, now: int, who: str) -> None:
        """Begin a term of the lead ``name``, which ``who`` (told by `vtrace status`) has taken."""
        self._index = index
        self._name = name
        with index.write():
            self.term = progress.term(name) + 1
            progress.begin_term(now, name, self.term, who)

    @contextmanager
    def write(self) -> Iterator[None]:
        """A transaction of this term."""
        with self._index.write():
            newest = progress.term(self._name)
            if newest != self.term:
                raise LeadLost(f"another process leads since term {newest}, this one led in term {self.term}")
            yield

    def read(self) -> AbstractContextManager[None]:
        """Reading harms nobody."""
        return self._index.read()

    def close_thread(self) -> None:
        """As the index itself."""
        self._index.close_thread()
