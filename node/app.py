"""The node, put together. This module alone sees every room of the house."""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from node import config as configuration
from node.api import openapi
from node.api.auth import Tokens
from node.api.circs import Circs
from node.api.custody import Custody
from node.api.dispatch import all_rpcs
from node.api.files import FilesServicer
from node.api.http import HttpApi
from node.api.models import Models
from node.api.orgs import Orgs
from node.api.products import ProductsServicer
from node.api.server import Server
from node.api.users import Users
from node.chain import signer
from node.chain.embedded import EmbeddedChain, LedgerError
from node.chain.rpc import Chain
from node.chain.transport import ChainUnavailable, HttpRpc, JsonRpc
from node.chain.web3signer import Web3Signer
from node.chain.websocket import WebSocketRpc
from node.clock import Clock, now_micros
from node.config import EMBEDDED, Config
from node.errors import SetupError, SignerUnavailable
from node.files.embedded import EmbeddedFiles
from node.files.gateway import Gateway
from node.files.keeper import FileKeeper
from node.files.kubo import KuboFiles
from node.flow import reindex
from node.flow.accounts import Accounts
from node.flow.actors import Actors
from node.flow.bump import Bumper
from node.flow.confirm import Confirmer
from node.flow.files import Files
from node.flow.goods import Products
from node.flow.lanes import Lanes, open_lanes, open_remote_lanes
from node.flow.ledger import Ledger, open_ledger
from node.flow.nudge import Nudger
from node.flow.once import Once
from node.flow.people import People
from node.flow.publish import Publisher
from node.flow.query import Query
from node.flow.recognise import Recognition
from node.flow.record import Recorder
from node.flow.reindex import Reindex
from node.flow.state import TROUBLE
from node.flow.submit import Sender
from node.flow.wallets import Wallets
from node.flow.worker import Worker
from node.models.catalogue import SHIPPED, Catalogue
from node.page.parts import Place
from node.page.rpc import RpcEndpoint
from node.page.site import RPC_PATH, Site
from node.page.times import BlockTimes
from node.page.trace import TraceEndpoint
from node.store import keys, progress
from node.store import people as users
from node.store.db import Store
from node.store.seal import Seal, master_key

CHAIN_WAIT_SECONDS = 60
IDLE_SECONDS_EMBEDDED = 1.0
IDLE_SECONDS_OTHER = 0.5
IDLE_SECONDS_NUDGER = 1.0
IDLE_SECONDS_PUBLISHER = 1.0
PUBLISHER = "publisher"
GRACE_SECONDS = 10
CLAIM_TRIES = 5
CLAIM_PAUSE_SECONDS = 0.05

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ready:
    """What a started node says of itself: addresses as HOST:PORT, the chain and the contract."""

    grpc: str
    http: str
    chain_id: int
    contract: str


