"""What a data directory holds, and the chain that it belongs to, opened: for the node and for commands beside it."""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TypeVar

from node import config as configuration
from node.chain import signer
from node.chain.embedded import EmbeddedChain, LedgerError
from node.chain.transport import ChainUnavailable, HttpRpc, JsonRpc
from node.chain.websocket import WebSocketRpc
from node.clock import now_micros
from node.config import EMBEDDED, UNFINISHED_RESTORE, Config
from node.errors import SetupError, SignerUnavailable
from node.files.embedded import EmbeddedFiles
from node.files.gateway import Gateway
from node.files.keeper import FileKeeper
from node.files.kubo import KuboFiles
from node.flow import reindex
from node.flow.files import Files
from node.flow.reindex import Reindex
from node.store.db import Store
from node.store.master_key import refuse_if_shared
from node.store.rebuild import Places
from node.store.seal import Seal
from node.unlocking import load, unlocked

CHAIN_WAIT_SECONDS = 60
CLAIM_TRIES = 5
CLAIM_PAUSE_SECONDS = 0.05

T = TypeVar("T")

log = logging.getLogger(__name__)


def open_store(config: Config, *, alone: bool = False) -> tuple[Store, Seal]:
    """The index and the master key of a data directory, made at first need by one process at a time.

    ``alone`` for what others must not write beside: they wait until it is done. SetupError if others are open already.
    """
    refuse_half_restored(config)
    with _lock_file(config, "setup.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        use = hold_use(config, alone=alone)
        try:
            store = Store(config.index_path)
        except BaseException:
            use.close()
            raise
        store.hold(use)
        try:
            return store, unlocked(config, store)
        except BaseException:
            store.close()
            raise


def refuse_half_restored(config: Config) -> None:
    """SetupError for a data directory whose restore was cut short."""
    if (config.data_dir / UNFINISHED_RESTORE).exists():
        raise SetupError(f"--data-dir {config.data_dir}: its restore was cut short; run vtrace restore again")


def hold_use(config: Config, *, alone: bool) -> IO[str]:
    """A lock that all who have the data directory open share, or that one of them has alone."""
    use = _lock_file(config, "use.lock")
    try:
        fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
    except OSError:
        use.close()
        raise SetupError(
            f"--data-dir {config.data_dir}: another command works on it; run this again when that has ended"
        ) from None
    return use


def open_files(config: Config) -> FileKeeper:
    """What keeps the content of files, as --ipfs says."""
    try:
        if config.ipfs == EMBEDDED:
            return EmbeddedFiles(config.files_path)
        return KuboFiles(config.ipfs, config.files_path)
    except OSError as fault:
        raise SetupError(f"{config.files_path}: {fault.strerror}") from fault


def files_of(config: Config) -> Files:
    """The files of a data directory, for a command beside a running node or without one."""
    return Files(index_of(config), open_files(config), now_micros, config.upload_bytes_max)


def index_of(config: Config) -> Store:
    """The index of a data directory, for a command beside a running node or without one."""
    configuration.check(config)
    refuse_half_restored(config)
    if not config.index_path.is_file():
        raise SetupError(f"--data-dir {config.data_dir}: no node has its data there")
    return Store(config.index_path)


@contextmanager
def reindexing(
    config: Config,
    contract: str | None,
    exports: Sequence[Path],
    gateway: str | None,
    tell: reindex.Tell,
    *,
    may_drop: bool = True,
) -> Iterator[Reindex]:
    """What rebuilds the index of a data directory, on which no node must run meanwhile."""
    configuration.check(config)
    if not config.data_dir.is_dir():
        raise SetupError(f"--data-dir {config.data_dir}: no node has its data there")
    refuse_half_restored(config)
    with ExitStack() as opened:
        opened.enter_context(claim_directory(config))
        # Other commands wait here, instead of changing an index that is about to be replaced.
        fcntl.flock(opened.enter_context(_lock_file(config, "setup.lock")), fcntl.LOCK_EX)
        rpc = chain_of(config, lambda: EmbeddedChain.existing(config.chain_path))
        opened.callback(rpc.close)
        keeper = open_files(config)
        opened.callback(keeper.close)
        served = None if gateway is None else Gateway(gateway)
        if served is not None:
            opened.callback(served.close)
        given = reindex.Given(
            confirmations=config.depth,
            seal=lambda: Seal(load(config.master_key_source, make=config.master_key is None)),
            contract=contract,
            signer_keys=[key_in(path) for path in config.signer_keys],
            exports=exports,
            keys_elsewhere=config.signer is not None,
            may_drop=may_drop,
        )
        yield Reindex(config.index_path, rpc, reindex.sources(keeper, served), given, tell)


def copies_of(config: Config) -> list[Path]:
    """Indexes of before, which a data directory may still have beside its own."""
    before = Places(config.index_path).before
    return [path for path in (before, before.with_name(f"{before.name}-wal")) if path.exists()]


def chain_of(config: Config, embedded: Callable[[], EmbeddedChain]) -> JsonRpc:
    """The chain that --chain names."""
    if config.chain == EMBEDDED:
        try:
            return embedded()
        except LedgerError as fault:
            raise SetupError(str(fault)) from fault
    try:
        return WebSocketRpc(config.chain) if config.chain.startswith(("ws:", "wss:")) else HttpRpc(config.chain)
    except ValueError as fault:
        raise SetupError(f"--chain: {fault}") from fault


class Stopped(Exception):
    """The node was asked to stop before it was ready."""


def claim_directory(config: Config) -> IO[str]:
    """Hold the data directory for this process alone, for as long as it lives."""
    lock = _lock_file(config, "lock")
    for left in reversed(range(CLAIM_TRIES)):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            if not left:
                lock.close()
                raise SetupError(
                    f"--data-dir {config.data_dir}: another node runs on it; stop that one or name another directory"
                ) from None
            time.sleep(CLAIM_PAUSE_SECONDS)  # `vtrace status` holds it for a moment to see whether a node does
    return lock


def is_running(config: Config) -> bool:
    """Whether a node has the data directory."""
    with _lock_file(config, "lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


def _lock_file(config: Config, name: str) -> IO[str]:
    try:
        config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return open(config.data_dir / name, "a")
    except OSError as fault:
        raise SetupError(f"--data-dir {config.data_dir}: {fault.strerror}") from fault


def key_in(path: Path) -> bytes:
    """A signer's key from --signer-key: 64 hex digits in a file."""
    try:
        refuse_if_shared(f"--signer-key {path}", path)
        key = bytes.fromhex(path.read_text().strip().removeprefix("0x"))
        signer.address_of(key)
    except OSError as fault:
        raise SetupError(f"--signer-key {path}: {fault.strerror}") from fault
    except ValueError:
        raise SetupError(f"--signer-key {path}: want the 64 hex digits of a private key") from None
    return key


def when_reachable(option: str, what: str, find: Callable[[], T], stopping: threading.Event) -> T:
    """Wait, within a bound, for a chain or a signing service that starts at the same time as the node."""
    deadline, pause, told = time.monotonic() + CHAIN_WAIT_SECONDS, 0.2, False
    while True:
        try:
            return find()
        except (ChainUnavailable, SignerUnavailable) as fault:
            if time.monotonic() + pause > deadline:
                raise SetupError(f"{option}: no answer within {CHAIN_WAIT_SECONDS} s: {fault}") from fault
            if not told:
                log.warning("waiting up to %d s for %s: %s", CHAIN_WAIT_SECONDS, what, fault)
                told = True
            if stopping.wait(pause):
                raise Stopped from fault
            pause = min(pause * 2, 5.0)
