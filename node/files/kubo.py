"""Files kept by an IPFS daemon, through Kubo's RPC.

Content is staged in the data directory first, so its CID is known before the daemon hears of it, and a stream that
breaks never reaches the daemon. Reading walks the blocks from the root and checks each against its CID.
"""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import logging
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

# Told so, ipfshttpclient uses requests as it is, instead of its own copy that needs an urllib3 of long ago.
os.environ.setdefault("PY_IPFS_HTTP_CLIENT_PATCH_REQUESTS", "no")

import ipfshttpclient
from ipfshttpclient import exceptions

from node.domain import cid as cids
from node.domain.cid import CHUNK_BYTES, LINKS_MAX, NODE_BYTES_MAX, RAW, BadNode, Cid
from node.files.keeper import ContentDamaged, KeeperUnavailable
from node.files.parts import Part, Parts

CONNECT_SECONDS = 5
ANSWER_SECONDS = 30
ADD_SECONDS = 600
LOCKS = 16
NOTE = ".pin"

log = logging.getLogger(__name__)


class KuboFiles:
    """The store of files behind the RPC address of a daemon, ``http(s)://HOST:PORT``."""

    def __init__(self, url: str, home: Path) -> None:
        self._url = url
        self._address = multiaddress(url)
        self._parts = Parts(home)
        self._locks = home / "locks"
        self._locks.mkdir(mode=0o700, exist_ok=True)

    def stage(self, parts: Iterable[bytes]) -> Part:
        """Take in a stream, in the data directory."""
        return self._parts.receive(parts)

    def keep(self, part: Part, record: Callable[[], None]) -> None:
        """Hand the content to the daemon, compare CIDs, pin, record; a note tells of a pin until it is recorded."""
        try:
            with self._alone(part.cid):
                self._keep(part, record)
        finally:
            part.path.unlink(missing_ok=True)

    def discard(self, part: Part) -> None:
        """Forget a staged part; the daemon never heard of it."""
        part.path.unlink(missing_ok=True)

    def recover(self, is_recorded: Callable[[str], bool]) -> None:
        """Take back the pins of what was under way when the node ended."""
        with self._parts.left_behind() as paths:
            for path in paths:
                with self._alone(path.stem):
                    if path.suffix != NOTE or is_recorded(path.stem):
                        path.unlink()
                    else:
                        self._take_back(path)

    def read(self, cid: str, start: int, end: int) -> Iterator[bytes]:
        """Block by block, each checked."""
        waiting = [(cids.parse(cid), 0)]
        with self._asking() as client:
            while waiting:
                block_cid, at = waiting.pop()
                block = _block(client, block_cid)
                if block_cid.codec == RAW:
                    yield block[max(start - at, 0) : end - at]
                    continue
                below = []
                try:
                    for child in cids.children_of(block):
                        if at < end and at + child.file_bytes > start:
                            below.append((child.cid, at))
                        at += child.file_bytes
                except BadNode as fault:
                    raise ContentDamaged(f"{block_cid}: {fault}") from fault
                waiting.extend(reversed(below))

    def close(self) -> None:
        """Another process may have the folder of parts."""
        self._parts.close()

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """No other thread, of whatever process, pins a content or takes its pin back meanwhile."""
        with open(self._locks / str(zlib.crc32(name.encode()) % LOCKS), "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _asking(self) -> Iterator[ipfshttpclient.Client]:
        """A connection to the daemon; its faults become KeeperUnavailable."""
        try:
            with ipfshttpclient.Client(self._address, timeout=(CONNECT_SECONDS, ANSWER_SECONDS)) as client:
                yield client
        except (exceptions.Error, OSError) as fault:
            raise KeeperUnavailable(f"the IPFS daemon at {self._url}: {fault}") from fault

    def _keep(self, part: Part, record: Callable[[], None]) -> None:
        with self._asking() as client:
            pinned_before = _is_pinned(client, part.cid)
            note = self._parts.folder / f"{part.cid}{NOTE}"
            if not pinned_before:
                note.touch()
            try:
                with open(part.path, "rb") as file:
                    found = _add(client, file)
                if found != part.cid:
                    raise KeeperUnavailable(f"the IPFS daemon at {self._url} gives {found}, want {part.cid}")
                record()
            except BaseException:
                if not pinned_before:
                    self._take_back(note)
                raise
            note.unlink(missing_ok=True)

    def _take_back(self, note: Path) -> None:
        """Unpin what was not recorded; where the daemon can't be asked, the note stays for the next start."""
        try:
            with self._asking() as client:
                with suppress(exceptions.ErrorResponse):  # it was not pinned
                    client.pin.rm(note.stem)
                note.unlink(missing_ok=True)
        except KeeperUnavailable as fault:
            log.warning("%s is perhaps still pinned, the next start looks again: %s", note.stem, fault)


class _Nameless:
    """An open file without a name, which ipfshttpclient would tell the daemon with its whole path."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


def _add(client: ipfshttpclient.Client, file: BinaryIO) -> str:
    """Add and pin a file, with everything said that shapes its CID."""
    with _understood():
        answer: Any = client.add(
            _Nameless(file),
            pin=True,
            trickle=False,
            raw_leaves=True,
            cid_version=1,
            chunker=f"size-{CHUNK_BYTES}",
            opts={"cid-base": "base32", "hash": "sha2-256", "max-file-links": str(LINKS_MAX), "progress": "false"},
            timeout=(CONNECT_SECONDS, ADD_SECONDS),
        )
        return str(answer["Hash"])


@contextmanager
def _understood() -> Iterator[None]:
    """ipfshttpclient trusts the shape of answers; one of another shape shows as one of these."""
    try:
        yield
    except (AssertionError, LookupError, TypeError) as fault:
        raise KeeperUnavailable(f"the IPFS daemon gave an answer that can't be read: {fault!r}") from fault


def _is_pinned(client: ipfshttpclient.Client, cid: str) -> bool:
    # Daemons name the pins in a base of their own choice; asked for one, they name one or refuse.
    try:
        with _understood():
            return bool(client.pin.ls(cid, type="recursive")["Keys"])
    except exceptions.ErrorResponse:
        return False


def _block(client: ipfshttpclient.Client, cid: Cid) -> bytes:
    """One block, checked; the daemon is told not to look for it for longer than the node waits."""
    limit = CHUNK_BYTES if cid.codec == RAW else NODE_BYTES_MAX
    block = bytearray()
    with client.block.get(str(cid), opts={"timeout": f"{ANSWER_SECONDS}s"}, stream=True) as pieces:
        for piece in pieces:
            block += piece
            if len(block) > limit:
                raise ContentDamaged(f"{cid}: a block of more than {limit} bytes")
    if hashlib.sha256(block).digest() != cid.digest:
        raise ContentDamaged(f"{cid}: the daemon gave another block")
    return bytes(block)


def multiaddress(url: str) -> str:
    """The address of a URL ``http(s)://HOST:PORT`` as ipfshttpclient wants it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        kind = f"ip{ipaddress.ip_address(host).version}"
    except ValueError:
        kind = "dns"
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"/{kind}/{host}/tcp/{port}/{parts.scheme}"
