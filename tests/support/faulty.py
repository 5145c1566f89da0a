"""``python -m tests.support.faulty serve …``: the node as it is, but it dies (SIGKILL) at a point of node/faults.py.

VTRACE_FAULT_POINT names the point, VTRACE_FAULT_HITS says at which time of passing it (1: the first).
"""

from __future__ import annotations

import itertools
import os
import signal

from node import faults
from node.cli import main


def _die_at(wanted: str, hits: int) -> None:
    if wanted not in faults.POINTS:
        raise SystemExit(f"VTRACE_FAULT_POINT is {wanted!r}, want one of {', '.join(faults.POINTS)}")
    numbers = itertools.count(1)

    def hit(name: str) -> None:
        if name == wanted and next(numbers) == hits:
            os.kill(os.getpid(), signal.SIGKILL)

    faults.hit = hit


if __name__ == "__main__":
    _die_at(os.environ["VTRACE_FAULT_POINT"], int(os.environ.get("VTRACE_FAULT_HITS", "1")))
    main()
