"""What operators' tools see of a running node, put together: figures, health, readiness, traces, lines for calls."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.api.http import HttpApi
from node.api.observe import Calls
from node.api.server import Server
from node.api.services import SERVICES
from node.clock import Clock
from node.config import Config
from node.errors import IndexUnavailable
from node.flow.figures import fees_figure, index_figures
from node.flow.ledger import Ledger
from node.flow.readiness import Readiness, Watchman
from node.flow.watch import Watches
from node.measures import HISTOGRAM, Figure, Histogram, gauge
from node.page.operation import Operation, OperationSite
from node.page.site import Site
from node.store import outbox
from node.store.db import Store
from node.telemetry import logs
from node.telemetry.exposition import Exposition
from node.telemetry.process import process_figures
from node.telemetry.siblings import Siblings

if TYPE_CHECKING:
    from node.telemetry.traces import Traces

MODELS = "vtrace.v1.Models"
"""What the health service calls recognition, which is a part of VTraceInterface and has a runtime of its own."""
FIGURES = "figures"


@dataclass(frozen=True, slots=True)
class Faces:
    """What answers callers."""

    server: Server
    site: Site
    http_api: HttpApi


class Operating:
    """One process's part. ``worker`` is its number among ``several`` of one data directory on this machine.

    ``operation`` goes to the site; ``watch`` then begins once there are ``faces``.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        ledger: Ledger,
        clock: Clock,
        *,
        calls: Calls,
        watches: Watches,
        models_run: Callable[[], bool],
        worker: str = "1",
        several: bool = False,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._backlog_max = config.backlog_max
        self._calls = calls
        self._watches = watches
        self._models_run = models_run
        self._faces: Faces | None = None
        self.watchman = Watchman(store, ledger, clock, self._tell)
        self.traces = self._tracing(config.traces, worker)
        told = [logs.tell_call] if config.log_format == logs.JSON else []
        calls.told = (*told, *([self.traces.tell_call] if self.traces else []))
        with ExitStack() as opened:
            self._siblings = Siblings(config.data_dir / FIGURES, worker, self._own) if several else None
            if self._siblings is not None:
                opened.callback(self._siblings.stop)
            others = self._siblings.others if self._siblings is not None else dict
            exposition = Exposition(worker, self._own, self._shared, others)
            is_alone = config.metrics is not None or config.trusted_proxies > 0
            self.operation = Operation(exposition.text, self.watchman.now, is_alone=is_alone)
            self._site = None
            if config.metrics is not None:
                self._site = OperationSite(config.metrics, self.operation, shared=several)
                opened.callback(self._site.stop)
            self._opened = opened.pop_all()

    @property
    def metrics_port(self) -> int | None:
        """Where figures are, if they have an address of their own."""
        return None if self._site is None else self._site.port

    def start(self, faces: Faces) -> None:
        """Look for the first time, and tell from now on."""
        self._faces = faces
        self.watchman.step()
        for each in (self._siblings, self._site):
            if each is not None:
                each.start()

    def stop(self) -> None:
        """Tell nobody any more."""
        if self.traces is not None:
            self.traces.stop()
        self._opened.close()

    def _tracing(self, endpoint: str | None, worker: str) -> Traces | None:
        if endpoint is None:
            return None
        from node.telemetry.traces import Known, Traces  # 20 MB that most nodes need not have

        def look(trans_ids: Collection[str]) -> dict[str, Known]:
            with self._store.read():
                known = outbox.known_by(trans_ids)
            return {trans_id: Known(state.value, hashes[0]) for trans_id, (state, hashes) in known.items()}

        return Traces(endpoint, worker, look, IndexUnavailable)

    def _tell(self, found: Readiness) -> None:
        if self._faces is not None:
            serving = dict.fromkeys(("", *(service.full_name for service in SERVICES)), found.is_serving)
            self._faces.server.show({**serving, MODELS: found.is_serving and self._models_run()})

    def _shared(self) -> Sequence[Figure]:
        return index_figures(self._store, self._clock, self._backlog_max)

    def _own(self) -> Sequence[Figure]:
        found = self.watchman.now()
        figures = [
            *self._calls.figures(),
            _spread("vtrace_group_commit_size", "Pieces of work in one commit of the index.", self._store.group_sizes),
            _spread("vtrace_commit_seconds", "How long callers waited for a commit.", self._store.commits),
            fees_figure(self._ledger.spending.spent()),
            gauge("vtrace_watches", "Open streams of changes.", self._watches.total),
            gauge("vtrace_ready", "Whether the process can do all its work.", found.is_ready),
            *process_figures(),
            *(self.traces.figures() if self.traces else []),
        ]
        waits = {"index": self._store.write_waits}
        if self._store.connection_waits is not None:
            waits["connections"] = self._store.connection_waits
        if self._faces is not None:
            figures += self._faces.site.observed.figures()
            waits |= {"rpc": self._faces.server.waits, "http": self._faces.http_api.waits}
        values = tuple(({"pool": pool}, each.now()) for pool, each in waits.items())
        return [*figures, Figure("vtrace_pool_wait_seconds", "Waits for a place to work.", HISTOGRAM, values)]


def _spread(name: str, help_: str, measured: Histogram) -> Figure:
    return Figure(name, help_, HISTOGRAM, (({}, measured.now()),))