def open_store(config: Config) -> tuple[Store, Seal]:
    """The index and the master key of a data directory, made at first need by one process at a time."""
    with _lock_file(config, "setup.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        seal = Seal(master_key(config.master_key_path, make=config.master_key is None))
        return Store(config.index_path), seal


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
    if not config.index_path.is_file():
        raise SetupError(f"--data-dir {config.data_dir}: no node has its data there")
    return Store(config.index_path)


@contextmanager
def reindexing(
    config: Config, contract: str | None, exports: Sequence[Path], gateway: str | None, tell: reindex.Tell
) -> Iterator[Reindex]:
    """What rebuilds the index of a data directory, on which no node must run meanwhile."""
    configuration.check(config)
    if not config.data_dir.is_dir():
        raise SetupError(f"--data-dir {config.data_dir}: no node has its data there")
    with ExitStack() as opened:
        opened.enter_context(_claim_directory(config))
        # Other commands wait here, instead of changing an index that is about to be replaced.
        fcntl.flock(opened.enter_context(_lock_file(config, "setup.lock")), fcntl.LOCK_EX)
        rpc = _chain_of(config, lambda: EmbeddedChain.existing(config.chain_path))
        opened.callback(rpc.close)
        keeper = open_files(config)
        opened.callback(keeper.close)
        served = None if gateway is None else Gateway(gateway)
        if served is not None:
            opened.callback(served.close)
        given = reindex.Given(
            confirmations=config.depth,
            seal=lambda: Seal(master_key(config.master_key_path, make=config.master_key is None)),
            contract=contract,
            signer_keys=[_key_in(path) for path in config.signer_keys],
            exports=exports,
        )
        yield Reindex(config.index_path, rpc, reindex.sources(keeper, served), given, tell)


def _chain_of(config: Config, embedded: Callable[[], EmbeddedChain]) -> JsonRpc:
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


class Node:
    """A whole node: opened when built, answering after ``start``, gone after ``stop``.

    ``on_fatal`` is told when it can't go on; ``fault`` then says why. ``stopping`` ends the wait for a chain
    that is not there yet, with Stopped.
    """

    def __init__(
        self,
        config: Config,
        on_fatal: Callable[[], None],
        clock: Clock = now_micros,
        stopping: threading.Event | None = None,
    ) -> None:
        configuration.check(config)
        self._config = config
        self._clock = clock
        self._on_fatal = on_fatal
        self.fault: BaseException | None = None
        with ExitStack() as opened:
            opened.enter_context(_claim_directory(config))
            self._store, seal = open_store(config)
            opened.callback(self._store.close)
            self._catalogue = Catalogue([SHIPPED, *([config.models] if config.models else [])])
            opened.callback(self._catalogue.close)
            stopping = stopping or threading.Event()
            lanes = self._open_lanes(seal, opened, stopping)
            self._rpc = _chain_of(config, lambda: EmbeddedChain(config.chain_path, funded=lanes.registrar))
            opened.callback(self._rpc.close)
            chain = Chain(self._rpc)

            def find() -> Ledger:
                backlog_max, fee_max = config.backlog_max, config.fee_max_wei
                return open_ledger(self._store, chain, lanes, clock, backlog_max=backlog_max, fee_max=fee_max)

            self._ledger = _when_reachable("--chain", "the chain", find, stopping)
            self._make_workers(chain)
            if isinstance(self._rpc, WebSocketRpc):
                self._rpc.on_head = self._confirmer.wake
            keeper = open_files(config)
            opened.callback(keeper.close)
            files = Files(self._store, keeper, clock, config.upload_bytes_max)
            files.recover()
            if config.publish_forms:
                publisher = Publisher(self._store, keeper)
                self._workers += (
                    self._worker(PUBLISHER, publisher.step, IDLE_SECONDS_PUBLISHER, on_fatal=_publishing_ended),
                )
            self._server, self._site = self._faces(chain, seal, clock, files)
            self._opened = opened.pop_all()

    def _open_lanes(self, seal: Seal, opened: ExitStack, stopping: threading.Event) -> Lanes:
        config = self._config
        if config.signer is None:
            return open_lanes(self._store, seal, [_key_in(path) for path in config.signer_keys], config.lanes)
        service = Web3Signer(config.signer)
        opened.callback(service.close)
        return open_remote_lanes(
            seal, _when_reachable("--signer", "the signing service", service.keys, stopping), config.lanes
        )

    def _make_workers(self, chain: Chain) -> None:
        idle = IDLE_SECONDS_EMBEDDED if self._config.chain == EMBEDDED else IDLE_SECONDS_OTHER
        bumper = Bumper(self._store, self._ledger, self._config.fee_max_wei)
        sender = Sender(self._store, chain, self._ledger, bumper)
        sender.resume()

        def send() -> bool:
            before = sender.sent
            again = sender.step()
            if sender.sent != before:
                self._confirmer.wake()
            return again

        confirmer = Confirmer(
            self._store,
            chain,
            self._ledger,
            confirmations=self._config.depth,
            resend=lambda: self._sender.wake(),
        )
        nudger = Nudger(
            self._store,
            chain,
            self._ledger,
            bumper,
            bump_seconds=self._config.bump_after,
            fee_max=self._config.fee_max_wei,
            resend=lambda: self._sender.wake(),
        )
        self._sender = self._worker("sender", send, idle)
        self._confirmer = self._worker("confirmer", confirmer.step, idle)
        self._workers: tuple[Worker, ...] = (
            self._sender,
            self._confirmer,
            self._worker("nudger", nudger.step, IDLE_SECONDS_NUDGER),
        )
        with self._store.write():  # what kept an earlier run from going on
            names = (*(worker.name for worker in self._workers), PUBLISHER)
            progress.note(self._clock(), **{f"{TROUBLE}{name}": "" for name in names})

    def _worker(
        self,
        name: str,
        step: Callable[[], bool],
        idle_seconds: float,
        on_fatal: Callable[[BaseException], None] | None = None,
    ) -> Worker:
        def tell(trouble: str) -> None:
            with self._store.write():
                progress.note(self._clock(), **{f"{TROUBLE}{name}": trouble})
                if trouble:
                    progress.note(self._clock(), last_error=f"{name}: {trouble}")

        return Worker(
            name,
            step,
            idle_seconds=idle_seconds,
            on_fatal=on_fatal or self._fail,
            at_end=self._store.close_thread,
            tell=tell,
        )

    def _faces(self, chain: Chain, seal: Seal, clock: Clock, files: Files) -> tuple[Server, Site]:
        submitted = self._sender.wake
        actors = Actors(self._ledger, seal)
        self.people = people = People(self._store, seal, clock, role_changed=actors.keep_in_step, submitted=submitted)
        self.recorder = recorder = Recorder(self._store, self._ledger, actors, clock, submitted)
        products = Products(self._store, recorder, clock, submitted)
        query = Query(self._store, chain, self._ledger)
        wallets = Wallets(chain, self._ledger.contract)
        with self._store.write():
            seed = keys.own_key(seal, "token", Tokens.new_seed)
        tokens = Tokens(seed, users.user, clock)
        servicers = (
            Users(people, tokens),
            Orgs(people),
            ProductsServicer(products, query, wallets),
            Circs(recorder, query, wallets),
            Custody(Accounts(self._store, self._ledger, actors, recorder, products, wallets, submitted)),
            Models(Recognition(self._store, self._catalogue, clock)),
            FilesServicer(files, self._public_url),
        )
        is_embedded = self._config.chain == EMBEDDED
        endpoint = RpcEndpoint(self._rpc, self._ledger.contract) if is_embedded else None
        offered = self._config.public_rpc or (RPC_PATH if is_embedded else "")
        trace = TraceEndpoint(query, BlockTimes(chain), Place(self._ledger.chain_id, self._ledger.contract, offered))
        once = Once(self._store, seal, clock, submitted)
        rpcs = all_rpcs(servicers, tokens, once)
        server = Server(self._config.grpc, rpcs)
        self._http_api = HttpApi(rpcs, openapi.document(rpcs))
        try:
            return server, Site(self._config.http, endpoint, files, trace, self._http_api)
        except SetupError:
            server.stop(0)
            raise

    def _public_url(self) -> str:
        given = self._config.public_url
        return given.rstrip("/") if given else f"http://{_with_port(self._config.http, self._site.port)}"

    def start(self) -> Ready:
        """Start anchoring and answering."""
        self._catalogue.start()
        for worker in self._workers:
            worker.start()
        self._site.start()
        self._server.start()
        return Ready(
            grpc=_with_port(self._config.grpc, self._server.port),
            http=_with_port(self._config.http, self._site.port),
            chain_id=self._ledger.chain_id,
            contract=self._ledger.contract,
        )

    def stop(self) -> None:
        """Let calls under way end, stop anchoring between two steps, and close everything."""
        self._server.stop(GRACE_SECONDS)
        self._site.stop()
        self._http_api.stop(GRACE_SECONDS)
        for worker in self._workers:
            if not worker.stop(GRACE_SECONDS):
                log.warning("a worker did not end in time; what it had to do is done at the next start")
        self._opened.close()

    def _fail(self, fault: BaseException) -> None:
        log.critical("the node can't go on: %s", fault, exc_info=fault)
        self.fault = fault
        self._on_fatal()


def _publishing_ended(fault: BaseException) -> None:
    """Recording must not end with it."""
    log.critical("no more forms are published until the next start: %s", fault, exc_info=fault)


def _claim_directory(config: Config) -> IO[str]:
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


def _key_in(path: Path) -> bytes:
    """A signer's key from --signer-key: 64 hex digits in a file."""
    try:
        key = bytes.fromhex(path.read_text().strip().removeprefix("0x"))
        signer.address_of(key)
    except OSError as fault:
        raise SetupError(f"--signer-key {path}: {fault.strerror}") from fault
    except ValueError:
        raise SetupError(f"--signer-key {path}: want the 64 hex digits of a private key") from None
    return key


def _when_reachable(option: str, what: str, find: Callable[[], T], stopping: threading.Event) -> T:
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


def _with_port(address: str, port: int) -> str:
    return f"{address.rpartition(':')[0]}:{port}"
