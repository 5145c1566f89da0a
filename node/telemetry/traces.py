"""Traces of calls, from the rpc to the chain's receipt, sent to a collector over OTLP.

A call's thread only puts the call into a queue. One thread, which calls ``step``, makes the spans afterwards, asks what
became of the call's transactions until they are final, and sends what is done; how often it steps is how exact those
times are. So a collector that is away costs callers nothing: its spans are dropped and counted. A process that is
killed tells no more of what it followed.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from node import __version__
from node.calling import Calling
from node.measures import COUNTER, Figure

ENDED_MAX = 10_000
FOLLOWED_MAX = 10_000
FOLLOW_SECONDS_MAX = 3_600
ASKED_MAX = 500
EXPORTED_MAX = 512
EXPORT_SECONDS_MAX = 5
SPANS_MAX = 10_000
"""How many may wait for a collector that is away; what comes then is dropped."""
PAUSE_SECONDS_FIRST = 1.0
PAUSE_SECONDS_MAX = 60.0
DONE = ("final", "reverted")
BROKEN = ("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED")
"""What is the server's fault, as OpenTelemetry's conventions for rpcs have it."""
PARENT = "traceparent"
SENT, NOT_SENT, TOO_MANY, NOT_FOLLOWED = "sent", "not sent", "too many calls", "too many transactions"


@dataclass(frozen=True, slots=True)
class Known:
    """What the index knows of a transaction: its state (see DONE), and the hash that was mined or is to be."""

    state: str
    tx_hash: str


_PROPAGATOR = TraceContextTextMapPropagator()

Look = Callable[[Collection[str]], Mapping[str, Known]]
"""What is known of transactions, by their trans_ids. It may raise what ``unreadable`` names."""


@dataclass(slots=True)
class _Followed:
    """A transaction on its way, as a part of a trace."""

    trace: Context
    began: int
    known: Known | None = None
    events: list[tuple[str, int]] = field(default_factory=list)


class Traces:
    """``endpoint`` is the URL that spans are posted to. ``worker`` tells apart the processes of one node."""

    def __init__(self, endpoint: str, worker: str, look: Look, unreadable: type[Exception]) -> None:
        self._look = look
        self._unreadable = unreadable
        self._ended: deque[tuple[Calling, str, float]] = deque()
        self._followed: dict[str, _Followed] = {}
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter({SENT: 0, NOT_SENT: 0, TOO_MANY: 0, NOT_FOLLOWED: 0})
        self._pause = self._silent_until = 0.0
        self._exporter = OTLPSpanExporter(endpoint, timeout=EXPORT_SECONDS_MAX)
        self._done = _Done()
        self._ids = _Ids()
        named = {"service.name": "vtrace", "service.version": __version__, "service.instance.id": worker}
        self._provider = TracerProvider(resource=Resource.create(named), id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(self._done)
        self._tracer = self._provider.get_tracer("vtrace", __version__)

    def tell_call(self, call: Calling, status: str, seconds: float) -> None:
        """A call has ended. Does not wait."""
        if len(self._ended) >= ENDED_MAX:
            self._count(TOO_MANY)
        else:
            self._ended.append((call, status, seconds))

    def step(self) -> bool:
        """Make spans of what has ended, look at what is under way, send what is done; whether there is more to do."""
        for _ in range(min(len(self._ended), EXPORTED_MAX)):
            self._call(*self._ended.popleft())
        if time.monotonic() >= self._silent_until:
            self._export()
        self._follow()
        return bool(self._ended)

    def stop(self) -> None:
        """Send what there is, with the transactions under way as they are now."""
        while self._ended:
            self._call(*self._ended.popleft())
        with suppress(self._unreadable):
            self._follow()
        for trans_id in list(self._followed):
            self._receipt(trans_id)
        self._export()
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def figures(self) -> list[Figure]:
        """How many spans were sent, and what was not."""
        with self._lock:
            values = tuple(({"outcome": outcome}, float(count)) for outcome, count in sorted(self._counts.items()))
        return [Figure("vtrace_trace_spans_total", "Spans by whether the collector got them.", COUNTER, values)]

    def _count(self, outcome: str, by: int = 1) -> None:
        with self._lock:
            self._counts[outcome] += by

    def _call(self, call: Calling, status: str, seconds: float) -> None:
        self._ids.wanted = call.request_id
        told = {
            "rpc.system": "grpc",
            "rpc.method": call.rpc,
            "rpc.response.status_code": status,
            "vtrace.request_id": call.request_id,
            "vtrace.user": call.user,
            "vtrace.trans_ids": call.trans_ids,
        }
        span = self._tracer.start_span(
            call.rpc,
            _PROPAGATOR.extract({PARENT: call.trace_parent}) if call.trace_parent else Context(),
            trace.SpanKind.SERVER,
            attributes={name: value for name, value in told.items() if value},
            start_time=call.began,
        )
        if status in BROKEN:
            span.set_status(trace.StatusCode.ERROR)
        inside = trace.set_span_in_context(span, Context())
        ended = call.began + round(seconds * 1e9)
        if call.commit is not None:
            began, committed = call.commit
            self._tracer.start_span("commit", inside, start_time=began).end(committed)
        span.end(ended)
        if span.get_span_context().trace_flags.sampled:
            for trans_id in call.trans_ids:
                if len(self._followed) >= FOLLOWED_MAX:
                    self._count(NOT_FOLLOWED)
                else:
                    self._followed[trans_id] = _Followed(inside, ended)

    def _follow(self) -> None:
        asked = list(islice(self._followed, ASKED_MAX))
        if not asked:
            return
        known, now = self._look(asked), time.time_ns()
        for trans_id in asked:
            followed, found = self._followed.pop(trans_id), known.get(trans_id)
            self._followed[trans_id] = followed  # behind the others, which have their turn next
            if found is not None and (followed.known is None or followed.known.state != found.state):
                followed.events.append((found.state, now))
            followed.known = found or followed.known
            is_done = found is not None and found.state in DONE
            if is_done or now - followed.began > FOLLOW_SECONDS_MAX * 1_000_000_000:
                self._receipt(trans_id)

    def _receipt(self, trans_id: str) -> None:
        """The way of a transaction has an end, or it is not followed any further."""
        followed = self._followed.pop(trans_id)
        span = self._tracer.start_span("receipt", followed.trace, start_time=followed.began)
        span.set_attribute("vtrace.trans_id", trans_id)
        if followed.known is not None:
            span.set_attribute("vtrace.state", followed.known.state)
            span.set_attribute("vtrace.tx_hash", followed.known.tx_hash)
            if followed.known.state == "reverted":
                span.set_status(trace.StatusCode.ERROR)
        for state, at in followed.events:
            span.add_event(state, timestamp=at)
        span.end(followed.events[-1][1] if followed.events else None)

    def _export(self) -> None:
        self._count(NOT_SENT, self._done.dropped())
        while spans := self._done.take(EXPORTED_MAX):
            if self._exporter.export(spans) is not SpanExportResult.SUCCESS:
                self._count(NOT_SENT, len(spans))
                self._pause = min(max(PAUSE_SECONDS_FIRST, self._pause * 2), PAUSE_SECONDS_MAX)
                self._silent_until = time.monotonic() + self._pause
                return
            self._count(SENT, len(spans))
            self._pause = 0.0


class _Done(SpanProcessor):
    """Spans that have ended and were not sent yet. Used on one thread."""

    def __init__(self) -> None:
        self._spans: deque[ReadableSpan] = deque()
        self._dropped = 0

    def on_end(self, span: ReadableSpan) -> None:
        if len(self._spans) < SPANS_MAX:
            self._spans.append(span)
        else:
            self._dropped += 1

    def take(self, most: int) -> Sequence[ReadableSpan]:
        return [self._spans.popleft() for _ in range(min(most, len(self._spans)))]

    def dropped(self) -> int:
        """How many there was no room for, since this was asked last."""
        dropped, self._dropped = self._dropped, 0
        return dropped


class _Ids(RandomIdGenerator):
    """A trace that begins here has the id of the request, so that one leads to the other."""

    wanted = ""

    def generate_trace_id(self) -> int:
        with suppress(ValueError):
            return int(self.wanted.replace("-", ""), 16) or super().generate_trace_id()
        return super().generate_trace_id()
