"""What scripts/bench files measures: one large file up and down, beside sha256sum of the same file in the same run."""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from scripts import figures
from scripts.bench_node import memory_mib
from scripts.figures import Figure
from tests.api.test_files import call, message
from tests.files.daemon import daemon
from tests.support import people
from tests.support.node import RunningNode, running

MIB = 1024 * 1024
UPLOAD_SECONDS_MAX = 900


def _timed(what: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = what()
    return time.perf_counter() - began, result


def _growth(node: RunningNode, what: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds, and MiB by which resident memory grew at most."""
    before, most, done = memory_mib(node), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], memory_mib(node) - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        seconds, result = _timed(what)
    finally:
        done.set()
        watcher.join()
    return seconds, most[0], result


def _pieces(path: Path, piece: int) -> Iterator[Any]:
    with open(path, "rb") as file:
        while data := file.read(piece):
            yield message(data)


def _download(url: str) -> int:
    with httpx.stream("GET", url, timeout=60) as answer:
        return sum(len(data) for data in answer.iter_bytes(MIB))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench files", description=__doc__)
    parser.add_argument("--mib", type=int, default=1_024, help="size of the file (%(default)s)")
    parser.add_argument("--piece-kib", type=int, default=1_024, help="bytes of one message (%(default)s)")
    parser.add_argument("--daemon", action="store_true", help="keep the file with the tests' IPFS daemon instead")
    figures.add_json(parser)
    args = parser.parse_args()
    size = args.mib * MIB
    with tempfile.TemporaryDirectory(prefix="vtrace-bench-") as temporary, ExitStack() as opened:
        home = Path(temporary)
        source = home / "source"
        with open(source, "wb") as file:
            for _ in range(args.mib):
                file.write(os.urandom(MIB))
            os.fsync(file.fileno())
        options = ("--upload-max", str(size))
        if args.daemon:
            options += ("--ipfs", opened.enter_context(daemon(home / "repo")))
        node = opened.enter_context(running(home / "node", *options))
        person = people.register(node.client)
        sha256sum, _ = _timed(lambda: subprocess.run(["sha256sum", source], check=True, stdout=subprocess.DEVNULL))
        up, up_mib, answer = _growth(
            node,
            lambda: call(person.client, _pieces(source, args.piece_kib * 1024), UPLOAD_SECONDS_MAX).result(),
        )
        down, down_mib, got = _growth(node, lambda: _download(answer.url))
        if got != size:
            raise RuntimeError(f"{got} bytes came back, want {size}")
    alone = args.mib / sha256sum
    found = [
        figure
        for name, seconds, growth in (("up", up, up_mib), ("down", down, down_mib))
        for figure in (
            Figure(f"a file of {args.mib} MiB {name}", args.mib / seconds, "MiB/s", alone, "MiB/s, sha256sum"),
            Figure(f"memory that the node takes for it {name}", growth, "MiB"),
        )
    ]
    figures.put_out("files", found, args.json)


if __name__ == "__main__":
    main()
