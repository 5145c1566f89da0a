"""Content on its way in: written to a temporary file and hashed while it streams."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
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
    """The folder of temporary parts."""

    def __init__(self, home: Path) -> None:
        self.folder = home / FOLDER
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

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


def sync_folder(path: Path) -> None:
    """Make a folder's entries durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
