"""What keeps content: the seam between the node and its store of files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from node.files.parts import Part


class KeeperUnavailable(Exception):
    """The store can't be asked now; nothing was kept. The message says why."""


class ContentMissing(Exception):
    """The store does not have this content."""


class ContentDamaged(Exception):
    """What the store has under a CID is not what the CID says."""


class FileKeeper(Protocol):
    """Keeps content under its CID. Everything may be called by many threads at once."""

    def stage(self, parts: Iterable[bytes]) -> Part:
        """Take in a stream. Its CID is known then, and nothing is kept yet; a fault leaves nothing behind.

        The caller MUST hand the part to ``keep`` or ``discard``.
        """

    def keep(self, part: Part, record: Callable[[], None]) -> None:
        """Keep a staged part; content that is kept already stays, or is mended, and takes no more room.

        ``record`` writes the index. It is called once the content is safe, and decides: if it raises, or the
        process ends before it returned, the content is not kept, at the latest after ``recover``.
        """

    def discard(self, part: Part) -> None:
        """Forget a staged part."""

    def recover(self, is_recorded: Callable[[str], bool]) -> None:
        """At start: finish what was recorded but not finished, and remove what was not recorded."""

    def read(self, cid: str, start: int, end: int) -> Iterator[bytes]:
        """The bytes from ``start`` to ``end`` (exclusive), in pieces, each checked against the CID before it is given.

        Raises ContentMissing, ContentDamaged or KeeperUnavailable, before the first piece or between two.
        """

    def close(self) -> None:
        """Let go of everything that is held."""
