"""Fuzzes a node of its own and says what came of it."""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from scripts.fuzzing import alone, calls, frames, pages
from scripts.fuzzing.cast import Cast, gathered
from scripts.fuzzing.tally import INSIDE, SILENT, Tally
from scripts.fuzzing.watch import Watch
from tests.support.node import RunningNode

TASK_REQUESTS = 2_000
SHARES = {"alone": 0.015, "calls": 0.2, "bytes": 0.38, "frames": 0.01, "http": 0.395}
"""What part of the requests is sent how."""
WARM_UP = 0.2
"""The part of the requests after which the node has made all that it keeps."""
GROWTH_BYTES_MAX = 48 * 1024 * 1024
GROWTH_MAX = 0.15
ENVIRONMENT = {"VTRACE_RATE_FACTOR": "0"}
"""Limits of how often somebody may call would be all that is met."""


@dataclass(frozen=True)
class Task:
    """Requests that follow from a seed, however many others are under way. As text: KIND/NUMBER."""

    kind: str
    number: int
    requests: int

    def __str__(self) -> str:
        return f"{self.kind}/{self.number}"

    def seed(self, seed: int) -> int:
        return seed * 1_000_000 + list(SHARES).index(self.kind) * 100_000 + self.number


@dataclass(frozen=True)
class Outcome:
    """What a run found. ``memory`` is the node's, in bytes, when it was warm and at the end."""

    tally: Tally
    crashes: int
    tracebacks: tuple[str, ...]
    memory: tuple[int, int]
    seconds: float

    @property
    def grew(self) -> bool:
        warm, last = self.memory
        return last - warm > max(GROWTH_BYTES_MAX, int(GROWTH_MAX * warm))

    @property
    def inside(self) -> int:
        """Internal errors: what callers were told of, and what the log has."""
        return max(self.tally.count(INSIDE), len(self.tracebacks))

    @property
    def fine(self) -> bool:
        found = (self.crashes, self.inside, self.tally.count(SILENT), self.tally.changes, self.grew)
        return not any(found)

    def line(self, seed: int) -> str:
        """The one line."""
        warm, last = self.memory
        total = self.tally.count()
        return (
            f"fuzz: {total:,} requests, seed {seed}, {self.seconds:.0f} s, {total / self.seconds:.0f}/s, "
            f"crashes {self.crashes}, internal errors {self.inside}, unanswered {self.tally.count(SILENT)}, "
            f"changes by refused calls {len(self.tally.changes)}, "
            f"memory {warm / 2**20:.0f} to {last / 2**20:.0f} MiB ({'grows' if self.grew else 'flat'})"
        )


def tasks(requests: int) -> list[Task]:
    """The tasks that so many requests make, kinds in turn; those of one caller alone come first."""
    found = []
    for kind, share in SHARES.items():
        left, number = max(1, round(requests * share)), 0
        while left > 0:
            found.append(Task(kind, number, min(TASK_REQUESTS, left)))
            left, number = left - TASK_REQUESTS, number + 1
    return sorted(found, key=lambda task: (task.kind != "alone", task.number / SHARES[task.kind]))


def played(cast: Cast, seed: int, task: Task) -> Tally:
    """Send the requests of a task, in a process of its own."""
    tally = Tally()
    own = task.seed(seed)
    if task.kind == "http":
        asyncio.run(pages.send_all(cast.http, pages.requests(cast, own, task.requests), tally, str(task)))
        return tally
    if task.kind == "frames":
        asyncio.run(frames.send_all(cast.grpc, frames.connections(cast, own, task.requests), tally))
        return tally
    make = calls.drawn if task.kind == "calls" else calls.broken
    line = calls.Line(cast.grpc)
    for number, asking in enumerate(make(cast, own, task.requests)):
        line.send(asking, tally, task.kind, f"{task}, request {number}")
    line.close()
    return tally


def run(node: RunningNode, seed: int, planned: list[Task], jobs: int, told: Progress | None = None) -> Outcome:
    """Send all tasks to the node."""
    began = time.monotonic()
    total = sum(task.requests for task in planned)
    tally, sent, warm = Tally(), 0, 0
    bar = told.add_task(f"seed {seed}", total=total) if told else None
    watch = Watch(node)
    cast = gathered(node)

    def advance(done: int) -> None:
        nonlocal sent
        sent += done
        if told and bar is not None:
            told.advance(bar, done)
            if not told.console.is_terminal and sent * 10 // total > (sent - done) * 10 // total:
                told.console.print(f"{sent:,} of {total:,}", highlight=False)

    try:
        for task in (one for one in planned if one.kind == "alone"):
            for done in _alone(cast, watch, seed, task, tally):
                advance(done)
        together = [task for task in planned if task.kind != "alone"]
        cut = round(WARM_UP * len(together))
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            for part in (together[:cut], together[cut:]):
                begun = {pool.submit(played, cast, seed, task): task for task in part}
                for future in as_completed(begun):
                    tally.join(future.result())
                    advance(begun[future].requests)
                    if not watch.is_running():
                        pool.shutdown(wait=True, cancel_futures=True)
                        break
                if not watch.is_running():
                    break
                warm = warm or watch.settled_memory()
        crashes = int(not watch.is_running())
        last = 0 if crashes else watch.settled_memory()
        return Outcome(tally, crashes, tuple(watch.tracebacks()), (warm or last, last), time.monotonic() - began)
    finally:
        watch.close()


def _alone(cast: Cast, watch: Watch, seed: int, task: Task, tally: Tally) -> Iterator[int]:
    line = calls.Line(cast.grpc)
    half = task.requests // 2
    own = task.seed(seed)
    yield from alone.held(line, watch, calls.drawn(cast, own, half), tally, f"{task} drawn")
    yield from alone.held(line, watch, calls.broken(cast, own, task.requests - half), tally, f"{task} broken")
    line.close()


def report(outcome: Outcome, console: Console) -> None:
    """How often each status came, and everything that must not be."""
    table = Table("kind", "status", "requests")
    for (kind, status), count in sorted(outcome.tally.statuses.items(), key=lambda one: (one[0][0], -one[1])):
        table.add_row(kind, status, f"{count:,}")
    console.print(table)
    for told in (*outcome.tally.faults, *outcome.tally.changes, *outcome.tracebacks):
        console.print(told, markup=False, highlight=False, soft_wrap=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000, metavar="N", help="how many (default 200,000)")
    parser.add_argument("--seed", type=int, default=int(time.time()), metavar="N", help="default: another each time")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: cores)")
    parser.add_argument("--task", metavar="KIND/NUMBER", help="only this one, as a report names it")
    options = parser.parse_args(arguments)
    if options.requests < 1 or options.jobs < 1:
        parser.error("--requests and --jobs must be at least 1")
    planned = [task for task in tasks(options.requests) if options.task in (None, str(task))]
    if not planned:
        parser.error(f"--task {options.task}: want one such as calls/0")
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="vtrace-fuzz-") as folder:
        node = RunningNode(Path(folder) / "data", environment=ENVIRONMENT)
        try:
            with Progress(console=console) as progress:
                outcome = run(node, options.seed, planned, options.jobs, progress)
        finally:
            code = node.stop()
    report(outcome, console)
    print(outcome.line(options.seed))
    return 0 if outcome.fine and code == 0 else 1
