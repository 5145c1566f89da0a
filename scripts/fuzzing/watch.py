"""What the node itself shows: its memory, its log, and the rows of its index."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from pathlib import Path

from tests.support.node import RunningNode, eventually

TRACEBACK = "Traceback (most recent call last)"
TRACEBACK_LINES = 40
BOOKKEEPING = ("login", "log", "audit", "rate", "scan", "lane", "progress", "sqlite_")
"""Tables, by how their names begin, in which refused calls leave traces on purpose, or the node what it last saw of the
chain, whoever calls."""
QUIET_SECONDS = 0.3
SAMPLES = 5


class Watch:
    """Looks at a running node from outside."""

    def __init__(self, node: RunningNode) -> None:
        self._node = node
        self._index = sqlite3.connect(f"file:{Path(node.data_dir) / 'index.sqlite3'}?mode=ro", uri=True)

    def close(self) -> None:
        self._index.close()

    def is_running(self) -> bool:
        return self._node.process.poll() is None

    def memory(self) -> int:
        """Resident bytes."""
        status = Path(f"/proc/{self._node.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def settled_memory(self) -> int:
        """Resident bytes once nothing is under way: a password that is just hashed takes 64 MiB."""
        self.quiet()
        return min(self._after(QUIET_SECONDS) for _ in range(SAMPLES))

    def _after(self, seconds: float) -> int:
        time.sleep(seconds)
        return self.memory()

    def tracebacks(self) -> list[str]:
        """Every traceback of the log, with the lines behind it."""
        _, *found = self._node.log().split(TRACEBACK)
        return [TRACEBACK + "\n".join(one.splitlines()[:TRACEBACK_LINES]) for one in found]

    def quiet(self) -> None:
        """Wait until nothing waits for the chain and nobody writes to the index."""

        def is_quiet() -> bool:
            if self._pending():
                return False
            before = self._version()
            time.sleep(QUIET_SECONDS)
            return self._version() == before and not self._pending()

        eventually(is_quiet, seconds=600)

    def rows(self) -> dict[str, str]:
        """Each table with a digest of all its rows."""
        names = self._index.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
        found = {}
        for (name,) in names:
            if name.startswith(BOOKKEEPING):
                continue
            digest = hashlib.sha256()
            for row in self._index.execute(f'SELECT * FROM "{name}"'):
                digest.update(repr(row).encode())
            found[name] = digest.hexdigest()
        return found

    def _version(self) -> int:
        return int(self._index.execute("PRAGMA data_version").fetchone()[0])

    def _pending(self) -> int:
        return int(self._index.execute("SELECT count(*) FROM circ WHERE status = 'pending'").fetchone()[0])
