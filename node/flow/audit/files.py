"""Step 13: the files that circs name. Each is fetched once, and its bytes must give its CID."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from node.domain import cid as cids
from node.domain.cid import CHUNK_BYTES, RAW, ChunkDigests
from node.domain.files import named_in
from node.domain.model import CircStatus
from node.files.keeper import ContentMissing, KeeperUnavailable
from node.flow.audit.findings import Difference, What, short
from node.flow.audit.shown import AuditImpossible, ShownGoods

FILE_BYTES_MAX = 16 * 1024**3


class FileSource(Protocol):
    """Where an auditor gets files from: the node, or anybody; their bytes are checked, so nobody is trusted."""

    def read(self, cid: str) -> Iterator[bytes]:
        """The bytes of a file, in pieces. ContentMissing: they can't be had; KeeperUnavailable: nobody answers."""


class FileCheck:
    """Checks files against their CIDs; without a place to fetch them from, only what the node lists."""

    def __init__(self, source: FileSource | None) -> None:
        self._source = source
        self._faults: dict[str, str | None] = {}

    @property
    def named(self) -> int:
        """How many files the circs named so far."""
        return len(self._faults)

    def look_again(self) -> None:
        """Fetch what was wrong once more when it is named again."""
        self._faults = {cid: fault for cid, fault in self._faults.items() if fault is None}

    def differences(self, goods_id: int, shown: ShownGoods) -> Iterator[Difference]:
        """What is wrong with the files of one goods."""
        for circ in shown.circs:
            named = named_in(circ.form)
            name = f"circ {short(circ.trans_id or '')}"
            if circ.files != named:
                detail = f"{name} lists {len(circ.files)} files that are not the {len(named)} that its form names"
                yield Difference(goods_id, What.FILE, detail, 13, circ.trans_id)
            if circ.status == CircStatus.FAILED.value:
                continue
            for cid in named:
                if cid not in self._faults:
                    self._faults[cid] = self._fault(cid)
                if self._faults[cid] is not None:
                    detail = f"{name} names the file {cid}: {self._faults[cid]}"
                    yield Difference(goods_id, What.FILE, detail, 13, circ.trans_id)

    def _fault(self, cid: str) -> str | None:
        if self._source is None:
            return None
        limit = CHUNK_BYTES if cids.parse(cid).codec == RAW else FILE_BYTES_MAX
        try:
            for _ in _checked(self._source, cid, limit):
                pass
        except ContentMissing as fault:
            return f"it can't be had: {fault}"
        except _OtherBytes as fault:
            return str(fault)
        return None


def content(source: FileSource, cid: str, bytes_max: int) -> bytes | None:
    """The bytes of one file, held against its CID; None where they can't be had, are others, or are too many."""
    try:
        cids.parse(cid)
        return b"".join(_checked(source, cid, bytes_max))
    except (ValueError, ContentMissing, _OtherBytes):
        return None


class _OtherBytes(Exception):
    """What was fetched is not what the CID names."""


def _checked(source: FileSource, cid: str, bytes_max: int) -> Iterator[bytes]:
    """The pieces of a file. Only behind the last it is known that they are the right ones, else _OtherBytes."""
    digests = ChunkDigests()
    try:
        for piece in source.read(cid):
            digests.update(piece)
            if digests.size > bytes_max:
                raise _OtherBytes(f"it has more than {bytes_max} bytes, which its CID can't have")
            yield piece
    except KeeperUnavailable as fault:
        raise AuditImpossible(f"a file can't be fetched: {fault}. Does --files name where they are?") from fault
    found = str(cids.of_chunks(digests.finish(), digests.size))
    if found != cid:
        raise _OtherBytes(f"its bytes give {found}")
