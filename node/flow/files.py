"""Files: taking them in, finding and reading them, checking them all."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from node.clock import Clock
from node.domain.files import Described, FileRecord
from node.domain.records import User
from node.errors import Reason, Status, VTraceError, invalid
from node.files.keeper import ContentDamaged, ContentMissing, FileKeeper, KeeperUnavailable
from node.files.parts import Part
from node.files.sniff import HEAD_BYTES, sniff
from node.flow.callers import fresh
from node.store import files
from node.store.db import Store

RETRY_SECONDS = 5
T = TypeVar("T")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

log = logging.getLogger(__name__)


class Broken(Exception):
    """The uploader went away before the upload was kept; there is nobody to tell."""


class Unreadable(Exception):
    """A file that the index knows can't be given; ``later`` tells whether it may be given another time."""

    def __init__(self, message: str, *, later: bool) -> None:
        super().__init__(message)
        self.later = later


@dataclass(frozen=True, slots=True)
class Damage:
    """A content that is not as its CID says, or not there."""

    cid: str
    what: str

    def __str__(self) -> str:
        return f"{self.cid}: {self.what}"


class Files:
    """The node's files."""

    def __init__(self, store: Store, keeper: FileKeeper, clock: Clock, upload_bytes_max: int) -> None:
        self._store = store
        self._keeper = keeper
        self._clock = clock
        self._upload_bytes_max = upload_bytes_max

    def recover(self) -> None:
        """At start, before anything is answered: nothing half-way is left."""
        self._keeper.recover(files.is_recorded)

    def upload(
        self,
        caller: User,
        said: Described,
        content: Iterable[bytes],
        is_there: Callable[[], bool],
        recorded: Callable[[FileRecord, Callable[[], None]], T],
    ) -> T:
        """Keep a stream of bytes under its CID; a fault of whatever kind keeps nothing of it.

        ``is_there`` tells whether the uploader still waits for the answer, asked once the stream has ended.
        ``recorded`` is given the file and the function that writes it to the index, and makes the answer.
        """
        head = bytearray()
        part = self._stage(self._bounded(content, head))
        record = FileRecord(
            cid=part.cid,
            size=part.size,
            sniffed=sniff(bytes(head)),
            declared=said.content_type,
            filename=said.filename,
            uploader=caller.username,
            own=said.own,
            created_at=self._clock(),
        )

        def remember() -> None:
            with self._store.write():
                files.add(record, fresh(caller).id)

        answers: list[T] = []

        def decide() -> None:
            if not is_there():
                raise Broken
            answers.append(recorded(record, remember))

        try:
            self._keeper.keep(part, decide)
        except BaseException as fault:
            self._keeper.discard(part)
            _raise_told(fault)
            raise
        return answers[0]

    def find(self, cid: str) -> FileRecord | None:
        """A file that was uploaded to this node."""
        return files.file(cid)

    def read(self, cid: str, start: int, end: int) -> Iterator[bytes]:
        """Bytes of a file that ``find`` found, each checked against the CID before it is given; or Unreadable."""
        try:
            yield from self._keeper.read(cid, start, end)
        except KeeperUnavailable as fault:
            log.warning("%s can't be read now: %s", cid, fault)
            raise Unreadable("the node's store of files does not answer now: try again later", later=True) from fault
        except (ContentMissing, ContentDamaged) as fault:
            log.error("a file is missing or damaged, see `vtrace files verify`: %s", fault)
            raise Unreadable("the node has lost this file, or a part of it", later=False) from fault

    def totals(self) -> tuple[int, int]:
        """How many different contents there are, and their bytes together."""
        return files.totals()

    def verify(self, tell: Callable[[int, int], None] = lambda _done, _total: None) -> Iterator[Damage]:
        """Read every file whole and hold it against its CID; ``tell`` hears bytes done and bytes in all."""
        done, (_, total) = 0, files.totals()
        for cid, size in files.contents():
            seen = 0
            try:
                for piece in self._keeper.read(cid, 0, size):
                    seen += len(piece)
                    tell(done + seen, total)
                if seen != size:
                    yield Damage(cid, f"{seen} bytes, want {size}")
            except ContentMissing:
                yield Damage(cid, "missing")
            except ContentDamaged as fault:
                yield Damage(cid, f"damaged ({str(fault).removeprefix(f'{cid}: ')})")
            except KeeperUnavailable as fault:
                raise Unreadable(str(fault), later=True) from fault
            done += size
            tell(done, total)

    def _bounded(self, content: Iterable[bytes], head: bytearray) -> Iterator[bytes]:
        size = 0
        for data in content:
            size += len(data)
            if size > self._upload_bytes_max:
                raise invalid("content", f"more than {self._upload_bytes_max} bytes", "less (--upload-max of the node)")
            if len(head) < HEAD_BYTES:
                head += data[: HEAD_BYTES - len(head)]
            yield data

    def _stage(self, content: Iterable[bytes]) -> Part:
        try:
            return self._keeper.stage(content)
        except OSError as fault:
            _raise_told(fault)
            raise


def _raise_told(fault: BaseException) -> None:
    """Raise a fault of the store as the caller is told it; other faults are the node's own."""
    if isinstance(fault, KeeperUnavailable):
        log.warning("an upload was not kept: %s", fault)
        raise VTraceError(
            Reason.SERVICE_OFFLINE,
            "the node's store of files does not answer now and nothing was kept: upload again later",
            status=Status.UNAVAILABLE,
            retry_seconds=RETRY_SECONDS,
        ) from fault
    if isinstance(fault, OSError) and fault.errno in _NO_ROOM:
        log.error("an upload was not kept: %s", fault)
        raise VTraceError(
            Reason.SERVICE_OFFLINE,
            "the node has no room for this file now and nothing was kept: tell its operator, or upload again later",
            status=Status.RESOURCE_EXHAUSTED,
            retry_seconds=RETRY_SECONDS,
        ) from fault
