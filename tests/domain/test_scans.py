"""What counts as a scan, and what is unusual."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain import scans
from node.domain.scans import Counts, Level, is_scan, judge, place_of
from scripts import simulate_scans

READERS = {
    "a phone": "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36",
    "an iPhone": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1",
    "WeChat's browser": "Mozilla/5.0 (Linux; Android 13) Chrome/116 Mobile XWEB/1160083 MicroMessenger/8.0.42.2460",
    "a phone named after a robot": "Mozilla/5.0 (Linux; Android 9; CUBOT X19) Chrome/120 Mobile Safari/537.36",
}
MACHINES = {
    "nothing": "",
    "a search engine": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Baidu": "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
    "Facebook's preview": "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "WhatsApp's preview": "WhatsApp/2.23.20.0 A",
    "Telegram's preview": "TelegramBot (like TwitterBot)",
    "Skype's preview": "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",
    "curl": "curl/8.5.0",
    "a script": "python-httpx/0.28.1",
    "Go": "Go-http-client/2.0",
}


@pytest.mark.parametrize("who", READERS)
def test_people_scan(who: str) -> None:
    assert is_scan(READERS[who], "", "document")
    assert is_scan(READERS[who], "", "")


@pytest.mark.parametrize("who", MACHINES)
def test_machines_do_not(who: str) -> None:
    assert not is_scan(MACHINES[who], "", "document")


@pytest.mark.parametrize(
    ("purpose", "destination"),
    [("prefetch", "document"), ("prefetch;prerender", ""), ("preview", ""), ("", "empty"), ("", "image")],
)
def test_neither_do_browsers_on_their_own(purpose: str, destination: str) -> None:
    assert not is_scan(READERS["a phone"], purpose, destination)


def test_places() -> None:
    assert [place_of(text) for text in ("CN", "cn", "CN-YN")] == ["CN", "CN", "CN-YN"]
    assert {place_of(text) for text in ("", "x" * 17, "a b", "中国", "<script>", "CN\n")} == {""}


# --- the rule


def _serial(*readers: int, places: int = 1) -> list[Counts]:
    return [Counts(number, 2 * count, count, min(count, places)) for number, count in enumerate(readers, 1)]


def test_a_code_that_many_more_people_scan() -> None:
    (found,) = judge(_serial(*[1, 2, 3] * 10, 60))
    assert (found.counts.goods_id, found.level) == (31, Level.NOTICE)
    assert (found.usual_readers, found.usual_places) == (2, 1)
    (found,) = judge(_serial(*[1, 2, 3] * 10, 600))
    assert found.level is Level.HINT


def test_a_code_that_is_scanned_everywhere() -> None:
    siblings = _serial(*[1, 2, 3] * 10)
    travelled = replace(siblings[5], readers=18, places=18)
    assert [one.counts for one in judge([*siblings[:5], travelled, *siblings[6:]])] == [travelled]
    assert judge([*siblings[:5], replace(travelled, places=1), *siblings[6:]]) == []


@pytest.mark.parametrize(
    "readers",
    [
        [],
        [0] * 100,
        [1],
        [9, *[1] * 1_000],
        [*[3, 5, 8, 13, 2, 1, 1, 4] * 12, 21],
        [*[100, 140, 90, 200, 30] * 20, 320],
    ],
)
def test_what_is_nothing_unusual(readers: list[int]) -> None:
    assert judge(_serial(*readers)) == []


def test_one_reader_who_loads_the_page_all_day_says_nothing() -> None:
    siblings = _serial(*[1, 2, 3] * 10)
    assert judge([replace(siblings[0], scans=100_000), *siblings[1:]]) == []


_COUNTS = st.lists(st.integers(0, 400), max_size=60).map(lambda readers: _serial(*readers, places=5))


@given(_COUNTS, st.randoms(use_true_random=False), st.integers(0, 1_000))
def test_order_and_goods_that_nobody_scanned_change_nothing(siblings: list[Counts], random: object, more: int) -> None:
    found = {one.counts.goods_id: one for one in judge(siblings)}
    shuffled = [*siblings, *(Counts(1_000 + number, 0, 0, 0) for number in range(more))]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert {one.counts.goods_id: one for one in judge(shuffled)} == found


@given(_COUNTS, st.integers(1, 10_000))
def test_what_is_most_unusual_stays_so_with_more_readers(siblings: list[Counts], more: int) -> None:
    top = max(siblings, key=lambda one: one.readers, default=None)
    if top is None or sum(one.readers == top.readers for one in siblings) > 1:
        return
    before = [one for one in judge(siblings) if one.counts == top]
    grown = [one if one is not top else replace(top, readers=top.readers + more) for one in siblings]
    after = [one for one in judge(grown) if one.counts.goods_id == top.goods_id]
    assert len(after) >= len(before)
    assert not before or before[0].level is not Level.HINT or after[0].level is Level.HINT


@given(st.floats(0.01, 200), st.floats(0.1, 0.5), st.sampled_from([0.01, 1e-4, 1e-7]))
def test_the_bound_of_the_distribution_holds_and_is_near(mean: float, size: float, level: float) -> None:
    found, q = scans._quantile(mean, size, level), mean / (mean + size)
    p, below = (1 - q) ** size, 0.0
    probabilities = []
    for k in range(found + 1):
        probabilities.append(p)
        p *= (k + size) / (k + 1) * q
    below = math.fsum(probabilities[:found])
    assert 1 - below <= level * (1 + 1e-6) + 1e-12
    assert found == 1 or probabilities[found - 1] > level * (1 - q) * (1 - 1e-6)


def test_the_simulation_finds_copies_and_leaves_the_others_alone() -> None:
    random = np.random.default_rng(simulate_scans.SEED)
    assert simulate_scans.found(random, 300, 100, 3)[:2] == (1, 1)
    assert simulate_scans.wrong(random, simulate_scans.LIKED["all alike"], 100, 3) == (0, 0)
