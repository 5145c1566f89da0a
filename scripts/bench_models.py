"""What scripts/bench models measures: Predict on a node that is held to one core.

Two rates for each shipped model: what four callers got answered a second, and what the node's own CPU time would
allow on one whole core. The second stands still when the machine is busy with other things.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

from scripts import figures, train_models
from scripts.bench_node import cpu_seconds
from scripts.figures import Figure
from tests.models.test_shipped import written
from tests.support import people
from tests.support.node import RunningNode, eventually, running
from tests.support.people import Person
from tests.support.wire_client import Refusal, WireClient

CALLS = 4_000
CALLERS = 4
ANSWERED_MIN = 500


def _measure(node: RunningNode, examiner: Person, name: str) -> list[Figure]:
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
    began, cpu = time.perf_counter(), cpu_seconds(node)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, cpu = time.perf_counter() - began, cpu_seconds(node) - cpu
    return [
        Figure(f"{name}: answered", CALLS / seconds, "/s", at_least=ANSWERED_MIN),
        Figure(f"{name}: by the node's CPU time", CALLS / cpu, "/s"),
        Figure(f"{name}: samples refused, which it may", 100 * sum(refused) / CALLS, "%"),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench models", description=__doc__)
    figures.add_json(parser)
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="vtrace-bench-") as home,
        running(Path(home) / "data", "--rate-factor", "0") as node,
    ):
        cores = sorted(os.sched_getaffinity(0))
        for task in Path(f"/proc/{node.process.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores[-1:])
        examiner = people.examiner(node)
        eventually(lambda: all(one.state.value == "ready" for one in examiner.call("ListModels").models))
        found = [one for recipe in train_models.RECIPES for one in _measure(node, examiner, recipe.name)]
    figures.put_out("models", found, args.json)


if __name__ == "__main__":
    main()
