"""scripts/bench: the figures of the project, each part measured on fresh servers of its own.

    scripts/bench                     every part, one after the other (about an hour)
    scripts/bench --full              with ten million circs (half an hour more, and 40 GB of disk)
    scripts/bench --keep DIR          a folder keeps each part's figures: those that are there are not measured again
    scripts/bench --write             docs/benchmarks.md, .json and .svg are written anew
    scripts/bench circs --circs 1000  one part, with options of its own (scripts/bench circs --help)

A figure moves with the machine; its ratio to a limit measured in the same run is what to compare.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import leather
from rich.console import Console

from scripts.figures import Figure, Machine, as_json, from_json, markdown, table

ROOT = Path(__file__).parent.parent
PAGE, PLOT, DATA = (ROOT / "docs" / f"benchmarks.{kind}" for kind in ("md", "svg", "json"))
PARTS = {
    "circs": ("scripts.bench_node", "recording: rates, medians, memory, beside what Anvil takes alone"),
    "big": ("scripts.bench_big", "reads, start and new goods with a large index, beside a small one"),
    "workers": ("scripts.bench_workers", "two processes beside one, on PostgreSQL, and how soon another leads"),
    "memory": ("scripts.bench_memory", "memory without work, and under ten minutes of load"),
    "page": ("scripts.bench_page", "the page of goods: views, bytes, and in a browser"),
    "backup": ("scripts.bench_backup", "what callers notice of a backup of a large index"),
    "login": ("scripts.bench_login", "whether the time of a failed login tells that a phone is known"),
    "audit": ("scripts.bench_audit", "how fast the auditor replays a ledger from Anvil"),
    "files": ("scripts.bench_files", "a file of 1 GiB up and down, beside sha256sum"),
    "models": ("scripts.bench_models", "Predict on one core"),
    "reindex": ("scripts.bench_reindex", "vtrace reindex of a million circs from a chain that is played back"),
}
FULL = {"big": ("--goods", "1000000", "--circs", "10000000"), "backup": ("--circs", "10000000")}
"""Parts whose own default is smaller than what is promised."""
SHARE_MAX = 4
"""Where the plot ends: what is so much better than wanted needs no longer bar."""
THERE, SHORT = "#2a7f62", "#c8553d"


def main() -> int:
    """Measure one part, or all."""
    if len(sys.argv) > 1 and sys.argv[1] in PARTS:
        name = sys.argv.pop(1)
        result = importlib.import_module(PARTS[name][0]).main()
        return int(result or 0)
    parts = "\n".join(f"  {name:8} {what}" for name, (_, what) in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__doc__,
        epilog=f"parts:\n{parts}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw them beside what is wanted (SVG)")
    parser.add_argument("--full", action="store_true", help="measure with ten million circs")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="go on with what was measured before")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md, .json and .svg")
    args = parser.parse_args()
    machine, console = Machine.here(), Console()
    found: dict[str, list[Figure]] = {}
    failed: list[str] = []
    for number, (name, (_, what)) in enumerate(PARTS.items(), 1):
        console.rule(f"{number} of {len(PARTS)}: {name}, {what}", align="left")
        figures = _measured(name, FULL.get(name, ()) if args.full else (), args.keep)
        if figures is None:
            failed.append(name)
            continue
        found[name] = figures
        console.print(table(name, figures))
    whole = {"machine": asdict(machine), "parts": {name: as_json(figures) for name, figures in found.items()}}
    text = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    if args.json:
        args.json.write_text(text)
    if args.plot:
        args.plot.write_bytes(plot(found))
    if args.write and not failed:
        PAGE.write_text(page(machine, found))
        DATA.write_text(text)
        PLOT.write_bytes(plot(found))
    missed = [f"{name}: {each.name}" for name, figures in found.items() for each in figures if each.holds is False]
    for line in missed:
        console.print(f"not as wanted: {line}")
    for name in failed:
        console.print(f"could not be measured: {name} (run scripts/bench {name})")
    return 1 if failed else 0


def _measured(name: str, options: Sequence[str], keep: Path | None) -> list[Figure] | None:
    """A part's figures, from a process of its own; None if it failed, whose reason it has printed."""
    with tempfile.TemporaryDirectory(prefix="vtrace-bench-") as home:
        to = (keep or Path(home)).absolute() / f"{name}.json"
        if not to.exists():
            to.parent.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "scripts.bench_all", name, *options, "--json", str(to)]
            subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL)
        return from_json(json.loads(to.read_text())) if to.exists() else None


def page(machine: Machine, found: dict[str, list[Figure]]) -> str:
    """docs/benchmarks.md."""
    parts = [
        "# Figures\n\nWritten by `scripts/bench --write`; not edited by hand.\n\n"
        f"{machine}. Client, node and chain share these cores.\n\n"
        "A figure moves with the machine. Where one stands *in the same run*, it is what that machine allows by "
        "itself, and the ratio to it is what to compare.\n\n"
        f"![How far each figure is on the way to what is wanted]({PLOT.name})\n"
    ]
    parts += [f"## {name}: {PARTS[name][1]}\n\n{markdown(figures)}" for name, figures in found.items()]
    return "\n".join(parts)


def plot(found: dict[str, list[Figure]]) -> bytes:
    """How far each figure is on the way to what is wanted of it, as SVG: 1 is there."""
    judged = [
        (min(figure.share, SHARE_MAX), f"{name}: {figure.name}")
        for name, figures in found.items()
        for figure in figures
        if figure.share is not None
    ]
    chart = leather.Chart(f"measured over wanted: 1 is there (bars end at {SHARE_MAX:g})")
    chart.add_bars(judged, fill_color=lambda bar: THERE if bar.x >= 1 else SHORT)
    chart.add_x_scale(0, SHARE_MAX)
    svg: str = chart.to_svg(width=1_000, height=100 + 24 * len(judged))
    return svg.encode()


if __name__ == "__main__":
    sys.exit(main())
