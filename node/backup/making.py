"""Making a backup, beside the running node: index and chain as they are at one moment, then files.

The chain's view is fixed right after the index's, so it is never behind; every file that the index names is there.
"""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from node import __version__
from node.backup import snapshot
from node.backup.age import Writer
from node.backup.manifest import CHAIN, DUMP, FILES, FORMAT, INDEX, MANIFEST, MASTER_KEYS, Manifest
from node.clock import Clock
from node.config import SQLITE, Config
from node.errors import SetupError
from node.store.about import about
from node.store.master_key import put

if TYPE_CHECKING:
    from node.store.dump import Dump

WORK_FOLDER = "backup.part"
PIECE_BYTES = 1024 * 1024
SYNC_BYTES = 4 * PIECE_BYTES
SPARE_BYTES = 64 * PIECE_BYTES
"""What must stay free on the data directory's disk beside the copy of a database."""
PARTS = "parts"
PLACE_LETTERS = 2

Tell = Callable[[int, int], None]
"""Hears the bytes that are done, and how many there are in all, as far as is known."""


def make(config: Config, target: Path, passphrase: str, clock: Clock, tell: Tell) -> Manifest:
    """Write a backup of a data directory to the new file ``target``: whole, durable and mode 0600, or not at all."""
    if target.exists():
        raise SetupError(f"{target}: is there already; name a new file")
    try:
        with _work_folder(config.data_dir) as work, _written_to(target) as out:
            return _Making(config, work, out, tell).write(passphrase, clock)
    except OSError as fault:
        raise SetupError(f"{fault.filename or target}: {fault.strerror}") from fault


class _Making:
    """One backup under way. A copy of a database stands in ``work`` only until it is in the archive."""

    def __init__(self, config: Config, work: Path, out: IO[bytes], tell: Tell) -> None:
        self._config = config
        self._home = config.files_path
        self._chain = config.chain_path
        self._keys = [path for name in MASTER_KEYS if (path := config.data_dir / name).is_file()]
        self._work = work
        self._out = out
        self._tell = tell
        self._done = self._total = self._synced = 0

    def write(self, passphrase: str, clock: Clock) -> Manifest:
        has_chain = self._chain.is_file()
        with ExitStack() as views:
            index = views.enter_context(closing(self._view()))
            chain = views.enter_context(closing(snapshot.Snapshot(self._chain))) if has_chain else None
            return self._write(index, chain, passphrase, clock)

    def _view(self) -> snapshot.Snapshot | Dump:
        if self._config.db == SQLITE:
            return snapshot.Snapshot(self._config.index_path)
        from node.store.dump import Dump  # its driver takes memory and a while to load

        return Dump(self._config.db)

    def _write(
        self, index: snapshot.Snapshot | Dump, chain: snapshot.Snapshot | None, passphrase: str, clock: Clock
    ) -> Manifest:
        sizes = [index.bytes, *([chain.bytes] if chain is not None else [])]
        self._refuse_without_room(max(sizes) + SPARE_BYTES)
        unpacked = sum(sizes) + sum(path.stat().st_size for path in _placed(self._home))
        self._total = sum(sizes) + unpacked  # a database is read twice: to copy it, and to encrypt the copy
        name = INDEX if isinstance(index, snapshot.Snapshot) else DUMP
        copied = self._copy(index, name)
        known = about(copied) if isinstance(index, snapshot.Snapshot) else index.about
        manifest = Manifest(
            format=FORMAT,
            version=__version__,
            index=name,
            schema=known.schema,
            made_at=clock(),
            chain_id=known.chain_id,
            contract=known.contract,
            has_chain=chain is not None,
            has_master_key=bool(self._keys),
            size=unpacked,
        )
        sealed = Writer(self._out, passphrase)
        with tarfile.open(fileobj=sealed, mode="w|", format=tarfile.GNU_FORMAT, bufsize=PIECE_BYTES) as archive:
            _add_bytes(archive, MANIFEST, manifest.to_json())
            self._add(archive, name, copied)
            copied.unlink()
            if chain is not None:
                copied = self._copy(chain, CHAIN)
                self._add(archive, CHAIN, copied)
                copied.unlink()
            for key in self._keys:
                _add_bytes(archive, key.name, key.read_bytes())
            for path in (*_arriving(self._home), *_placed(self._home)):
                self._add(archive, f"{FILES}/{path.relative_to(self._home)}", path)
        sealed.finish()
        return manifest

    def _refuse_without_room(self, need: int) -> None:
        free = shutil.disk_usage(self._work).free
        if free < need:
            raise SetupError(f"{self._work}: {free} bytes are free, the copy on its way into the backup needs {need}")

    def _copy(self, view: snapshot.Snapshot | Dump, name: str) -> Path:
        target = self._work / name
        if isinstance(view, snapshot.Snapshot):
            view.copy(target, self._advance)
        else:
            view.copy(target, self._advance, snapshot.REST)
        view.close()
        return target

    def _add(self, archive: tarfile.TarFile, name: str, path: Path) -> None:
        try:
            with open(path, "rb", buffering=0) as file:
                archive.addfile(_member(name, os.fstat(file.fileno()).st_size), _Paced(file, self._advance))
        except FileNotFoundError:
            if not path.parent.name.startswith(PARTS):
                raise
            # It has moved to its place, where it is seen later.

    def _advance(self, done: int) -> None:
        self._done += done
        self._total = max(self._total, self._done)
        self._tell(self._done, self._total)
        if self._out.tell() - self._synced >= SYNC_BYTES:
            self._synced = self._out.tell()
            os.fdatasync(self._out.fileno())


