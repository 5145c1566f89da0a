"""What scripts/bench backup measures: whether callers notice that a backup of a large index is made.

An index of so many circs is made by scripts/load_index, and a node on an Anvil is put under a load of records and
reads. Reads are of random goods of the whole index, so they notice when its pages leave the machine's memory. The same
load runs before the backup, beside it for as long as it takes, and after it: what it takes is held against before and
after together. At the end the backup is restored, so that it is known to be whole.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from scripts import figures, load
from scripts.bench_node import ANVIL, UNLIMITED, create_requests
from scripts.figures import Figure
from scripts.load_index import REAL_GOODS
from scripts.load_index import load as load_index
from tests.chain.servers import anvil
from tests.support import people
from tests.support.node import RunningNode, running, vtrace
from tests.support.people import Maker

CALLERS = 2
CIRCS_A_GOODS = 10
P99_AT_MOST = 2.0
RECORDED = 1_000
READS = 10_000
WARM_SECONDS = 5.0
PASSPHRASE = "correct horse battery"
BACKUP_SECONDS_MAX = 4 * 3_600
MIB = 1024 * 1024


@dataclass(slots=True)
class Waits:
    """Seconds that calls took, by rpc, and how many were refused."""

    by_rpc: dict[str, list[float]] = field(default_factory=dict)
    failed: int = 0

    def add(self, other: Waits) -> None:
        for rpc, waits in other.by_rpc.items():
            self.by_rpc.setdefault(rpc, []).extend(waits)
        self.failed += other.failed

    def p99_ms(self, rpc: str) -> float:
        return statistics.quantiles(self.by_rpc[rpc], n=100)[-1] * 1_000


class Callers:
    """Some who record circs of goods that were made here, and some who read goods of the whole index."""

    def __init__(self, node: RunningNode, maker: Maker, goods: int, seed: int) -> None:
        self._node = node
        self._maker = maker
        some = random.Random(seed)
        read = [some.randrange(REAL_GOODS + 1, REAL_GOODS + goods + 1) for _ in range(READS)]
        self._requests = {
            "CreateCirc": create_requests(maker, maker.goods(RECORDED), RECORDED),
            "GetCirc": [node.client.request("GetCirc", goods_id=one).SerializeToString() for one in read],
        }

    def call_until(self, ended: threading.Event) -> Waits:
        """All of them, until then."""
        with ThreadPoolExecutor(len(self._requests)) as pool:
            asked = {rpc: pool.submit(self._call, rpc, requests, ended) for rpc, requests in self._requests.items()}
            found = Waits()
            for rpc, answer in asked.items():
                try:
                    found.by_rpc[rpc] = answer.result().waits
                except (load.Refused, TimeoutError) as fault:
                    Console(stderr=True).print(f"{rpc}: {fault}")
                    found.failed += 1
            return found

    def call_for(self, seconds: float) -> Waits:
        """All of them, for so long."""
        ended = threading.Event()
        timer = threading.Timer(seconds, ended.set)
        timer.start()
        return self.call_until(ended)

    def _call(self, rpc: str, requests: Sequence[bytes], ended: threading.Event) -> load.Load:
        def until_ended() -> Iterator[bytes]:
            number = 0
            while not ended.is_set():
                yield requests[number % len(requests)]
                number += 1

        return load.run(self._node.ready["grpc"], self._maker.boss.client.token, rpc, until_ended(), CALLERS)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench backup", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--circs", type=int, default=1_000_000, help="circs in the index (%(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of load before and after (%(default)s)")
    parser.add_argument("--seed", type=int, default=20261123, help="of what is read (%(default)s)")
    figures.add_json(parser)
    args = parser.parse_args()
    goods = max(1, args.circs // CIRCS_A_GOODS)
    with tempfile.TemporaryDirectory(prefix="vtrace-bench-") as folder, anvil(*ANVIL) as url:
        home = Path(folder)
        load_index(home / "data", goods, args.circs, args.seed, url, Console(stderr=True))
        with running(home / "data", "--chain", url, "--confirmations", "1", *UNLIMITED) as node:
            callers = Callers(node, people.maker(node.client), goods, args.seed)
            callers.call_for(WARM_SECONDS)
            alone = callers.call_for(args.seconds)
            beside, seconds = _back_up(home, callers)
            alone.add(callers.call_for(args.seconds))
        size = (home / "backup").stat().st_size
        restored = _restore(home)
    found = [
        Figure("calls that failed", alone.failed + beside.failed, "", at_most=0),
        *(
            Figure(
                *(f"{rpc} beside a backup of {args.circs:,} circs, p99", beside.p99_ms(rpc), "ms"),
                *(alone.p99_ms(rpc), "ms without"),
                at_most=P99_AT_MOST,
            )
            for rpc in beside.by_rpc
        ),
        *(Figure(f"{rpc} meanwhile", len(waits) / seconds, "/s") for rpc, waits in beside.by_rpc.items()),
        Figure("the backup", seconds, "s"),
        Figure("its size", size / MIB, "MiB"),
        Figure("its restore", restored, "s"),
    ]
    figures.put_out("backup", found, args.json)
    return 0 if all(figure.holds is not False for figure in found) else 1


def _back_up(home: Path, callers: Callers) -> tuple[Waits, float]:
    """The load beside a backup, and the seconds that this took."""
    key = home / "backup.key"
    key.touch(mode=0o600)
    key.write_text(PASSPHRASE)
    command = [sys.executable, "-m", "node.cli", "backup", str(home / "backup")]
    command += ["--data-dir", str(home / "data"), "--passphrase-file", str(key)]
    ended = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        calling = pool.submit(callers.call_until, ended)
        began = time.monotonic()
        try:
            subprocess.run(command, check=True, timeout=BACKUP_SECONDS_MAX, stdout=subprocess.DEVNULL)
        finally:
            seconds = time.monotonic() - began
            ended.set()
        return calling.result(), seconds


def _restore(home: Path) -> float:
    """The seconds of a restore, into a folder of its own."""
    began = time.monotonic()
    named = ("--data-dir", str(home / "again"), "--passphrase-file", str(home / "backup.key"))
    done = vtrace("restore", str(home / "backup"), *named, timeout=BACKUP_SECONDS_MAX)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
