"""Making a data directory from a backup: all of it, or nothing.

What the archive holds is written to a folder inside the data directory, and moved up when the archive was read to its
authenticated end. While that folder is there no node starts: a restore that was cut short is begun anew.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from node.backup.age import Reader, Unreadable
from node.backup.manifest import CHAIN, DUMP, FILES, INDEX, MANIFEST, MANIFEST_BYTES_MAX, MASTER_KEYS, Manifest
from node.config import SQLITE, UNFINISHED_RESTORE, Config
from node.errors import SetupError
from node.store.about import About, about, refuse_newer

PIECE_BYTES = 1024 * 1024
SPARE_BYTES = 64 * PIECE_BYTES
_FILE = re.compile(r"files/([a-z0-9]{2}|parts(-[0-9]{1,4})?)/[a-z0-9]{1,80}(\.chunks)?")
LOCKS = frozenset({"lock", "first.lock", "use.lock", "setup.lock", "backup.lock"})

Tell = Callable[[int, int], None]
"""Hears the bytes that are done, and about how many there are."""


def restore(source: Path, config: Config, passphrase: str, tell: Tell) -> Manifest:
    """Fill the empty, claimed data directory of ``config``, and its database. SetupError leaves them empty."""
    target = config.data_dir
    refuse_used(target)
    if config.db != SQLITE:
        from node.store.dump import refuse_taken  # its driver takes memory and a while to load

        refuse_taken(config.db)
    try:
        with open(source, "rb") as file:
            return _unpack(file, config, passphrase, tell)
    except Unreadable as fault:
        raise SetupError(f"{source}: {fault}; nothing was restored") from fault
    except OSError as fault:
        raise SetupError(f"{fault.filename or source}: {fault.strerror}; nothing was restored") from fault
    except SetupError as fault:
        raise SetupError(f"{source}: {fault}") from fault


def refuse_used(target: Path) -> None:
    """SetupError for a data directory that has more than what a restore left that was cut short."""
    found = {path.name for path in target.iterdir()} - LOCKS
    if found and UNFINISHED_RESTORE not in found:
        raise SetupError(f"--data-dir {target}: has {min(found)} already; name an empty or a new directory")


def _unpack(file: IO[bytes], config: Config, passphrase: str, tell: Tell) -> Manifest:
    target = config.data_dir
    content = Reader(file, passphrase)
    try:
        with tarfile.open(fileobj=content, mode="r|", bufsize=PIECE_BYTES) as archive:
            members = iter(archive)
            manifest = _manifest(archive, members)
            refuse_newer(manifest.schema)
            _refuse_other_kind(manifest, config.db)
            _refuse_without_room(target, manifest.size)
            work = _emptied(target)
            try:
                _take(archive, members, work, lambda done: tell(done, manifest.size))
                while content.read(PIECE_BYTES):
                    pass  # nothing is believed before the last chunk, which is marked as the last
                _check_members(work, manifest)
                _check_index(_index(work, config.db), manifest)
                _move_up(work, target)
            except BaseException:
                shutil.rmtree(work)
                raise
    except tarfile.TarError as fault:
        raise Unreadable(f"not a backup of VTrace: {fault}") from fault
    return manifest


def _manifest(archive: tarfile.TarFile, members: Iterator[tarfile.TarInfo]) -> Manifest:
    first = next(members, None)
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > MANIFEST_BYTES_MAX:
        raise Unreadable(f"not a backup of VTrace: want {MANIFEST} first")
    file = archive.extractfile(first)
    assert file is not None
    try:
        return Manifest.from_json(file.read())
    except ValueError as fault:
        raise Unreadable(f"its {MANIFEST} is not one that this version knows: {fault}") from fault


def _refuse_without_room(target: Path, size: int) -> None:
    free = shutil.disk_usage(target).free
    if free < size + SPARE_BYTES:
        raise SetupError(f"--data-dir {target}: {free} bytes are free, the backup unpacks to {size}")


def _emptied(target: Path) -> Path:
    """The folder to unpack into. It is there before anything else is removed or written."""
    work = target / UNFINISHED_RESTORE
    work.mkdir(mode=0o700, exist_ok=True)
    for left in (*target.iterdir(), *work.iterdir()):
        if left != work and left.name not in LOCKS:
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    return work


def _take(
    archive: tarfile.TarFile, members: Iterator[tarfile.TarInfo], work: Path, tell: Callable[[int], None]
) -> None:
    done = 0
    for member in members:
        if not member.isreg() or not (
            member.name in (INDEX, DUMP, CHAIN, *MASTER_KEYS) or _FILE.fullmatch(member.name)
        ):
            raise Unreadable(f"not a backup of VTrace: it holds {member.name[:100]!r}")
        path = work / member.name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = archive.extractfile(member)
        assert held is not None
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0) as out:
            while piece := held.read(PIECE_BYTES):
                out.write(piece)
                done += len(piece)
                tell(done)


def _refuse_other_kind(manifest: Manifest, db: str) -> None:
    if (manifest.index == DUMP) == (db == SQLITE):
        want = "leave --db away" if manifest.index == INDEX else "name an empty database (--db postgresql://…)"
        raise SetupError(f"its index is {manifest.index}: {want}; nothing was restored")


def _check_members(work: Path, manifest: Manifest) -> None:
    there = {path.name for path in work.iterdir()} - {FILES}
    wanted = {
        manifest.index,
        *([CHAIN] if manifest.has_chain else []),
        *([MASTER_KEYS[0]] if manifest.has_master_key else []),
    }
    if there - {MASTER_KEYS[1]} != wanted:
        raise Unreadable(f"not a whole backup of VTrace: it holds {', '.join(sorted(there))}")


def _index(work: Path, db: str) -> About:
    """What the index says of itself, which by then is in its place if that is a database."""
    if db == SQLITE:
        return about(work / INDEX)
    from node.store.dump import restore_dump

    found = restore_dump(db, work / DUMP)
    (work / DUMP).unlink()
    return found


def _check_index(found: About, manifest: Manifest) -> None:
    if (found.schema, found.chain_id, found.contract) != (manifest.schema, manifest.chain_id, manifest.contract):
        raise Unreadable("not a backup of VTrace: the index is another one than its manifest says")


def _move_up(work: Path, target: Path) -> None:
    os.sync()
    for path in sorted(work.iterdir()):
        path.rename(target / path.name)
    os.sync()
    work.rmdir()
    os.sync()
