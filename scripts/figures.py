"""Figures: values that were measured, each beside what the machine allows by itself in the same run where there is such
a limit, and what is wanted of them. As a table, as JSON, as Markdown and as a plot.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

UNTOLD = "unknown"


@dataclass(frozen=True, slots=True)
class Figure:
    """One value in its unit.

    Where there is a ``limit``, measured in the same run and the same unit, the ratio to it is what can be compared from
    machine to machine, and what ``at_least`` and ``at_most`` bound. Without one they bound the value.
    """

    name: str
    value: float
    unit: str
    limit: float | None = None
    limit_name: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def ratio(self) -> float | None:
        """The value over its limit."""
        return None if self.limit is None else self.value / self.limit

    @property
    def share(self) -> float | None:
        """How far it is on the way to what is wanted: 1 and more is there. None where nothing is wanted."""
        judged = self.value if self.ratio is None else self.ratio
        shares = [] if self.at_least is None else [judged / self.at_least]
        if self.at_most is not None:
            shares.append(self.at_most / judged if judged else math.inf)
        return min(shares, default=None)

    @property
    def holds(self) -> bool | None:
        """Whether it is as wanted; None where nothing is wanted."""
        share = self.share
        return None if share is None else share >= 1

    @property
    def wanted(self) -> str:
        """What is wanted of it, in words."""
        least = "" if self.at_least is None else f"at least {self.at_least:,g}"
        most = "" if self.at_most is None else f"at most {self.at_most:,g}"
        return ", ".join(filter(None, (least, most)))

    def cells(self) -> tuple[str, str, str, str, str]:
        """What a table shows of it."""
        holds = {None: "", True: " ✓", False: " ✗"}[self.holds]
        limit = "" if self.limit is None else f"{shown(self.limit)} {self.limit_name}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return self.name, f"{shown(self.value)} {self.unit}".strip(), limit, ratio, self.wanted + holds


HEADS = ("figure", "measured", "in the same run", "ratio", "wanted")


def shown(value: float) -> str:
    """A number with as many digits as tell something."""
    if value and abs(value) < 10:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"


def table(title: str, figures: Sequence[Figure]) -> Table:
    """For a terminal."""
    made = Table(*HEADS, title=title, title_justify="left")
    for figure in figures:
        made.add_row(*figure.cells())
    return made


def as_json(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """For programs: the fields of each, its ratio and whether it holds."""
    return [asdict(figure) | {"ratio": figure.ratio, "holds": figure.holds} for figure in figures]


def from_json(found: Sequence[dict[str, Any]]) -> list[Figure]:
    """What ``as_json`` wrote."""
    return [Figure(**{name: one[name] for name in Figure.__slots__}) for one in found]


def markdown(figures: Sequence[Figure]) -> str:
    """For a page."""
    lines = [f"| {' | '.join(HEADS)} |", f"|{' --- |' * len(HEADS)}"]
    lines += [f"| {' | '.join(figure.cells())} |" for figure in figures]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and when figures were taken, and of what: the version is Git's word for the source."""

    date: str
    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    version: str

    @classmethod
    def here(cls) -> Machine:
        """This one, now."""
        info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
        names = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
        source = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
        return cls(
            date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            cpu=names[0] if names else platform.machine() or UNTOLD,
            cores=len(os.sched_getaffinity(0)),
            memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
            system=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
            version=source.stdout.strip() or UNTOLD,
        )

    def __str__(self) -> str:
        return (
            f"{self.date}, {self.cores} cores of {self.cpu}, {self.memory_gib:.0f} GiB, {self.system}, "
            f"Python {self.python}, source {self.version}"
        )


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option that every measurement has."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")


def put_out(title: str, figures: Sequence[Figure], to: Path | None) -> None:
    """Print the figures, and write them where ``--json`` says."""
    Console().print(table(title, figures))
    if to is not None:
        to.write_text(json.dumps(as_json(figures), indent=2, ensure_ascii=False) + "\n")
