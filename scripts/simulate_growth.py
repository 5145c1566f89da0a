"""Prints what saturates first as partners, goods and circs grow by 10, 100 and 1,000, from the figures of
docs/benchmarks.json and contracts/gas.json; ``--write`` renews the tables of docs/scale.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.figures import shown
from scripts.growth import FULL, PUBLIC, QBFT, Chain, Costs, Demand, Service, Waits, closed, opened, uses

ROOT = Path(__file__).parent.parent
FIGURES, GAS, PAGE = ROOT / "docs" / "benchmarks.json", ROOT / "contracts" / "gas.json", ROOT / "docs" / "scale.md"
BEGIN, END = "<!-- written by scripts/simulate_growth.py -->", "<!-- end -->"
GROWTHS = (1, 10, 100, 1_000)
SHARES = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
CORES = 4
CALLERS = 32
CALLS = 20_000
SOURCES = {
    "create_cpu_ms": ("circs", "CPU time of the node for a CreateCirc until it is final"),
    "goods_final": ("circs", "goods by BatchCirc(1,000), final"),
    "alone_ms": ("circs", "CreateCirc with 1 caller, median"),
    "together_ms": ("circs", f"CreateCirc with {CALLERS} callers, median"),
    "recorded": ("circs", "CreateCirc, answered"),
    "read_cpu_ms": ("big", "CPU time of the node for each of them"),
    "view_cpu_ms": ("page", "CPU time of the node for a view"),
    "audited": ("audit", "circs replayed, one endpoint"),
    "reindexed": ("reindex", "circs, from the chain and an export"),
    "row_bytes": ("reindex", "index, for a circ"),
}
"""Input of the model → part of scripts/bench and its figure."""


class Missing(Exception):
    """A figure that the model needs was not measured."""


def inputs(measured: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, float]:
    """The figures that the model needs, from what scripts/bench wrote."""
    found = {}
    for name, (part, figure) in SOURCES.items():
        values = [one["value"] for one in measured.get(part, ()) if one["name"] == figure]
        if not values:
            raise Missing(f"{part}: no figure “{figure}”; run scripts/bench --write")
        found[name] = float(values[0])
    return found


def costs_of(given: Mapping[str, float], gas: Mapping[str, Any], batch: int) -> Costs:
    """Costs from figures and the gas of a process circ."""
    some = gas["process"][str(batch)]
    return Costs(
        create_cpu_ms=given["create_cpu_ms"],
        batch_goods_cpu_ms=1_000 / given["goods_final"],
        read_cpu_ms=given["read_cpu_ms"],
        view_cpu_ms=given["view_cpu_ms"],
        single_gas=gas["process"]["1"]["gas"],
        batch_goods_gas=some["gas"] / some["goods"],
        recorded=given["recorded"],
        row_bytes=given["row_bytes"],
        audited=given["audited"],
        reindexed=given["reindexed"],
    )


def service_of(given: Mapping[str, float]) -> Service:
    """One process: what its calls take of the processor, and what a commit takes beside that."""
    cpu = given["create_cpu_ms"]
    return Service(cpu_ms=cpu, commit_ms=max(given["alone_ms"] - cpu, 0.0), each_ms=0.0)


def tables(given: Mapping[str, float], costs: Costs, demand: Demand) -> str:
    """All that is printed and written, as Markdown."""
    lines = ["### Inputs", "", "| what | value | from |", "| --- | --- | --- |"]
    lines += [f"| {name} | {shown(given[name])} | {part}: {figure} |" for name, (part, figure) in SOURCES.items()]
    lines += [f"| gas of a circ of one goods | {costs.single_gas:,.0f} | scripts/gas |"]
    lines += [f"| gas a goods, {demand.batch} neighbours | {costs.batch_goods_gas:,.0f} | scripts/gas |"]
    for chain in (QBFT, PUBLIC):
        lines += ["", f"### On {chain.name}", "", *_growths(costs, demand, chain)]
    return "\n".join([*lines, "", "### What callers wait", "", *_waits(service_of(given), given)]) + "\n"


def _growths(costs: Costs, demand: Demand, chain: Chain) -> list[str]:
    by_growth = [{use.part: use for use in uses(costs, demand, chain, growth, CORES)} for growth in GROWTHS]
    head = " | ".join(f"× {growth:,}" for growth in GROWTHS)
    lines = [f"| in use of | {head} | when it is full, add |", f"|{' --- |' * (len(GROWTHS) + 2)}"]
    for part, last in by_growth[-1].items():
        cells = [_percent(found[part].share) for found in by_growth]
        lines.append(f"| {part} | {' | '.join(cells)} | {last.then} |")
    first = next(iter(by_growth[-1].values()))
    return [*lines, "", f"First: {first.part}, at × {FULL / first.share * GROWTHS[-1]:,.0f}."]


def _percent(share: float) -> str:
    text = f"{share:.2%}" if share < 0.01 else f"{share:.0%}"
    return f"**{text}**" if share > FULL else text


def _waits(service: Service, given: Mapping[str, float]) -> list[str]:
    together = closed(service, CALLERS, CALLS)
    lines = [
        f"The queue of one process, simulated with {CALLERS} callers, has a median of {together.median:.1f} ms; "
        f"measured: {given['together_ms']:.1f} ms.",
        "",
        "| calls a second | of what it can do | median, ms | p99, ms |",
        "| --- | --- | --- | --- |",
    ]
    for share in SHARES:
        seen: Waits = opened(service, share * together.rate, CALLS)
        lines.append(f"| {seen.rate:,.0f} | {share:.0%} | {seen.median:.1f} | {seen.p99:.1f} |")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Print, or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figures", type=Path, default=FIGURES, metavar="FILE", help="what scripts/bench --json wrote")
    parser.add_argument("--write", action="store_true", help=f"renew the tables of {PAGE.relative_to(ROOT)}")
    options = parser.parse_args(arguments)
    demand = Demand()
    try:
        given = inputs(json.loads(options.figures.read_text())["parts"])
        page = PAGE.read_text() if options.write else ""
    except OSError as fault:
        advice = "" if fault.filename == str(PAGE) else "; run scripts/bench --write, or name a file (--figures)"
        print(f"growth: {fault.filename}: {fault.strerror}{advice}", file=sys.stderr)
        return 2
    except Missing as fault:
        print(f"growth: {fault}", file=sys.stderr)
        return 2
    made = tables(given, costs_of(given, json.loads(GAS.read_text()), demand.batch), demand)
    print(made, end="")
    if options.write:
        before, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{made}\n{END}{rest.partition(END)[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
