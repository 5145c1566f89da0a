"""The node, put together. This module alone sees every room of the house."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from node import config as configuration
from node.api import openapi
from node.api.auth import Tokens
from node.api.certificate import Callers
from node.api.circs import Circs
from node.api.custody import Custody
from node.api.dispatch import Door, all_rpcs
from node.api.epcis_capture import CaptureApi
from node.api.files import FilesServicer
from node.api.http import HttpApi
from node.api.labels import LabelsServicer
from node.api.models import Models
from node.api.observe import Calls
from node.api.orgs import Orgs
from node.api.products import ProductsServicer
from node.api.reader import Reader
from node.api.scans import ScansServicer
from node.api.server import Server
from node.api.users import Users
from node.api.watch import Watching, webhook_body
from node.api.witness import Witness
from node.chain.rpc import Chain
from node.chain.web3signer import Web3Signer
from node.chain.websocket import WebSocketRpc
from node.claim import claim_directory
from node.clock import Clock, now_micros
from node.config import EMBEDDED, SQLITE, Config
from node.domain.epcis.ids import base_of
from node.errors import IndexUnavailable, SetupError
from node.files.keeper import FileKeeper
from node.flow import follow, journal, readiness
from node.flow.accounts import Accounts
from node.flow.actors import Actors
from node.flow.capture import Captures
from node.flow.deliver import Deliveries
from node.flow.duties import EMBEDDED_PACE, NETWORK_PACE, ChainDuties, tell
from node.flow.events import Events
from node.flow.feed import Feed
from node.flow.files import Files
from node.flow.follow import Follower, Who
from node.flow.goods import Products
from node.flow.journal import Journal
from node.flow.labels import Labelling
from node.flow.lanes import Lanes, open_lanes, open_remote_lanes
from node.flow.leading import Leading
from node.flow.ledger import IndexBehind, Ledger, open_ledger
from node.flow.once import Once
from node.flow.people import People
from node.flow.post import Poster
from node.flow.query import Query
from node.flow.rates import Rates
from node.flow.recognise import Recognition
from node.flow.record import Recorder
from node.flow.scans import Scans
from node.flow.state import LEAD, TROUBLE
from node.flow.tallies import SharedTables
from node.flow.token_keys import TokenKeys
from node.flow.wakes import HEAD, SENDER, WEBHOOKS, Pipe
from node.flow.wallets import Wallets
from node.flow.watch import Watches
from node.flow.webhooks import Webhooks
from node.flow.worker import Worker
from node.models.catalogue import SHIPPED, Catalogue
from node.opening import Stopped, chain_of, key_in, open_files, open_store, when_reachable
from node.operation import Faces, Operating
from node.page.codes import CodeEndpoint
from node.page.counting import Visitors
from node.page.digital_link import DigitalLinkEndpoint
from node.page.events import EventsEndpoint
from node.page.link_texts import TEXTS
from node.page.parts import Place
from node.page.rendering import Notices
from node.page.rpc import RpcEndpoint
from node.page.site import RPC_PATH, Site
from node.page.times import BlockTimes
from node.page.trace import TraceEndpoint
from node.store import people as users
from node.store import progress, subject
from node.store.db import has_index
from node.store.lead import Fenced, Index
from node.store.seal import Seal
from node.tls import TlsFiles
from node.unlocking import warn_of_modes

IDLE_SECONDS_SCANS = 5.0
IDLE_SECONDS_FEED = 0.2
IDLE_SECONDS_TRACES = 0.25
SCANS, FEED = "scans", "feed"
OPENING = "opening"
OPENING_LOOK_SECONDS = 0.05
GRACE_SECONDS = 10

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ready:
    """What a started node says of itself: addresses as HOST:PORT, the chain and the contract."""

    grpc: str
    http: str
    chain_id: int
    contract: str


@dataclass(frozen=True, slots=True)
class Member:
    """A node's process among several of one machine: its number from 1, and the pipe and tables of all of them."""

    number: int
    pipe: Pipe
    tables: SharedTables


