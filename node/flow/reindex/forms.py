"""Step 5: forms from exports and from published blocks. Every one is held against the digest that the chain has."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import orjson

from node.domain import cid as cids
from node.domain.cid import RAW, Cid
from node.domain.form import FORM_BYTES_MAX, NO_SALT, SALT_BYTES, form_digest
from node.errors import SetupError
from node.files.gateway import Gateway
from node.files.keeper import ContentDamaged, ContentMissing, FileKeeper, KeeperUnavailable
from node.store import published
from node.store.db import Store
from node.store.rebuild import KnownForm, Rebuild

LINE_BYTES_MAX = 1024 * 1024
SILENT_MAX = 3
"""After so many blocks in a row that a source could not be asked for, it is asked no more."""


def export_forms(store: Store, out: TextIO) -> int:
    """Write salt and form of every circ, a line of JSON each; answers how many."""
    total = 0
    try:
        for salt, form, private in published.forms():
            line = {"salt": salt.hex(), "form": form.decode(), **({"private": True} if private else {})}
            out.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
            total += 1
    finally:
        store.close()
    return total


def read_export(path: Path) -> Iterator[KnownForm]:
    """The form of each line that ``export_forms`` wrote; SetupError that names a line which is none."""
    try:
        with open(path, "rb") as file:
            number = 0
            while line := file.readline(LINE_BYTES_MAX):
                number += 1
                yield _line(path, number, line)
    except OSError as fault:
        raise SetupError(f"--forms {path}: {fault.strerror}") from fault


def _line(path: Path, number: int, line: bytes) -> KnownForm:
    private = False
    try:
        value = orjson.loads(line)
        salt, form = bytes.fromhex(value["salt"]), value["form"].encode()
        private = value.get("private") is True
    except (ValueError, KeyError, TypeError, AttributeError):
        salt, form = b"", b""
    if len(salt) != SALT_BYTES or len(form) > FORM_BYTES_MAX:
        want = '{"salt": 32 hex digits, "form": text}'
        raise SetupError(f"--forms {path}: line {number} is no form, want {want}")
    return KnownForm(salt, form, private=private)


class Source:
    """A place where published blocks may be. ``own`` says that it is the node's own store of files."""

    def __init__(self, name: str, read: Callable[[str], Iterator[bytes]], *, own: bool = False) -> None:
        self.name = name
        self.own = own
        self.silent = ""
        self._read = read
        self._failures = 0

    def block(self, cid: Cid) -> bytes | None:
        """The block, if it is there and is what its CID says."""
        if self._failures >= SILENT_MAX:
            return None
        found = b""
        try:
            for piece in self._read(str(cid)):
                found += piece
                if len(found) > SALT_BYTES + FORM_BYTES_MAX:
                    return None
        except (ContentMissing, ContentDamaged):
            found = b""
        except KeeperUnavailable as fault:
            self._failures += 1
            self.silent = str(fault)
            return None
        self._failures = 0
        return found if cids.of_raw(found) == cid else None


def sources(keeper: FileKeeper, gateway: Gateway | None) -> list[Source]:
    """The node's own store of files, and a gateway if one is named."""
    found = [Source("the store of files", lambda cid: keeper.read(cid, 0, cids.CHUNK_BYTES), own=True)]
    if gateway is not None:
        found.append(Source("--files", gateway.read))
    return found


def attach(new: Rebuild, places: list[Source], tell: Callable[[int], None]) -> int:
    """Look for the missing forms; answers how many stay missing."""
    missing = 0
    for done, (circ_id, digest) in enumerate(new.circs.formless(), 1):
        block = None
        for place in places:
            block = place.block(Cid(RAW, digest))
            if block is not None and place.own:
                new.circs.note_kept(digest, len(block))
            if block is not None:
                break
        if block is None:
            missing += 1
        else:
            salt, form = block[:SALT_BYTES], block[SALT_BYTES:]
            if salt == NO_SALT or form_digest(salt, form) != digest:
                raise AssertionError(f"circ {circ_id}: a block with the CID of its digest does not give it")
            new.circs.set_form(circ_id, salt, form)
        tell(done)
    return missing
