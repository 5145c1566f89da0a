"""What scripts/bench memory measures: the memory of a node that has nothing to do, and how it grows under CreateCirc on
Anvil, after the first minute. Both are resident memory, shared pages included.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from node.chain.rpc import HttpRpc
from scripts import figures
from scripts.bench_node import ANVIL, Bench, create_requests, memory_mib, on_anvil
from scripts.figures import Figure
from tests.chain.servers import anvil

CALLERS = 32
IDLE_SECONDS = 5
IDLE_MB = 120
WARM_SECONDS = 60
LOOK_SECONDS = 1.0
LOOKS = 15
GROWTH = 1.05


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench memory", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long the load lasts (%(default)s)")
    figures.add_json(parser)
    args = parser.parse_args()
    seconds = args.minutes * 60
    with tempfile.TemporaryDirectory(prefix="vtrace-bench-") as home, anvil(*ANVIL) as url:
        rpc = HttpRpc(url)
        with on_anvil(Path(home), url, rpc) as node:
            time.sleep(IDLE_SECONDS)
            idle = memory_mib(node)
            bench = Bench(node)
            requests = create_requests(bench.maker, bench.goods, len(bench.goods))
            began, seen, done = time.monotonic(), [], threading.Event()

            def until_the_end() -> Iterator[bytes]:
                return itertools.takewhile(lambda _: time.monotonic() - began < seconds, itertools.cycle(requests))

            def watch() -> None:
                while not done.wait(LOOK_SECONDS):
                    seen.append((time.monotonic() - began, memory_mib(node)))

            watcher = threading.Thread(target=watch)
            watcher.start()
            try:
                answered = bench.run("CreateCirc", until_the_end(), CALLERS)
            finally:
                done.set()
                watcher.join()
            bench.settle()
        rpc.close()
    warm = statistics.median([mib for at, mib in seen if at >= WARM_SECONDS][:LOOKS])
    last = statistics.median([mib for _, mib in seen[-LOOKS:]])
    for minute in range(int(args.minutes)):
        print(f"minute {minute}: {statistics.median(m for at, m in seen if minute <= at / 60 < minute + 1):,.1f} MiB")
    found = [
        Figure("memory of an idle node", idle * 2**20 / 1e6, "MB", at_most=IDLE_MB),
        Figure("CreateCirc, answered", len(answered.waits), ""),
        Figure("CreateCirc, answered", answered.rate, "/s"),
        Figure("memory at the end", last, "MiB", warm, "MiB after the first minute", at_most=GROWTH),
    ]
    figures.put_out(f"memory in {args.minutes:g} minutes of load", found, args.json)


if __name__ == "__main__":
    main()
