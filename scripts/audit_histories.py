"""Audits honest random histories on Anvil, a thousand by default: whatever the auditor finds in them is falsely raised.

The histories are those of tests/audit/histories.py, each goods with one of its own. Exit code 1 if anything is found.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing
from random import Random

from rich.console import Console

from node.chain import signer
from node.chain.rpc import Chain, HttpRpc
from node.domain.model import Rights
from node.flow.audit import AgreedChain, Auditor
from tests.audit import histories
from tests.audit.world import World
from tests.chain.servers import anvil, fund

RIGHTS = {
    "coop": Rights.CIRCULATE | Rights.PRODUCE,
    "exporter": Rights.CIRCULATE,
    "roaster": Rights.CIRCULATE,
    "grader": Rights.CIRCULATE | Rights.EXAMINE,
}


def main() -> None:
    """Play, audit, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--goods", type=int, default=1_000, help="histories (%(default)s)")
    parser.add_argument("--acts", type=int, default=8_000, help="things that happen to them (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the random choices (%(default)s)")
    args = parser.parse_args()
    console, key = Console(soft_wrap=True), signer.new_key()
    with anvil() as url, closing(HttpRpc(url)) as rpc, closing(HttpRpc(url)) as witness:
        fund(rpc, signer.address_of(key), 10**30)
        world = World(rpc, key, fee_per_gas=10**11)
        for name in histories.NAMES:
            world.register(name, RIGHTS[name])
        began = time.perf_counter()
        with console.status(f"playing {args.goods} histories…"):
            told = histories.play(world, Random(args.seed), args.goods, args.acts)
        played = time.perf_counter() - began
        both = AgreedChain([("one", Chain(rpc)), ("other", Chain(witness))])
        found = 0
        for name, chain, goods in (
            ("all goods", world.chain, None),
            ("all goods by two endpoints", both, None),
            ("named goods", world.chain, sorted(world.view.goods)),
        ):
            auditor = Auditor(world.view, chain, world.address, second=world.view, late_blocks=args.acts * 3)
            began = time.perf_counter()
            report = auditor.audit_all() if goods is None else auditor.audit(goods)
            console.print(f"{name}: {report.summary}, {time.perf_counter() - began:.0f} s", highlight=False)
            for line in [*map(str, report.differences), *report.unchecked][:20]:
                console.print(line, highlight=False)
            found += len(report.differences) + len(report.unchecked)
    counts = ", ".join(f"{count} {end}" for end, count in sorted(told.items()))
    console.print(f"{args.goods} histories played in {played:.0f} s: {counts}", highlight=False)
    console.print(f"falsely raised: {found}", highlight=False)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
