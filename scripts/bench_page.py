"""What scripts/bench page measures: the page of goods, beside GetCirc of the same goods in the same run.

Views a second are those of several readers at once; figures move with the machine, so the node's CPU time for a view
stands beside them. A page is interactive when its text is painted and its script has left the browser's main thread
free for good (no task over 50 ms any more); checked is when the script has its verdict.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import grpc
from rich.console import Console

from scripts import figures, flame, http_load
from scripts.bench_node import cpu_seconds
from scripts.figures import Figure
from tests.page.browser import CHROMIUM, chromium
from tests.support import people
from tests.support.node import RunningNode, running
from tests.support.people import Maker
from tests.support.wire_client import SERVICE

GOODS = 400
CIRCS, CIRCS_MANY = 20, 500
LANGUAGES = ("en", "zh-CN,zh;q=0.9")
LOADS = 3
CHECK_SECONDS_MAX = 120
LOOK_MS = 100
STEPS = ("picked", "pulped", "fermented 36 h", "washed", "dried on raised beds", "milled", "graded", "bagged")

# The paint, and what keeps the main thread busy for longer than a reader would not notice.
_OBSERVE = """
window.busyUntil = 0;
new PerformanceObserver(list => {
  for (const one of list.getEntries()) window.busyUntil = Math.max(window.busyUntil, one.startTime + one.duration);
}).observe({type: "longtask", buffered: true});
"""
_TIMES = """() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0].startTime;
  const ready = performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd;
  return {paint, interactive: Math.max(paint, ready, window.busyUntil), checked: performance.now()};
}"""
_IS_CHECKED = """() => document.querySelector("#verdict .verdict:not(.running)") !== null"""


@dataclass(frozen=True, slots=True)
class Browsed:
    """Milliseconds from the start of a load, medians over several; None without a browser."""

    paint_ms: float
    interactive_ms: float
    checked_ms: float


@dataclass(frozen=True, slots=True)
class Weight:
    """Bytes of a page alone, as it is and as it is sent, and of all that is sent for it but pictures."""

    page: int
    page_sent: int
    all_sent: int


@dataclass(frozen=True, slots=True)
class Measured:
    """All that is measured; milliseconds are of one view or call."""

    page_p50_ms: float
    get_circ_p50_ms: float
    views_a_second: float
    view_cpu_ms: float
    first_views_a_second: float
    first_view_cpu_ms: float
    weight: Weight
    weight_many: Weight
    browsed: Browsed | None
    browsed_many: Browsed | None


def form_of(number: int) -> bytes:
    """What a partner would write."""
    step = STEPS[number % len(STEPS)]
    return json.dumps(
        {
            "step": step,
            "place": "高黎贡山 shed 4",
            "moisture_percent": 11.2,
            "note": f"lot {number}, by hand",
        },
        ensure_ascii=False,
    ).encode()


def _goods(maker: Maker) -> tuple[list[int], int]:
    """Goods with CIRCS circs each, and one with CIRCS_MANY, all final."""
    ids = maker.goods(GOODS + 1)
    for number in range(CIRCS - 1):
        maker.boss.call("BatchCirc", goods_ids=ids, circ_type=1, form_info=form_of(number))
    for number in range(CIRCS - 1, CIRCS_MANY - 1):
        maker.boss.call("CreateCirc", goods_id=ids[-1], circ_type=1, form_value=form_of(number))
    people.settled(maker.boss.client, ids[-1])
    return ids[:-1], ids[-1]


async def _beside(node: RunningNode, goods: Sequence[int], rounds: int) -> tuple[float, float]:
    """Medians of a view and of GetCirc of the same goods in ms, one after the other."""
    host = node.ready["http"]
    views: list[float] = []
    calls: list[float] = []
    connection = await http_load.Connection.open(host)
    async with grpc.aio.insecure_channel(node.ready["grpc"]) as channel:
        call = channel.unary_unary(f"/{SERVICE}/GetCirc")
        for number in range(rounds):
            goods_id = goods[number % len(goods)]
            request = http_load.request_of(host, f"/t/{goods_id}", LANGUAGES[number % 2])
            message = node.client.request("GetCirc", goods_id=goods_id).SerializeToString()
            began = time.perf_counter()
            await connection.get(request)
            between = time.perf_counter()
            await call(message, timeout=http_load.ANSWER_SECONDS_MAX)
            views.append(between - began)
            calls.append(time.perf_counter() - between)
    connection.close()
    return statistics.median(views) * 1_000, statistics.median(calls) * 1_000


def _views(node: RunningNode, goods: Sequence[int], total: int, connections: int) -> tuple[float, float]:
    """Views a second, and the node's CPU time for one in ms."""
    host = node.ready["http"]
    pages = [http_load.request_of(host, f"/t/{goods_id}", language) for language in LANGUAGES for goods_id in goods]
    requests = [pages[number % len(pages)] for number in range(total)]
    cpu = cpu_seconds(node)
    done = http_load.run(host, requests, connections)
    return done.rate, 1_000 * (cpu_seconds(node) - cpu) / total


