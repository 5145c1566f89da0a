"""Where a node's time goes: a flame graph by py-spy, and its samples summed up by what the code is for.

Samples are of the one lock that Python code holds while it runs (GIL), since that is what a node has too little of.
Waiting, for the disk or the chain, is not in them.
"""

from __future__ import annotations

import html
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.table import Table

SAMPLES_A_SECOND = 250
STOP_SECONDS_MAX = 60
_TITLE = re.compile(r"<title>(.*?) \(([\d,]+) samples, [\d.]+%\)</title>")

_FRONT = "QuickThreads._begin (node/api/quick"
_GROUP = "Group._write (node/store/group"
_ANSWER = "Later.end (node/later"
_CIRCS = ("Plain.record (node/flow/plain", "Recorder._enrol (node/flow/record")
_SIGNATURE = ("Plain._signature (node/flow/plain", "signature_of (node/flow/sovereign")
_TRANSACTION = "Ledger.sign (node/flow/ledger"
_SENDER = "Sender.step (node/flow/submit"
_CONFIRMER = "Confirmer.step (node/flow/confirm"

PARTS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("gRPC", ("_serve (grpc/", "Threads._work (node/api/threads"), ()),
    ("request, token, user", (_FRONT,), ()),
    ("queue, commit", (_GROUP,), (*_CIRCS, _ANSWER)),
    ("answer", (_ANSWER,), ()),
    ("the circs: rules and SQL", _CIRCS, (*_SIGNATURE, _TRANSACTION)),
    ("the operators' signatures", _SIGNATURE, ()),
    ("the transactions: signature, bytes, hash", (_TRANSACTION,), ()),
    ("sender", (_SENDER,), ()),
    ("confirmer", (_CONFIRMER,), ()),
)
"""What a call is made of: a name, the functions whose time it is, and those of their parts that stand by themselves."""


@contextmanager
def recorded(pid: int, path: Path) -> Iterator[None]:
    """Write a flame graph of process ``pid``, over the length of a block, to ``path``."""
    beside = Path(sys.executable).with_name("py-spy")
    program = str(beside) if beside.exists() else shutil.which("py-spy")
    if program is None:
        raise SystemExit("--profile needs py-spy: pip install py-spy")
    command = [program, "record", "--pid", str(pid), "--output", str(path), "--format", "flamegraph"]
    command += ["--gil", "--function", "--rate", str(SAMPLES_A_SECOND)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as profiler:
        assert profiler.stdout is not None
        said = profiler.stdout.readline()  # it says that it samples, or why it can't
        try:
            yield
        finally:
            profiler.send_signal(signal.SIGINT)
            told, _ = profiler.communicate(timeout=STOP_SECONDS_MAX)
    if not path.exists():
        raise SystemExit(f"py-spy could not look into the node (may it trace processes here?): {said}{told}")


def table(path: Path, cpu_ms: float) -> Table:
    """The parts of a call by a flame graph, where ``cpu_ms`` is the node's CPU time for a call."""
    samples: Counter[str] = Counter()
    for title, number in _TITLE.findall(path.read_text()):
        samples[html.unescape(title)] += int(number.replace(",", ""))
    total = samples["all"]

    def of(names: tuple[str, ...]) -> int:
        return sum(found for title, found in samples.items() if title.startswith(names)) if names else 0

    shown = Table("where a CreateCirc's time goes", "share", "ms")
    rest = total
    for name, whole, apart in PARTS:
        part = of(whole) - of(apart)
        rest -= part
        shown.add_row(name, f"{part / total:.0%}", f"{cpu_ms * part / total:.3f}")
    shown.add_row("other", f"{rest / total:.0%}", f"{cpu_ms * rest / total:.3f}")
    return shown
