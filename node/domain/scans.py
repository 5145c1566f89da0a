"""Scans of goods' codes: what counts as one, and when goods are scanned so unlike their siblings that somebody should
look. No I/O. docs/scans.md has the rule in words, and how often it is wrong.

Goods are held against the other goods of their serial. What is compared is how many readers they had (each address
once a day) and from how many places; how often one reader loads the page says nothing. Goods that nobody scanned yet
are not siblings here: most of a batch may still be in a warehouse.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, inf, lgamma, log

KEPT_DAYS = 90
"""Days that counts are kept, and judged by."""
PLACE_LENGTH_MAX = 16
READERS_MIN, PLACES_MIN = 10, 4
"""Fewer are never unusual."""
HINT_READERS_MIN = 100
FALSE_NOTICES, FALSE_HINTS = 0.01, 0.00001
"""Of serials in which all is well, the share that has a notice or a hint, if readers come as the rule supposes."""
TRIMMED = 0.02
PRIOR_GOODS, PRIOR_EXCESS = 10, 2.0
SIZE_MIN, SIZE_MAX = 0.1, 0.5

_PLACE = re.compile(rf"[A-Za-z0-9-]{{1,{PLACE_LENGTH_MAX}}}", re.ASCII)
_MACHINES = re.compile(
    r"(?<!cu)bot\b|crawl|spider|slurp|preview|facebookexternalhit|whatsapp/|skypeuripreview|embedly|headless|"
    r"^(?:curl|wget|python|go-http|java|okhttp|libwww|apache-httpclient|node|axios|ruby|php|httpie|ab)\b",
    re.ASCII | re.IGNORECASE,
)


class Level(StrEnum):
    """How unusual: enough to tell the org, or enough to tell readers too."""

    NOTICE = "notice"
    HINT = "hint"


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one goods, over the days that are kept. ``readers`` counts an address once a day."""

    goods_id: int
    scans: int
    readers: int
    places: int


@dataclass(frozen=True, slots=True)
class Unusual:
    """Goods that are scanned unlike their siblings, of which half have no more readers and places than stand here."""

    counts: Counts
    level: Level
    usual_readers: int
    usual_places: int


@dataclass(frozen=True, slots=True)
class Alert:
    """Goods that were found unusual, and since when (microseconds since 1970)."""

    unusual: Unusual
    serial_id: int
    since: int


@dataclass(frozen=True, slots=True)
class Scan:
    """What is remembered of one scan: its day (days since 1970, UTC), a reader that only this day's salt tells again,
    and a place or ""."""

    day: int
    goods_id: int
    reader: bytes
    place: str


def is_scan(user_agent: str, purpose: str, destination: str) -> bool:
    """Whether a request is a reader's, as far as its headers tell: no robot, no preview of a link, no page loaded in
    advance (``purpose``: Sec-Purpose or Purpose), nothing that a script fetches (``destination``: Sec-Fetch-Dest)."""
    if not user_agent or _MACHINES.search(user_agent):
        return False
    return destination in ("", "document") and not ("prefetch" in purpose or "preview" in purpose)


def place_of(value: str) -> str:
    """What a proxy's header says of where a reader is, such as a country's code; empty if it is none."""
    return value.upper() if _PLACE.fullmatch(value) else ""


def judge(siblings: Sequence[Counts]) -> list[Unusual]:
    """The unusual ones among goods of one serial; those without scans may be left out."""
    scanned = [one for one in siblings if one.readers > 0]
    if not scanned:
        return []
    readers, places = ([getattr(one, name) for one in scanned] for name in ("readers", "places"))
    share = 2 * max(len(scanned), PRIOR_GOODS)  # two questions are asked of each goods
    readers_max, places_max = (_unusual_from(counts, FALSE_NOTICES / share) for counts in (readers, places))
    hint_from = max(HINT_READERS_MIN, _unusual_from(readers, FALSE_HINTS / share))
    usual_readers, usual_places = (sorted(counts)[(len(counts) - 1) // 2] for counts in (readers, places))
    found: list[Unusual] = []
    for one in scanned:
        is_noticed = one.readers >= max(READERS_MIN, readers_max) or one.places >= max(PLACES_MIN, places_max)
        if is_noticed:
            level = Level.HINT if one.readers >= hint_from else Level.NOTICE
            found.append(Unusual(one, level, usual_readers, usual_places))
    return found


def _unusual_from(counts: Sequence[int], level: float) -> int:
    """The count that one of the goods reaches with a probability of at most ``level``.

    What goods have beyond the first is taken for negative binomial: Poisson, with a mean that differs from goods to
    goods as a gamma distribution does. Its mean and size (how even the goods are) follow from the siblings without
    the highest, which may be those that are looked for; the size is never taken for more than SIZE_MAX, so that some
    goods are always allowed to be far better liked than others. Few siblings weigh less than what is supposed of all.
    """
    excess = sorted(max(0, count - 1) for count in counts)
    kept = excess[: len(excess) - ceil(TRIMMED * len(excess))]
    total = sum(kept)
    mean = (total + PRIOR_GOODS * PRIOR_EXCESS) / (len(kept) + PRIOR_GOODS)
    own = total / len(kept) if kept else 0.0
    spread = sum((count - own) ** 2 for count in kept) / (len(kept) - 1) if len(kept) > 1 else 0.0
    size = min(max(own**2 / (spread - own) if spread > own else inf, SIZE_MIN), SIZE_MAX)
    return 1 + _quantile(mean, size, level)


def _quantile(mean: float, size: float, level: float) -> int:
    """The smallest x that a negative binomial with this mean and a size of at most 1 reaches with ``level`` at most.

    Each of its probabilities is at most q times the one before, so what is from x on sums up to at most P(x) / (1-q).
    """
    q = mean / (mean + size)

    def log_tail(x: int) -> float:
        return lgamma(x + size) - lgamma(size) - lgamma(x + 1) + (size - 1) * log(1 - q) + x * log(q)

    high = 1
    while log_tail(high) > log(level):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if log_tail(middle) > log(level) else (low, middle)
    return high