async def _weight(node: RunningNode, goods_id: int) -> Weight:
    host = node.ready["http"]
    connection = await http_load.Connection.open(host)

    async def sent(path: str) -> bytes:
        return await connection.get(http_load.request_of(host, path, LANGUAGES[1]))

    page = await sent(f"/t/{goods_id}")
    text = (gzip.decompress(page) if page.startswith(b"\x1f\x8b") else page).decode()
    parts = re.findall(r'(?:<script src|<link rel="(?:stylesheet|icon)"[^>]* href)="([^"]+)"', text)
    rest = sum([len(await sent(path)) for path in parts])
    connection.close()
    return Weight(len(text.encode()), len(page), len(page) + rest)


def _browsed(node: RunningNode, goods_id: int) -> Browsed:
    """Loads by a browser that has nothing of it yet."""
    found: list[dict[str, float]] = []
    with chromium() as browser:
        for _ in range(LOADS):
            context = browser.new_context(locale="zh-CN", viewport={"width": 390, "height": 844})
            page = context.new_page()
            page.add_init_script(_OBSERVE)
            page.goto(f"http://{node.ready['http']}/t/{goods_id}")
            # Asked seldom: to look at every frame, as wait_for_selector does, costs the page more than its own work.
            until = time.monotonic() + CHECK_SECONDS_MAX
            while not page.evaluate(_IS_CHECKED):
                if time.monotonic() > until:
                    raise SystemExit(f"no verdict within {CHECK_SECONDS_MAX} s")
                page.wait_for_timeout(LOOK_MS)
            found.append(page.evaluate(_TIMES))
            context.close()
    return Browsed(*(statistics.median(each[name] for each in found) for name in ("paint", "interactive", "checked")))


def measure(node: RunningNode, views: int, connections: int, profile_to: Path | None) -> Measured:
    """All figures of one node."""
    goods, many = _goods(people.maker(node.client))
    hot = goods[:100]
    _views(node, hot, 400, connections)
    page_ms, call_ms = asyncio.run(_beside(node, hot, 600))
    with flame.recorded(node.process.pid, profile_to) if profile_to else nullcontext():
        rate, cpu_ms = _views(node, hot, views, connections)
    first_rate, first_cpu_ms = _views(node, goods, len(goods) * len(LANGUAGES), connections)
    return Measured(
        page_p50_ms=page_ms,
        get_circ_p50_ms=call_ms,
        views_a_second=rate,
        view_cpu_ms=cpu_ms,
        first_views_a_second=first_rate,
        first_view_cpu_ms=first_cpu_ms,
        weight=asyncio.run(_weight(node, goods[0])),
        weight_many=asyncio.run(_weight(node, many)),
        browsed=_browsed(node, goods[0]) if CHROMIUM else None,
        browsed_many=_browsed(node, many) if CHROMIUM else None,
    )


def of(seen: Measured) -> list[Figure]:
    """The figures, with what is wanted of them."""
    found = [
        Figure(
            *(f"a view of {CIRCS} circs, median", seen.page_p50_ms, "ms"),
            *(seen.get_circ_p50_ms, "ms, GetCirc of the same goods"),
            at_most=3,
        ),
        Figure("views", seen.views_a_second, "/s", at_least=500),
        Figure("CPU time of the node for a view", seen.view_cpu_ms, "ms"),
        Figure("first views (no page of it kept)", seen.first_views_a_second, "/s"),
        Figure("CPU time of the node for a first view", seen.first_view_cpu_ms, "ms"),
    ]
    for count, weight, browsed, bytes_max, ms_max in (
        (CIRCS, seen.weight, seen.browsed, 60_000, 1_000),
        (CIRCS_MANY, seen.weight_many, seen.browsed_many, None, 2_000),
    ):
        found += [
            Figure(f"{count} circs: page", weight.page, "bytes"),
            Figure(f"{count} circs: page, as sent", weight.page_sent, "bytes"),
            Figure(f"{count} circs: page, style and script, as sent", weight.all_sent, "bytes", at_most=bytes_max),
        ]
        if browsed is not None:
            found += [
                Figure(f"{count} circs: painted", browsed.paint_ms, "ms"),
                Figure(f"{count} circs: interactive", browsed.interactive_ms, "ms", at_most=ms_max),
                Figure(f"{count} circs: checked", browsed.checked_ms, "ms"),
            ]
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench page", description=__doc__)
    parser.add_argument("--views", type=int, default=6_000, help="views of pages seen before (%(default)s)")
    parser.add_argument("--connections", type=int, default=16, help="readers at once (%(default)s)")
    figures.add_json(parser)
    parser.add_argument("--profile", type=Path, metavar="FILE", help="write a flame graph (SVG) of the node")
    args = parser.parse_args()
    console = Console()
    with (
        tempfile.TemporaryDirectory(prefix="vtrace-bench-") as home,
        console.status("pages…"),
        running(Path(home) / "data") as node,
    ):
        seen = measure(node, args.views, args.connections, args.profile)
    figures.put_out("page", of(seen), args.json)
    if not CHROMIUM:
        console.print("no chromium on this machine: when a page is interactive was not measured")


if __name__ == "__main__":
    main()
