"""The master key of a data directory: from where it comes, whether it is the right one, and another in its place."""

from __future__ import annotations

import logging
import secrets
import stat
from pathlib import Path

from node.clock import now_micros
from node.config import Config, GivenKey, KeyCommand, KeySource
from node.errors import SetupError
from node.store import log as audit_log
from node.store import master_key, sealed, unsealed
from node.store.db import Store
from node.store.seal import KEY_BYTES, Seal

log = logging.getLogger(__name__)


def unlocked(config: Config, store: Store) -> Seal:
    """The seal of a data directory, whose index is then all sealed under it. SetupError for another master key.

    A key is made in the data directory if nothing was sealed yet and none is named.
    """
    known = sealed.check_of(store)
    source = config.master_key_source
    key = load(source, make=config.master_key is None and known is None)
    if isinstance(source, Path):
        key = _settled(source, key, known)
    seal = Seal(key)
    if known is not None and not seal.opens(*known):
        raise SetupError(
            f"{_called(source)}: another master key than the one that this data directory was made with; name that one "
            "(--master-key, --master-key-command)"
        )
    if known is None or known[0] != sealed.CHECK:
        with store.write():
            sealed.remember_check(store, seal)
    unsealed.seal_all(store, seal)
    return seal


def load(source: KeySource, *, make: bool = False) -> bytes:
    """The master key that a source has; made in its file if ``make`` and there is none."""
    match source:
        case KeyCommand(words):
            return master_key.from_command(words)
        case GivenKey(text):
            key = master_key.parsed(text.encode())
            if key is None:
                raise SetupError(f"VTRACE_MASTER_KEY: want {master_key.WANT}, or the path of a file with them")
            return key
    return master_key.from_file(source, make=make)


def change(config: Config, store: Store, old: Seal, new_file: Path | None) -> int:
    """Seal everything of a stopped node under another master key; answers how many values.

    That is the one in ``new_file``, made there if there is none; without it a new one, which takes the place of the
    present key's file. A process that dies in between leaves either key, with an index that it opens: a new one waits
    beside the old one until it is clear which of them the index needs, which the next start sees.
    """
    source = config.master_key_source
    if new_file is None and not isinstance(source, Path):
        raise SetupError(f"{_called(source)} gives the master key: name a file with the new one (--new-key)")
    if new_file is not None:
        key = load(new_file, make=True)
    else:
        assert isinstance(source, Path)
        key = secrets.token_bytes(KEY_BYTES)
        master_key.write(master_key.new_of(source), key)
    new = Seal(key)
    known = sealed.check_of(store)
    if known is not None and new.opens(*known):
        raise SetupError("--new-key: the master key of this data directory is that one already")
    with store.write():
        total = sealed.seal_anew(store, old, new)
        audit_log.note_command(now_micros, "keys change-master", {"values": total})
        unsealed.wipe_later(store)
    if new_file is None:
        assert isinstance(source, Path)
        master_key.put(master_key.new_of(source), source)
    unsealed.wipe(store)
    return total


def warn_of_modes(config: Config) -> None:
    """Say which files of a data directory others can read. Keys that they can read are refused where they are read."""
    index = config.index_path
    for path in (config.data_dir, index, index.with_name(f"{index.name}-wal")):
        if path.exists() and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
            wanted = "700" if path.is_dir() else "600"
            log.warning("%s: mode %04o lets others read it; run chmod %s on it", path, mode, wanted)


def _settled(path: Path, key: bytes, known: tuple[str, bytes] | None) -> bytes:
    """The key that the index needs, where a change of the master key was cut short and left two."""
    waiting = master_key.new_of(path)
    if not waiting.exists():
        return key
    if known is None or Seal(key).opens(*known):
        waiting.unlink()  # the index was not sealed under it
        return key
    new = master_key.from_file(waiting, make=False)
    if not Seal(new).opens(*known):
        return key
    master_key.put(waiting, path)
    return new


def _called(source: KeySource) -> str:
    match source:
        case KeyCommand(words):
            return f"--master-key-command {words[0]}"
        case GivenKey():
            return "VTRACE_MASTER_KEY"
    return f"master key {source}"
