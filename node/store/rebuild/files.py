"""The files of a rebuild, and the step that puts the new index into the place of the old one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from node.errors import SetupError
from node.store.rebuild.old import OldIndex

_BESIDE = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Places:
    """Where the index is, where it is built, what is needed meanwhile, and where the one before stays."""

    index: Path

    @property
    def new(self) -> Path:
        """The index under construction."""
        return self.index.with_name(self.index.name + ".new")

    @property
    def scratch(self) -> Path:
        """What only the rebuild needs."""
        return self.index.with_name(self.index.name + ".scratch")

    @property
    def before(self) -> Path:
        """The index as it was before the last rebuild."""
        return self.index.with_name(self.index.name + ".before-reindex")

    def clear(self) -> None:
        """Remove what a rebuild left, one that was killed too."""
        for path in (self.new, self.scratch):
            for end in _BESIDE:
                path.with_name(path.name + end).unlink(missing_ok=True)


def put_in_place(old: OldIndex, places: Places) -> None:
    """Replace the old index by the new one, which is whole and on disk; the old one stays under another name.

    A process that dies in here leaves the one or the other. SQLite's log of the old index must not be left beside the
    new one: it is merged first, and where damage forbids that it goes aside with the index that nobody can read.
    """
    is_merged = old.merge_log()
    if places.index.exists():
        if not is_merged:
            _aside(places, "-wal")
        spare = places.before.with_name(places.before.name + ".part")
        spare.unlink(missing_ok=True)
        os.link(places.index, spare)
        os.replace(spare, places.before)
    for end in _BESIDE[1:]:
        left = places.index.with_name(places.index.name + end)
        if left.exists() and end == "-wal" and left.stat().st_size:
            raise SetupError(f"{left}: another program uses the index; end that one and run this again")
        left.unlink(missing_ok=True)
    os.replace(places.new, places.index)
    folder = os.open(places.index.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    places.clear()


def _aside(places: Places, end: str) -> None:
    log = places.index.with_name(places.index.name + end)
    if log.exists():
        os.replace(log, places.before.with_name(places.before.name + end))