class Node:
    """A whole node: opened when built, answering after ``start``, gone after ``stop``.

    ``on_fatal`` is told when it can't go on; ``fault`` then says why. ``stopping`` ends the wait for a chain
    that is not there yet, with Stopped. As a ``member`` it is one of several on a data directory which another process
    holds for them, and shares its addresses with them.
    """

    def __init__(
        self,
        config: Config,
        on_fatal: Callable[[], None],
        clock: Clock = now_micros,
        stopping: threading.Event | None = None,
        member: Member | None = None,
    ) -> None:
        configuration.check(config)
        self._member = member
        self._tls = _tls(config)
        self._config = config
        self._clock = clock
        self._on_fatal = on_fatal
        self.fault: BaseException | None = None
        stopping = stopping or threading.Event()
        try:
            self._open(config, clock, stopping)
        except IndexBehind as behind:
            if member is not None:
                raise  # who holds the directory sees to it
            from node.catching_up import catch_up

            catch_up(config, behind, stopping)
            self._open(config, clock, stopping)

    def _open(self, config: Config, clock: Clock, stopping: threading.Event) -> None:
        member = self._member
        with ExitStack() as opened, ExitStack() as alone:
            if member is None:
                opened.enter_context(claim_directory(config))
            if config.db != SQLITE:
                when_reachable("--db", "the database", lambda: has_index(config.db), stopping)
            self._store, seal = open_store(config, shared=member is not None)
            opened.callback(self._store.close)
            alone.enter_context(self._opening(stopping))
            if member is None or member.number == 1:
                warn_of_modes(config)
            self._catalogue = Catalogue([SHIPPED, *([config.models] if config.models else [])])
            opened.callback(self._catalogue.close)
            lanes = self._open_lanes(seal, opened, stopping)
            self._rpc = chain_of(config, funded=lanes.registrar)
            opened.callback(self._rpc.close)
            chain = Chain(self._rpc)

            def find() -> Ledger:
                backlog_max, fee_max = config.backlog_max, config.fee_max_wei
                return open_ledger(self._store, chain, lanes, clock, backlog_max=backlog_max, fee_max=fee_max)

            self._ledger = when_reachable("--chain", "the chain", find, stopping)
            keeper = open_files(config)
            opened.callback(keeper.close)
            files = Files(self._store, keeper, clock, config.upload_bytes_max)
            files.recover()
            who = Who.this(member.number if member else 1)
            self.leading = self._lead(chain, keeper, who)
            if isinstance(self._rpc, WebSocketRpc):
                self._rpc.on_head = lambda: self.leading.wake_here(HEAD)
            self._follower = Follower(self._store, self._ledger, who, lambda: self.leading.leads)
            self._workers: tuple[Worker, ...] = ()
            self._is_one_of_several = member is not None or config.db != SQLITE
            if self._is_one_of_several:
                self._workers += (self._worker("follower", self._follower.step, follow.IDLE_SECONDS),)
            self._scans = Scans(self._store, seal, clock)
            self._workers += (self._worker(SCANS, self._scans.step, IDLE_SECONDS_SCANS, on_fatal=_counting_ended),)
            watching = self._watching(seal, clock)
            self._server, self._site = self._faces(chain, seal, clock, files, watching)
            self._opened = opened.pop_all()

    @contextmanager
    def _opening(self, stopping: threading.Event) -> Iterator[None]:
        """Be the only process that opens the node, so that what a first start makes is made once."""
        opening = self._store.lead(OPENING)
        while not opening.take():
            if stopping.wait(OPENING_LOOK_SECONDS):
                raise Stopped
        try:
            yield
        finally:
            opening.give_up()

    def _open_lanes(self, seal: Seal, opened: ExitStack, stopping: threading.Event) -> Lanes:
        config = self._config
        if config.signer is None:
            return open_lanes(self._store, seal, [key_in(path) for path in config.signer_keys], config.lanes)
        service = Web3Signer(config.signer)
        opened.callback(service.close)
        return open_remote_lanes(
            seal, when_reachable("--signer", "the signing service", service.keys, stopping), config.lanes
        )

    def _lead(self, chain: Chain, keeper: FileKeeper, who: Who) -> Leading:
        """What begins as soon as this process leads."""

        def begin() -> ChainDuties:
            fenced = Fenced(self._store, LEAD, self._clock(), str(who))
            return ChainDuties(
                fenced,
                chain,
                self._ledger,
                self._clock,
                EMBEDDED_PACE if self._config.chain == EMBEDDED else NETWORK_PACE,
                self._delivering,
                confirmations=self._config.depth,
                bump_seconds=self._config.bump_after,
                fee_max=self._config.fee_max_wei,
                keeper=keeper if self._config.publish_forms else None,
                on_fatal=self._fail,
            )

        return Leading(
            self._store.lead(LEAD),
            begin,
            pipe=None if self._member is None else self._member.pipe,
            on_fatal=self._fail,
            at_end=self._store.close_thread,
        )

    def _worker(
        self,
        name: str,
        step: Callable[[], bool],
        idle_seconds: float,
        on_fatal: Callable[[BaseException], None] | None = None,
    ) -> Worker:
        """A part of the node that each of its processes has."""
        where = self._of_member(name)
        return Worker(
            name,
            step,
            idle_seconds=idle_seconds,
            on_fatal=on_fatal or self._fail,
            at_end=self._store.close_thread,
            tell=lambda trouble: tell(self._store, self._clock, where, trouble),
        )

    def _of_member(self, name: str) -> str:
        return name if self._member is None else f"{name} of worker {self._member.number}"

    def _watching(self, seal: Seal, clock: Clock) -> Watching:
        is_local = self._config.webhooks_local
        feed = Feed(self._store, clock)
        self._watches = Watches(self._store, feed)

        def delivering(index: Index) -> Deliveries:
            return Deliveries(index, seal, clock, feed, Poster(is_local=is_local), webhook_body)

        self._delivering = delivering
        self._workers += (self._worker(FEED, feed.step, IDLE_SECONDS_FEED, on_fatal=self._feed_ended),)
        webhooks = Webhooks(self._store, seal, clock, feed, lambda: self.leading.wake(WEBHOOKS), is_local=is_local)
        return Watching(self._watches, webhooks)

    def _feed_ended(self, fault: BaseException) -> None:
        """Recording must not end with it, but nobody may wait for what will not come."""
        log.critical("no more changes are told until the next start: %s", fault, exc_info=fault)
        self._watches.stop()

    def _faces(self, chain: Chain, seal: Seal, clock: Clock, files: Files, watching: Watching) -> tuple[Server, Site]:
        def submitted() -> None:
            self.leading.wake(SENDER)

        actors = Actors(self._ledger, seal)
        by_user, by_address, logins = (None,) * 3 if self._member is None else self._member.tables
        self.people = people = People(
            self._store,
            seal,
            clock,
            role_changed=actors.keep_in_step,
            submitted=submitted,
            failed_from=logins,
        )
        with self._store.write():
            for user_id in subject.actors_with_rights_of_the_deleted():
                actors.keep_in_step(users.known(user_id))
        self.recorder = recorder = Recorder(self._store, self._ledger, actors, clock, submitted)
        products = Products(self._store, recorder, clock, submitted)
        query = Query(self._store, chain, self._ledger)
        labelling = Labelling(self._store, products, self._ledger, self._public_url)
        wallets = Wallets(chain, self._ledger.contract)
        self.tokens = tokens = Tokens(TokenKeys(self._store, seal, clock, Tokens.new_seed), users.user, clock)
        servicers = (
            Users(people, tokens),
            Orgs(people),
            ProductsServicer(products, query, wallets),
            LabelsServicer(labelling),
            Circs(recorder, query, wallets),
            Custody(Accounts(self._store, self._ledger, actors, recorder, products, wallets, submitted)),
            Models(Recognition(self._store, self._catalogue, clock)),
            FilesServicer(files, self._public_url),
            ScansServicer(self._scans),
            watching,
        )
        is_embedded = self._config.chain == EMBEDDED
        endpoint = RpcEndpoint(self._rpc, self._ledger.contract) if is_embedded else None
        offered = self._config.public_rpc or (RPC_PATH if is_embedded else "")
        trace = TraceEndpoint(
            query,
            self._scans,
            Visitors(self._config.trusted_proxies, self._config.scan_place_header),
            BlockTimes(chain),
            Place(self._ledger.chain_id, self._ledger.contract, offered),
        )
        base = base_of(self._ledger.chain_id, self._ledger.contract)
        events = Events(self._store, base, clock)
        notices = Notices(trace.assets, TEXTS)
        codes = CodeEndpoint(query, labelling, notices)
        links = DigitalLinkEndpoint(query, labelling, notices)
        proxies = self._config.trusted_proxies
        rates = Rates(clock, self._config.rate_factor, by_user, by_address)
        once = Once(self._store, seal, clock, submitted)
        calls = Calls()
        door = Door(Callers(tokens, users.user_called), rates, proxies, calls)
        self._journal = Journal(self._store, seal, clock)
        witness = Witness(self._journal, tokens)
        self._workers += (self._worker("journal", self._journal.step, journal.IDLE_SECONDS),)
        self.rpcs = rpcs = all_rpcs(servicers, door, once, witness)
        captures = Captures(self._store, recorder, once, clock, submitted)
        self._capture_api = CaptureApi(captures, door, base, witness)
        epcis = EventsEndpoint(events, Reader("events", door, witness).read, self._public_url)
        is_shared = self._member is not None
        server = Server(self._config.grpc, rpcs, self._tls, is_shared=is_shared)
        self._http_api = HttpApi(rpcs, openapi.document(rpcs))
        try:
            self._operating = Operating(
                *(self._config, self._store, self._ledger, clock),
                calls=calls,
                watches=self._watches,
                models_run=self._catalogue.can_run,
                worker=str(self._member.number) if self._member else "1",
                several=is_shared,
            )
            self._workers += (self._worker("watchman", self._operating.watchman.step, readiness.IDLE_SECONDS),)
            if self._operating.traces is not None:
                self._workers += (
                    self._worker("traces", self._operating.traces.step, IDLE_SECONDS_TRACES, on_fatal=_tracing_ended),
                )
            operation = self._operating.operation
            faces = (codes, links, self._http_api, epcis, self._capture_api, rates, operation, proxies, self._tls)
            return server, Site(self._config.http, endpoint, files, trace, *faces, is_shared=is_shared)
        except SetupError:
            server.stop(0)
            raise

    def _public_url(self) -> str:
        if self._config.public_url:
            return self._config.public_url.rstrip("/")
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://{_with_port(self._config.http, self._site.port)}"

    def start(self) -> Ready:
        """Start anchoring and answering."""
        if self._config.models is not None:
            self._catalogue.start()  # who brings models uses them, and wants to know what is wrong with them
        with self._store.write():  # what kept an earlier run from going on
            names = [self._of_member(worker.name) for worker in self._workers]
            progress.note(self._clock(), **{f"{TROUBLE}{name}": "" for name in names})
        self.leading.start()
        for worker in self._workers:
            worker.start()
        self._operating.start(Faces(self._server, self._site, self._http_api))
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
        self._operating.watchman.drain()
        self._watches.stop()
        self._server.stop(GRACE_SECONDS)
        self._site.stop()
        self._http_api.stop(GRACE_SECONDS)
        self._capture_api.stop(GRACE_SECONDS)
        self.leading.stop()
        for worker in self._workers:
            if not worker.stop(GRACE_SECONDS):
                log.warning("a worker did not end in time; what it had to do is done at the next start")
        try:
            self._journal.drain()
        except IndexUnavailable as fault:
            log.error("the audit log lacks the last calls: %s", fault)
        try:
            self._scans.flush()
        except IndexUnavailable as fault:
            log.warning("the scans of the last seconds are lost: %s", fault)
        if self._is_one_of_several:
            try:
                self._follower.end()
            except IndexUnavailable as fault:
                log.warning("vtrace status shows this worker for a while: %s", fault)
        self._operating.stop()
        self._opened.close()

    def _fail(self, fault: BaseException) -> None:
        log.critical("the node can't go on: %s", fault, exc_info=fault)
        self.fault = fault
        self._on_fatal()


def _tls(config: Config) -> TlsFiles | None:
    if config.tls_cert is None or config.tls_key is None:
        return None
    return TlsFiles(config.tls_cert, config.tls_key, config.tls_client_ca)


def _tracing_ended(fault: BaseException) -> None:
    """Recording must not end with it."""
    log.critical("no more traces are sent until the next start: %s", fault, exc_info=fault)


def _counting_ended(fault: BaseException) -> None:
    """Recording must not end with it."""
    log.critical("no more scans are counted until the next start: %s", fault, exc_info=fault)


def _with_port(address: str, port: int) -> str:
    return f"{address.rpartition(':')[0]}:{port}"
