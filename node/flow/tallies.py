"""Numbers by key, each with a time: how often somebody called or failed, for the keys that came last.

A node of one process has them in its memory. One of several has them in memory that all its processes share, so that
nobody may do more by calling several of them. Neither outlives the node.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import secrets
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, Protocol

Tally = tuple[float, int]
"""A number, and microseconds since 1970."""
Change = Callable[[Tally | None], Tally | None]

SECRET_BYTES = 32
ENTRY = struct.Struct("=Qdq")
ENTRIES_OF_GROUP = 8
GROUPS = 4_096
TABLE_BYTES = GROUPS * ENTRIES_OF_GROUP * ENTRY.size
TABLES = 3
_UNUSED = (0, 0.0, 0)


class Tallies(Protocol):
    """Threads may share it."""

    def change(self, key: str, change: Change) -> None:
        """Put what ``change`` makes of a key's tally in its place, None being none; nothing if it raises."""


class OwnTallies:
    """Those of the last ``most`` keys to be changed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Tally] = OrderedDict()

    def change(self, key: str, change: Change) -> None:
        """As ``Tallies`` says."""
        with self._lock:
            tally = change(self._known.get(key))
            if tally is None:
                self._known.pop(key, None)
                return
            self._known[key] = tally
            self._known.move_to_end(key)
            if len(self._known) > self._most:
                self._known.popitem(last=False)

    def keys(self) -> list[str]:
        """All that are known, the one that was changed last at the end."""
        return list(self._known)


class SharedTallies:
    """A table of shared memory. A key has its place in one group of entries, by a hash that nobody can aim.

    A group that is full forgets the oldest. A process that is killed in between leaves, at worst, one entry that says
    something else.
    """

    def __init__(self, memory: mmap.mmap, file: int, table: int) -> None:
        self._memory = memory
        self._file = file
        self._first_group = table * GROUPS
        self._secret = memory[:SECRET_BYTES]
        self._lock = threading.Lock()  # the system's locks are between processes

    def change(self, key: str, change: Change) -> None:
        """As ``Tallies`` says."""
        digest = hashlib.blake2b(key.encode(), key=self._secret, digest_size=16).digest()
        name = int.from_bytes(digest[:8], "big") | 1  # 0 is nobody's
        group = self._first_group + int.from_bytes(digest[8:], "big") % GROUPS
        with self._lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, group)
            try:
                self._change(name, group, change)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, group)

    def _change(self, name: int, group: int, change: Change) -> None:
        at = SECRET_BYTES + group * ENTRIES_OF_GROUP * ENTRY.size
        entries = list(ENTRY.iter_unpack(self._memory[at : at + ENTRIES_OF_GROUP * ENTRY.size]))
        place = next((place for place, entry in enumerate(entries) if entry[0] == name), None)
        tally = change(None if place is None else entries[place][1:])
        if place is None:
            if tally is None:
                return
            place = min(range(ENTRIES_OF_GROUP), key=lambda each: (entries[each][0] != 0, entries[each][2]))
        ENTRY.pack_into(self._memory, at + place * ENTRY.size, *(_UNUSED if tally is None else (name, *tally)))


class SharedTables(NamedTuple):
    """What a node's processes count together: calls of users, calls of addresses, failed logins of addresses."""

    users: Tallies
    addresses: Tallies
    logins: Tallies


def new_memory() -> int:
    """Empty memory for SharedTables: an open file that has no name, for processes to inherit."""
    file = os.memfd_create("vtrace-tallies")
    os.truncate(file, SECRET_BYTES + TABLES * TABLE_BYTES)
    os.pwrite(file, secrets.token_bytes(SECRET_BYTES), 0)
    return file


def shared_tables(file: int) -> SharedTables:
    """The tables in memory of ``new_memory``, which stays open."""
    memory = mmap.mmap(file, SECRET_BYTES + TABLES * TABLE_BYTES)
    return SharedTables(*(SharedTallies(memory, file, table) for table in range(TABLES)))
