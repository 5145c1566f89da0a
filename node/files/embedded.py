"""Files in the data directory, under the CIDs that IPFS would give them.

``files/xy/CID`` holds the bytes, ``files/xy/CID.chunks`` the digests of the chunks, from which the CID follows; so
every piece of a file can be checked alone. A file of one chunk needs none, its CID is the digest.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from node.domain import cid as cids
from node.domain.cid import CHUNK_BYTES, DIGEST_BYTES, RAW
from node.files.keeper import ContentDamaged, ContentMissing
from node.files.parts import Part, Parts, sync_folder


class EmbeddedFiles:
    """The store of files in a folder."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._parts = Parts(home)
        self._lock = threading.Lock()

    def stage(self, parts: Iterable[bytes]) -> Part:
        """Take in a stream."""
        return self._parts.receive(parts)

    def keep(self, part: Part, record: Callable[[], None]) -> None:
        """Under its CID in the folder of parts first, then recorded, then moved to its place."""
        with self._lock:
            named = self._named(part)
            try:
                record()
            except BaseException:
                for path in named:
                    path.unlink()
                raise
            for path in named:
                self._settle(path)

    def discard(self, part: Part) -> None:
        """Forget a staged part."""
        part.path.unlink(missing_ok=True)

    def recover(self, is_recorded: Callable[[str], bool]) -> None:
        """What stands in the folder of parts was under way when the node ended."""
        with self._parts.left_behind() as paths:
            for path in paths:
                if path.suffix != ".part" and is_recorded(path.name.removesuffix(".chunks")):
                    self._settle(path)
                else:
                    path.unlink()

    def read(self, cid: str, start: int, end: int) -> Iterator[bytes]:
        """Chunk by chunk, each checked."""
        name = cids.parse(cid)
        try:
            with open(self._place(cid), "rb") as file:
                size = os.fstat(file.fileno()).st_size
                digests = [name.digest] if name.codec == RAW else self._digests(cid, size)
                first = start // CHUNK_BYTES
                file.seek(first * CHUNK_BYTES)
                for number in range(first, max(first + 1, -(-end // CHUNK_BYTES))):
                    chunk = file.read(CHUNK_BYTES + 1 if name.codec == RAW else CHUNK_BYTES)
                    if number >= len(digests) or hashlib.sha256(chunk).digest() != digests[number]:
                        raise ContentDamaged(f"{cid}: chunk {number} is not what the CID says")
                    at = number * CHUNK_BYTES
                    yield chunk[max(start - at, 0) : end - at]
        except FileNotFoundError as fault:
            raise ContentMissing(cid) from fault
        except OSError as fault:
            raise ContentDamaged(f"{cid}: {fault.strerror}") from fault

    def close(self) -> None:
        """Another process may have the folder of parts."""
        self._parts.close()

    def _place(self, cid: str, suffix: str = "") -> Path:
        return self._home / cid[-3:-1] / f"{cid}{suffix}"

    def _named(self, part: Part) -> list[Path]:
        """The part's files under their CID in the folder of parts, durable; the one that counts comes last."""
        data = part.path.with_name(part.cid)
        named = [data]
        try:
            if len(part.digests) > 1:
                chunks = data.with_name(f"{part.cid}.chunks")
                named.insert(0, chunks)
                with open(chunks, "wb") as file:
                    file.write(b"".join(part.digests))
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(part.path, data)
            sync_folder(data.parent)
        except BaseException:
            for path in (part.path, *named):
                path.unlink(missing_ok=True)
            raise
        return named

    def _settle(self, path: Path) -> None:
        """Move a recorded file from the folder of parts to its place."""
        place = self._home / path.name.removesuffix(".chunks")[-3:-1] / path.name
        if not place.parent.is_dir():
            place.parent.mkdir(mode=0o700, exist_ok=True)
            sync_folder(self._home)
        os.replace(path, place)
        sync_folder(place.parent)
        sync_folder(path.parent)

    def _digests(self, cid: str, size: int) -> list[bytes]:
        """The digests of a file's chunks, held against its CID."""
        packed = self._place(cid, ".chunks").read_bytes()
        digests = [packed[at : at + DIGEST_BYTES] for at in range(0, len(packed), DIGEST_BYTES)]
        try:
            found = str(cids.of_chunks(digests, size))
        except ValueError as fault:
            raise ContentDamaged(f"{cid}: {size} bytes, but {fault}") from fault
        if found != cid:
            raise ContentDamaged(f"{cid}: {size} bytes with chunks of another file")
        return digests
