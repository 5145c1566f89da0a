"""The model behind docs/scale.md: how much of each part is in use at the busiest hour as a business grows, and the
queue that an answer waits in, simulated. Pure: all that was measured comes in.
"""

from __future__ import annotations

import heapq
import random
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

SECONDS_A_DAY = 86_400
FULL = 0.7
"""Of what a part can do: above it, waits grow faster than load (docs/scale.md shows it for the answer)."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a business does at growth 1, in a year of 250 days of 8 hours, and how much more in its busiest hour."""

    partners: int = 20
    goods_a_year: float = 1e6
    circs_a_goods: float = 6
    single_share: float = 0.1
    """Of the circs, those that are recorded one by one; the others come about neighbours, ``batch`` at a time."""
    batch: int = 100
    reads_a_goods: float = 2
    """GetCirc by partners' programs."""
    views_a_goods: float = 0.5
    """Pages that consumers open."""
    years_kept: float = 10
    peak: float = 3
    busy_seconds_a_year: float = 250 * 8 * 3_600

    def a_second(self, a_goods: float, growth: float) -> float:
        """At the busiest hour, of what happens so often to each goods."""
        return self.goods_a_year * growth * a_goods * self.peak / self.busy_seconds_a_year

    def circs(self, growth: float) -> float:
        """In all years that are kept."""
        return self.goods_a_year * growth * self.circs_a_goods * self.years_kept


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured: CPU time of the node in milliseconds, gas, bytes, rates a second, all of one process."""

    create_cpu_ms: float
    batch_goods_cpu_ms: float
    read_cpu_ms: float
    view_cpu_ms: float
    single_gas: float
    batch_goods_gas: float
    recorded: float
    """CreateCirc a second that the processes of one index answer, however many they are."""
    row_bytes: float
    """Of the index, for a circ of one goods."""
    audited: float
    reindexed: float


@dataclass(frozen=True, slots=True)
class Chain:
    """What a chain takes: gas a second, and transactions of one signer a second."""

    name: str
    gas_a_second: float
    lane: float


QBFT = Chain("own QBFT network, 1 s, 100 M gas a block", 100e6, 1_000)
PUBLIC = Chain("public network, 12 s, 36 M gas a block, a tenth of it", 36e6 / 12 / 10, 64 / 12)
"""64 is what the usual nodes of that network keep waiting of one account beyond what others may push out."""


@dataclass(frozen=True, slots=True)
class Use:
    """How much of a part is in use: 1 is all of it."""

    part: str
    share: float
    then: str
    """What to add when it is full."""


def uses(costs: Costs, demand: Demand, chain: Chain, growth: float, cores: int) -> list[Use]:
    """Every part at a growth, the fullest first."""
    singles = demand.a_second(demand.circs_a_goods * demand.single_share, growth)
    batched = demand.a_second(demand.circs_a_goods * (1 - demand.single_share), growth)
    reads, views = demand.a_second(demand.reads_a_goods, growth), demand.a_second(demand.views_a_goods, growth)
    recording_ms = singles * costs.create_cpu_ms + batched * costs.batch_goods_cpu_ms
    reading_ms = reads * costs.read_cpu_ms + views * costs.view_cpu_ms
    gas = singles * costs.single_gas + batched * costs.batch_goods_gas
    transactions = singles + batched / demand.batch
    circs = demand.circs(growth)
    nights, days = circs / costs.audited / (8 * 3_600), circs / costs.reindexed / SECONDS_A_DAY
    found = [
        Use("processors, recording", recording_ms / 1_000 / cores, "workers, then machines on one PostgreSQL"),
        Use(
            "processors, reading", reading_ms / 1_000 / cores, "read replicas with nodes of their own; a CDN for pages"
        ),
        Use(
            "commits of one index",
            singles / costs.recorded,
            "BatchCirc; then a node and an index for a part of the serials",
        ),
        Use(
            "gas of the chain",
            gas / chain.gas_a_second,
            "BatchCirc of neighbours; then contracts on chains of their own",
        ),
        Use("transactions of one signer", transactions / chain.lane, "--signers"),
        Use("a full audit in a night of 8 hours", nights, "checkpoints; auditors for parts of the serials"),
        Use("an index rebuilt within a day", days, "backups; an index for a part of the serials"),
        Use("a disk of 2 TB", circs * costs.row_bytes / 2e12, "partitions of the index by serial; old years apart"),
    ]
    return sorted(found, key=lambda use: -use.share)


@dataclass(frozen=True, slots=True)
class Service:
    """How one process answers CreateCirc: ``cpu_ms`` of its one processor for a call, then a commit for all that wait,
    which takes ``commit_ms`` by itself (of which the processor is free), and ``each_ms`` of the processor a call."""

    cpu_ms: float
    commit_ms: float
    each_ms: float
    group_max: int = 100


@dataclass(frozen=True, slots=True)
class Waits:
    """From call to answer, in milliseconds."""

    median: float
    p99: float
    rate: float
    """Answers a second."""


def closed(service: Service, callers: int, calls: int) -> Waits:
    """So many callers, each of which calls again when it has its answer."""
    return _run(service, calls, first=[0.0] * callers, again=True)


def opened(service: Service, rate: float, calls: int, seed: int = 1) -> Waits:
    """Calls that come by themselves, at random moments, so many a second."""
    return _run(service, calls, first=list(_moments(rate, calls, seed)), again=False)


def _moments(rate: float, calls: int, seed: int) -> Iterator[float]:
    chance, at = random.Random(seed), 0.0
    for _ in range(calls):
        at += chance.expovariate(rate / 1_000)
        yield at


def _run(service: Service, calls: int, first: list[float], again: bool) -> Waits:
    """Time goes from event to event; the processor takes one piece of work at a time, the commit's first."""
    arrivals = list(first)
    heapq.heapify(arrivals)
    ready: list[float] = []  # moments of arrival of those that wait for a commit
    waits: list[float] = []
    now, commit_ends, committing = 0.0, None, list[float]()
    while len(waits) < calls:
        if commit_ends is not None and commit_ends <= now:
            waits += [now - arrived for arrived in committing]
            if again:
                for _ in committing:
                    heapq.heappush(arrivals, now)
            commit_ends, committing = None, []
        elif commit_ends is None and ready:
            committing, ready = ready[: service.group_max], ready[service.group_max :]
            now += service.each_ms * len(committing)
            commit_ends = now + service.commit_ms
        elif arrivals and arrivals[0] <= now:
            arrived = heapq.heappop(arrivals)
            now += service.cpu_ms
            ready.append(arrived)
        else:
            coming = [moment for moment in (commit_ends, arrivals[0] if arrivals else None) if moment is not None]
            now = max(now, min(coming))
    cut = sorted(waits)
    return Waits(statistics.median(cut), cut[int(0.99 * (len(cut) - 1))], 1_000 * len(cut) / now)
