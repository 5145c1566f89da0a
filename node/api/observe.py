"""Every call is counted by rpc, with how it ended and how long it took, and told to whoever logs or traces calls."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from node import calling
from node.calling import Calling
from node.errors import VTraceError
from node.measures import COUNTER, HISTOGRAM, SECONDS, Figure, Histogram
from node.request_id import working_for

OK = "OK"
FAILED = "INTERNAL"
TRACE_PARENT = "traceparent"

Told = Callable[[Calling, str, float], None]
"""Is told of a call's end: the call, its gRPC status, and the seconds that it took. It must not raise, nor wait."""


class Counted:
    """The calls of one rpc."""

    def __init__(self) -> None:
        self.seconds = Histogram(SECONDS)
        self._ends: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, status: str, seconds: float) -> None:
        """A call has ended."""
        self.seconds.observe(seconds)
        with self._lock:
            self._ends[status] += 1

    def ends(self) -> Mapping[str, int]:
        """How many calls ended with each status."""
        with self._lock:
            return dict(self._ends)


class Calls:
    """All calls of a process. ``told`` hears of each one's end."""

    def __init__(self, told: Sequence[Told] = ()) -> None:
        self.told = tuple(told)
        self.rpcs: dict[str, Counted] = {}

    def counted(self, rpc: str) -> Counted:
        """Where the calls of an rpc are counted. Names are the protocol's, so there are not many."""
        return self.rpcs.setdefault(rpc, Counted())

    @contextmanager
    def of(
        self, rpc: str, counted: Counted, request_id: str, metadata: Iterable[tuple[str, str | bytes]]
    ) -> Iterator[None]:
        """For the length of a block this thread answers a call; what the block raises is how the call ended."""
        parent = next((value for name, value in metadata if name == TRACE_PARENT), "") if self.told else ""
        begun = Calling(rpc, request_id, time.time_ns(), time.perf_counter(), parent if isinstance(parent, str) else "")
        status = FAILED
        with working_for(request_id), calling.instead(begun):
            try:
                yield
                status = OK
            except VTraceError as fault:
                status = fault.status.value
                raise
            finally:
                seconds = time.perf_counter() - begun.started
                counted.add(status, seconds)
                for told in self.told:
                    told(begun, status, seconds)

    def figures(self) -> list[Figure]:
        """The calls of every rpc that had any."""
        known = [(rpc, counted.ends(), counted.seconds.now()) for rpc, counted in sorted(self.rpcs.items())]
        ends = tuple(
            ({"rpc": rpc, "status": status}, float(count))
            for rpc, by_status, _ in known
            for status, count in sorted(by_status.items())
        )
        seconds = tuple(({"rpc": rpc}, spread) for rpc, _, spread in known if spread.count)
        return [
            Figure("vtrace_rpc_calls_total", "Calls by rpc and gRPC status, over gRPC and HTTP.", COUNTER, ends),
            Figure("vtrace_rpc_seconds", "How long calls took.", HISTOGRAM, seconds),
        ]