class _Paced(io.BytesIO):
    """A file that is read for half of the time at most, and not kept in the machine's cache."""

    def __init__(self, file: io.FileIO, tell: Callable[[int], None]) -> None:
        super().__init__()
        self._file = file
        self._tell = tell
        self._at = 0
        self._began = time.monotonic()

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        if not found and (piece := self._piece()):
            self.seek(0)
            self.truncate()
            self.write(piece)
            self.seek(0)
            found = super().read(size)
        return found

    def _piece(self) -> bytes:
        time.sleep(snapshot.REST * (time.monotonic() - self._began))
        self._began = time.monotonic()
        data = self._file.read(PIECE_BYTES)
        os.posix_fadvise(self._file.fileno(), self._at, len(data), os.POSIX_FADV_DONTNEED)
        self._at += len(data)
        self._tell(len(data))
        return data


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    archive.addfile(_member(name, len(content)), io.BytesIO(content))


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


def _arriving(home: Path) -> Iterator[Path]:
    """Files that the index may know of already, and that stand beside their place for a moment more."""
    for folder in sorted(home.glob(f"{PARTS}*")):
        yield from (path for path in sorted(folder.iterdir()) if path.suffix in ("", ".chunks"))


def _placed(home: Path) -> Iterator[Path]:
    """The files, folder by folder."""
    if home.is_dir():
        for folder in sorted(home.iterdir()):
            if folder.is_dir() and len(folder.name) == PLACE_LETTERS:
                yield from sorted(folder.iterdir())


@contextmanager
def _work_folder(data_dir: Path) -> Iterator[Path]:
    """Where copies stand meanwhile, for one backup at a time; what a killed one left is removed."""
    work = data_dir / WORK_FOLDER
    with open(data_dir / "backup.lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SetupError(f"--data-dir {data_dir}: another backup is being made of it") from None
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
        try:
            yield work
        finally:
            shutil.rmtree(work)


@contextmanager
def _written_to(target: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name when all of it is on the disk, and is gone if that does not come."""
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0) as out:
            yield out
            os.fsync(out.fileno())
        if target.exists():
            raise SetupError(f"{target}: was made by somebody else meanwhile; name a new file")
        put(part, target)
    finally:
        part.unlink(missing_ok=True)
