"""Prints how often the rule of node/domain/scans.py is wrong about serials in which all is well, and how soon it finds
a code that was copied. Simulated, the same figures each time; docs/scans.md has them.

Goods are sold on a random day of the 90; their readers come within days of that, from the place where they were sold,
some from elsewhere. How well goods are liked differs in the ways below. The rule looks every third day.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from node.domain.scans import KEPT_DAYS, Counts, Level, judge

SEED = 20261123
MEAN = 1.5
LOOKS = range(2, KEPT_DAYS, 3)
READ_WITHIN_DAYS = 10.0
PLACES, ELSEWHERE = 30, 0.2

Random = np.random.Generator


def _lognormal(spread: float) -> Callable[[Random, int], np.ndarray]:
    return lambda random, total: random.lognormal(-(spread**2) / 2, spread, total) * MEAN


def _windows(random: Random, total: int) -> np.ndarray:
    return np.where(random.random(total) < 0.01, 20 * MEAN, MEAN)


LIKED: dict[str, Callable[[Random, int], np.ndarray]] = {
    "all alike": lambda _, total: np.full(total, MEAN),
    "as supposed (gamma, 1)": lambda random, total: random.gamma(1.0, MEAN, total),
    "uneven (gamma, 0.5)": lambda random, total: random.gamma(0.5, 2 * MEAN, total),
    "uneven (lognormal, 1)": _lognormal(1.0),
    "very uneven (lognormal, 1.5)": _lognormal(1.5),
    "1 in 100 stands in a shop window, 20 times the readers": _windows,
}
"""How the mean number of readers differs from goods to goods."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One serial's life: the day and place of each reader, by goods."""

    goods: np.ndarray
    days: np.ndarray
    places: np.ndarray
    total: int

    def at(self, day: int) -> list[Counts]:
        """The counts at the end of a day."""
        here = self.days <= day
        goods, places = self.goods[here], self.places[here]
        readers = np.bincount(goods, minlength=self.total)
        distinct = np.bincount(np.unique(goods * PLACES + places) // PLACES, minlength=self.total)
        return [
            Counts(number, int(count), int(count), int(several))
            for number, (count, several) in enumerate(zip(readers, distinct, strict=True))
            if count
        ]


def life(random: Random, liked: np.ndarray, goods: np.ndarray, total: int) -> Seen:
    """The readers of items, each with the code of one of ``goods`` and a mean number of readers."""
    sold = random.uniform(0, KEPT_DAYS, len(liked))
    home = random.integers(0, PLACES, len(liked))
    item = np.repeat(np.arange(len(liked)), random.poisson(liked))
    days = (sold[item] + random.exponential(READ_WITHIN_DAYS, len(item))).astype(int)
    places = np.where(random.random(len(item)) < ELSEWHERE, random.integers(0, PLACES, len(item)), home[item])
    return Seen(goods[item], days, places, total)


def worst(seen: Seen) -> Level | None:
    """What is ever said of any of the goods."""
    found: set[Level] = set()
    for day in LOOKS:
        found.update(one.level for one in judge(seen.at(day)))
    return Level.HINT if Level.HINT in found else Level.NOTICE if found else None


def wrong(random: Random, liked: Callable[[Random, int], np.ndarray], total: int, serials: int) -> tuple[float, float]:
    """The shares of serials in which all is well that have a notice, and a hint."""
    goods = np.arange(total)
    said = [worst(life(random, liked(random, total), goods, total)) for _ in range(serials)]
    return sum(one is not None for one in said) / serials, sum(one is Level.HINT for one in said) / serials


def found(random: Random, copies: int, total: int, serials: int) -> tuple[float, float, float]:
    """Of serials in which one code was copied: the shares that have a notice and a hint of it, and after how many of
    its readers the notice came, as a median."""
    liked = LIKED["uneven (lognormal, 1)"]
    codes = np.concatenate([np.arange(total), np.zeros(copies, dtype=int)])
    noticed: list[int] = []
    hinted = 0
    for _ in range(serials):
        seen = life(random, liked(random, total + copies), codes, total)
        levels = [(day, one) for day in LOOKS for one in judge(seen.at(day)) if one.counts.goods_id == 0]
        if levels:
            noticed.append(levels[0][1].counts.readers)
        hinted += any(one.level is Level.HINT for _, one in levels)
    return len(noticed) / serials, hinted / serials, float(np.median(noticed)) if noticed else 0.0


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(prog="python -m scripts.simulate_scans", description=__doc__)
    parser.add_argument("--serials", type=int, default=400, help="serials a line (%(default)s)")
    args = parser.parse_args()
    random, console = np.random.default_rng(SEED), Console()
    false = Table("all is well; goods are liked", "goods", "serials with a notice", "with a hint")
    for name, liked in track(LIKED.items(), "all is well", console=console, transient=True):
        for total in (20, 100, 1_000):
            notices, hints = wrong(random, liked, total, args.serials)
            false.add_row(name, f"{total:,}", f"{notices:.1%}", f"{hints:.1%}")
    console.print(false)
    true = Table("one code copied onto", "goods", "noticed", "hint shown", "readers at the notice")
    for copies in track((10, 30, 100, 1_000), "copies", console=console, transient=True):
        for total in (20, 1_000):
            notices, hints, readers = found(random, copies, total, args.serials // 4)
            true.add_row(f"{copies:,} items", f"{total:,}", f"{notices:.0%}", f"{hints:.0%}", f"{readers:.0f}")
    console.print(true)


if __name__ == "__main__":
    main()
