"""What scripts/bench reindex measures: circs a second that ``vtrace reindex`` puts into a new index.

The chain is played back (scripts/recorded_chain.py), so that its own speed hides less. Once all comes from it and from
an export of the forms, and each transaction is fetched; then there is an old index whose outbox has the transactions.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from node.chain import signer
from scripts import figures
from scripts.figures import Figure
from scripts.recorded_chain import CIRCS, CONTRACT, PRODUCED, form_of

WANTED = 10_000


@contextmanager
def played_back(account: str, circs: int) -> Iterator[str]:
    """The URL of a recorded chain."""
    command = [sys.executable, "-m", "scripts.recorded_chain", "--signer", account, "--circs", str(circs)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            url = process.stdout.readline().strip()
            if not url:
                raise RuntimeError("the recorded chain did not start")
            yield url
        finally:
            process.stdin.close()


def reindex(data_dir: Path, url: str, *args: str) -> tuple[float, float]:
    """Seconds, and seconds of processor time, that the command took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    command = [sys.executable, "-m", "node.cli", "reindex", "--data-dir", str(data_dir), "--chain", url]
    done = subprocess.run([*command, "--confirmations", "1", *args], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # One user is lost, since no index ever knew it.
    if done.returncode not in (0, 1) or " 0 forms missing" not in done.stdout:
        raise RuntimeError(done.stdout + done.stderr)
    print(done.stdout, file=sys.stderr)
    return seconds, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench reindex", description=__doc__)
    parser.add_argument("--circs", type=int, default=1_000_000, help="circs on the chain (%(default)s)")
    figures.add_json(parser)
    args = parser.parse_args()
    console, key = Console(stderr=True), signer.new_key()
    with TemporaryDirectory(prefix="vtrace-bench-") as home, played_back(signer.address_of(key), args.circs) as url:
        data_dir, key_file, export = Path(home) / "data", Path(home) / "signer.key", Path(home) / "forms.jsonl"
        data_dir.mkdir(mode=0o700)
        key_file.touch(mode=0o600)
        key_file.write_text(key.hex())
        with open(export, "w") as file:
            for nonce in range(PRODUCED, CIRCS + args.circs):
                salt, form = form_of(nonce)
                file.write(json.dumps({"salt": salt.hex(), "form": form.decode()}) + "\n")
        given = ("--contract", CONTRACT, "--signer-key", str(key_file), "--forms", str(export))
        found: list[Figure] = []
        for name, more in (("from the chain and an export", given), ("with an old index", ())):
            with console.status(f"{name}…"):
                seconds, processor = reindex(data_dir, url, *more)
            found += [
                Figure(f"circs, {name}", args.circs / seconds, "/s", at_least=WANTED),
                Figure(f"circs, {name}, by its own CPU time", args.circs / processor, "/s"),
            ]
        size = os.stat(data_dir / "index.sqlite3").st_size / args.circs
    figures.put_out(f"reindex of {args.circs:,} circs", [*found, Figure("index, for a circ", size, "bytes")], args.json)


if __name__ == "__main__":
    main()
