"""Content on its way in: written to a temporary file and hashed while it streams."""

from __future__ import annotations

import fcntl
import itertools
import os
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aleph_cid import CidHasher

from node.domain import cid as cids
from node.domain.cid import ChunkDigests

FOLDER = "parts"


@dataclass(frozen=True, slots=True)
class Part:
    """A stream that ended: its temporary file, durable on disk, and what it holds."""

    path: Path
    cid: str
    size: int
    digests: tuple[bytes, ...]
    """The sha2-256 digests of the chunks, from which the CID follows."""


class Parts:
    """The folder of temporary parts. Each process has one for itself, so that what is left behind can be told.

    It is the first that no other process has, and is taken at first need: a lock of the system ends with the process.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._own: tuple[Path, int] | None = None
        (home / FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def folder(self) -> Path:
        """This process's own."""
        with self._lock:
            if self._own is None:
                self._own = self._take()
            return self._own[0]

    def _take(self) -> tuple[Path, int]:
        for number in itertools.count(1):
            path = self._home / (FOLDER if number == 1 else f"{FOLDER}-{number}")
            path.mkdir(mode=0o700, exist_ok=True)
            held = _held(path)
            if held is not None:
                return path, held
        raise AssertionError

    @contextmanager
    def left_behind(self) -> Iterator[list[Path]]:
        """The parts of processes that have ended, of this one's folder too; nobody else has them meanwhile."""
        own, taken = self.folder, []
        try:
            others = [path for path in self._home.glob(f"{FOLDER}*") if path != own]
            folders = [own]
            for path in sorted(others):
                if (held := _held(path)) is not None:
                    taken.append(held)
                    folders.append(path)
            yield [path for folder in folders for path in sorted(folder.iterdir(), reverse=True)]
        finally:
            for held in taken:
                os.close(held)

    def close(self) -> None:
        """Nobody streams anything in any more."""
        with self._lock:
            if self._own is not None:
                os.close(self._own[1])
                self._own = None

    def receive(self, stream: Iterable[bytes]) -> Part:
        """Write a stream to a part; a fault, of the stream or of the disk, removes it."""
        path = self.folder / f"{secrets.token_hex(16)}.part"
        try:
            return self._write(path, stream)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _write(self, path: Path, stream: Iterable[bytes]) -> Part:
        hasher, digests, size = CidHasher.for_ipfs_v1_raw_leaves(), ChunkDigests(), 0
        with open(path, "xb", buffering=0) as file:
            for data in stream:
                hasher.update(data)
                digests.update(data)
                size += len(data)
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
            os.fsync(file.fileno())
        found, chunks = hasher.finalize(), digests.finish()
        if str(cids.of_chunks(chunks, size)) != found:
            raise AssertionError(f"two ways to compute a CID disagree at {size} bytes")
        return Part(path, found, size, chunks)


def _held(folder: Path) -> int | None:
    """A folder's lock, None if another process has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def sync_folder(path: Path) -> None:
    """Make a folder's entries durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
