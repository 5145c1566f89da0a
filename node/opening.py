"""What a data directory holds, and the chain that it belongs to, opened: for the node and for commands beside it."""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

from node import config as configuration
from node.chain import signer
from node.chain.transport import ChainUnavailable, HttpRpc, JsonRpc
from node.chain.websocket import WebSocketRpc
from node.claim import claim_directory, lock_file
from node.clock import now_micros
from node.config import EMBEDDED, SQLITE, UNFINISHED_RESTORE, Config
from node.errors import IndexUnavailable, SetupError, SignerUnavailable
from node.files.embedded import EmbeddedFiles
from node.files.keeper import FileKeeper
from node.flow.files import Files
from node.store.db import Store, has_index
from node.store.master_key import refuse_if_shared
from node.store.rebuild import Places, put_in_place
from node.store.seal import Seal
from node.unlocking import load, unlocked

if TYPE_CHECKING:
    from node.flow import reindex
    from node.store.rebuild.elsewhere import Elsewhere

CHAIN_WAIT_SECONDS = 60

T = TypeVar("T")

log = logging.getLogger(__name__)


def open_store(config: Config, *, alone: bool = False, shared: bool = False) -> tuple[Store, Seal]:
    """The index and the master key of a data directory, made at first need by one process at a time.

    ``alone`` for what others must not write beside: they wait until it is done. SetupError if others are open already.
    """
    refuse_half_restored(config)
    with lock_file(config, "setup.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        use = hold_use(config, alone=alone)
        try:
            store = Store(config.index, shared=shared)
        except IndexUnavailable as fault:
            use.close()
            raise SetupError(f"--db: {fault}") from fault
        except BaseException:
            use.close()
            raise
        store.hold(use)
        try:
            if alone:
                store.hold_alone()
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
    use = lock_file(config, "use.lock")
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
        from node.files.kubo import KuboFiles

        return KuboFiles(config.ipfs, config.files_path)
    except OSError as fault:
        raise SetupError(f"{config.files_path}: {fault.strerror}") from fault


@contextmanager
def files_of(config: Config) -> Iterator[Files]:
    """The files of a data directory, for a command beside a running node or without one."""
    with closing(index_of(config)) as store, closing(open_files(config)) as keeper:
        yield Files(store, keeper, now_micros, config.upload_bytes_max)


def index_of(config: Config) -> Store:
    """The index of a data directory, for a command beside a running node or without one."""
    configuration.check(config)
    refuse_half_restored(config)
    if config.db == SQLITE and not config.index_path.is_file():
        raise SetupError(f"--data-dir {config.data_dir}: no node has its data there")
    check_index(config)
    return Store(config.index)


def check_index(config: Config) -> None:
    """Refuse a database without an index, which opening it would make one in. SetupError if it can't be reached."""
    configuration.check(config)
    if config.db == SQLITE:
        return
    try:
        is_there = has_index(config.db)
    except IndexUnavailable as fault:
        raise SetupError(f"--db: {fault}") from fault
    if not is_there:
        raise SetupError("--db: no node keeps its index in that database; name the database of the node")


@contextmanager
def reindexing(
    config: Config,
    contract: str | None,
    exports: Sequence[Path],
    gateway: str | None,
    tell: reindex.Tell,
    *,
    may_drop: bool = True,
) -> Iterator[reindex.Reindex]:
    """What rebuilds the index of a data directory, on which no node must run meanwhile."""
    from node.files.gateway import Gateway
    from node.flow import reindex

    configuration.check(config)
    if not config.data_dir.is_dir():
        raise SetupError(f"--data-dir {config.data_dir}: no node has its data there")
    refuse_half_restored(config)
    with ExitStack() as opened:
        opened.enter_context(claim_directory(config))
        # Other commands wait here, instead of changing an index that is about to be replaced.
        fcntl.flock(opened.enter_context(lock_file(config, "setup.lock")), fcntl.LOCK_EX)
        rpc = chain_of(config, funded=None)
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
        index, put = config.index_path, put_in_place
        if config.db != SQLITE:
            elsewhere = opened.enter_context(closing(_elsewhere(config)))
            opened.callback(index.unlink, missing_ok=True)
            elsewhere.bring(index)
            put = elsewhere.put
        yield reindex.Reindex(index, rpc, reindex.sources(keeper, served), given, tell, put=put)


def _elsewhere(config: Config) -> Elsewhere:
    from node.store.rebuild.elsewhere import Elsewhere  # its driver takes memory and a while to load

    try:
        return Elsewhere(config.db)
    except IndexUnavailable as fault:
        raise SetupError(f"--db: {fault}") from fault


def copies_of(config: Config) -> list[Path]:
    """Indexes of before, which a data directory may still have beside its own."""
    before = Places(config.index_path).before
    return [path for path in (before, before.with_name(f"{before.name}-wal")) if path.exists()]


def chain_of(config: Config, *, funded: str | None) -> JsonRpc:
    """The chain that --chain names; an embedded one that is not there yet is made for ``funded``, if given."""
    if config.chain == EMBEDDED:
        # An EVM is a large part of a node's memory.
        from node.chain.embedded import EmbeddedChain, LedgerError

        try:
            if funded is None:
                return EmbeddedChain.existing(config.chain_path)
            return EmbeddedChain(config.chain_path, funded=funded)
        except LedgerError as fault:
            raise SetupError(str(fault)) from fault
    try:
        return WebSocketRpc(config.chain) if config.chain.startswith(("ws:", "wss:")) else HttpRpc(config.chain)
    except ValueError as fault:
        raise SetupError(f"--chain: {fault}") from fault


class Stopped(Exception):
    """The node was asked to stop before it was ready."""


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
        except (ChainUnavailable, IndexUnavailable, SignerUnavailable) as fault:
            if time.monotonic() + pause > deadline:
                raise SetupError(f"{option}: no answer within {CHAIN_WAIT_SECONDS} s: {fault}") from fault
            if not told:
                log.warning("waiting up to %d s for %s: %s", CHAIN_WAIT_SECONDS, what, fault)
                told = True
            if stopping.wait(pause):
                raise Stopped from fault
            pause = min(pause * 2, 5.0)
