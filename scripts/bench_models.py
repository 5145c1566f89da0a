"""Measures Predict on a node that is held to one core: python -m scripts.bench_models.

Two rates for each shipped model: what four callers got answered a second, and what the node's own CPU time would
allow on one whole core. The second stands still when the machine is busy with other things.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path

from scripts import train_models
from tests.models.test_shipped import written
from tests.support import people
from tests.support.node import RunningNode, eventually, running
from tests.support.people import Person
from tests.support.wire_client import Refusal, WireClient

CALLS = 4_000
CALLERS = 4


def _cpu_seconds(node: RunningNode) -> float:
    fields = Path(f"/proc/{node.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _measure(node: RunningNode, examiner: Person, name: str) -> None:
    rows = [written(name, row) for row in train_models.held_out(name).x]
    refused = [0] * CALLERS

    def call(caller: int) -> None:
        client = WireClient(node.ready["grpc"], examiner.client.token)
        for number in range(caller, CALLS, CALLERS):
            try:
                client.call("Predict", model_name=name, data=rows[number % len(rows)])
            except Refusal as refusal:
                if refusal.reason != "PREDICT_RESULT_UNAVAILABLE":
                    raise
                refused[caller] += 1
        client.close()

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(CALLERS)]
    began, cpu = time.perf_counter(), _cpu_seconds(node)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, cpu = time.perf_counter() - began, _cpu_seconds(node) - cpu
    print(
        f"{name:20} {CALLS / seconds:7,.0f} a second answered, {CALLS / cpu:7,.0f} a second of the node's CPU time; "
        f"{sum(refused)} of {CALLS} refused as they should be"
    )


def main() -> None:
    """Measure and print."""
    with (
        tempfile.TemporaryDirectory(prefix="vtrace-bench-") as home,
        running(Path(home) / "data", "--rate-factor", "0") as node,
    ):
        cores = sorted(os.sched_getaffinity(0))
        for task in Path(f"/proc/{node.process.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores[-1:])
        examiner = people.examiner(node)
        eventually(lambda: all(one.state.value == "ready" for one in examiner.call("ListModels").models))
        for recipe in train_models.RECIPES:
            _measure(node, examiner, recipe.name)


if __name__ == "__main__":
    main()
