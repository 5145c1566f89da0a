"""What scripts/bench login measures: whether the time of a failed login tells that a phone is known.

Calls of each kind take turns in random order, one at a time, and their medians are compared. Exit 1 if one is not
within a tenth of the others.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from node.domain.delay import ACCOUNT
from scripts import figures
from scripts.figures import Figure
from tests.support import people
from tests.support.node import RunningNode, running
from tests.support.wire_client import Refusal

RATIO_MIN, RATIO_MAX = 0.9, 1.1


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench login", description=__doc__)
    parser.add_argument("--rounds", type=int, default=150, help="calls of each kind (%(default)s)")
    parser.add_argument("--seed", type=int, default=20261123, help="of the order of the calls (%(default)s)")
    figures.add_json(parser)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vtrace-bench-") as home, running(Path(home) / "data") as node:
        medians = _measured(node, args.rounds, random.Random(args.seed))
    base = medians["unknown phone"]
    found = [
        Figure(
            *(f"a wrong password, {kind}, median of {args.rounds}", 1_000 * seconds, "ms"),
            *(1_000 * base, "ms, unknown phone"),
            at_least=RATIO_MIN,
            at_most=RATIO_MAX,
        )
        for kind, seconds in medians.items()
    ]
    figures.put_out("login", found, args.json)
    return 0 if all(figure.holds for figure in found) else 1


def _measured(node: RunningNode, rounds: int, order: random.Random) -> dict[str, float]:
    """The median time of a wrong password, by kind of phone."""
    phones: dict[str, Callable[[int], str]] = {
        "known phone": lambda _: people.register(node.client).phone,
        "unknown phone": lambda number: f"199{number:08d}",
        "deleted user": lambda _: _deleted(node),
    }
    # An account makes callers wait once it had so many failures.
    each = -(-rounds // ACCOUNT.free)
    ready = {kind: [make(number) for number in range(each)] for kind, make in phones.items()}
    took: dict[str, list[float]] = {kind: [] for kind in phones}
    for number in range(rounds):
        for kind in order.sample(list(phones), len(phones)):
            phone = ready[kind][number // ACCOUNT.free]
            began = time.perf_counter()
            try:
                node.client.call("Token", phone=phone, password="not the right one")
            except Refusal as refusal:
                if refusal.status != "UNAUTHENTICATED":
                    raise
            took[kind].append(time.perf_counter() - began)
    return {kind: statistics.median(seconds) for kind, seconds in took.items()}


def _deleted(node: RunningNode) -> str:
    person = people.register(node.client)
    person.call("DeleteUser")
    return person.phone


if __name__ == "__main__":
    sys.exit(main())
