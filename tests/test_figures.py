"""The figures of the benchmarks: what is told of them, and that a part's figures survive their JSON."""

from __future__ import annotations

import importlib
import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import bench_all, figures
from scripts.figures import Figure, Machine

SOME = [
    Figure("rate", 30.0, "/s", 100.0, "/s alone", at_least=0.25),
    Figure("wait", 12.0, "ms", at_most=10),
    Figure("login", 95.0, "ms", 100.0, "ms of others", at_least=0.9, at_most=1.1),
    Figure("weight", 1234.0, "bytes"),
]


def test_a_bound_is_on_the_ratio_where_there_is_a_limit_and_else_on_the_value() -> None:
    rate, wait, login, weight = SOME
    assert (rate.ratio, rate.share, rate.holds) == (0.3, pytest.approx(1.2), True)
    assert (wait.ratio, wait.share, wait.holds) == (None, pytest.approx(10 / 12), False)
    assert login.holds is True
    assert Figure("login", 120.0, "ms", 100.0, "", at_least=0.9, at_most=1.1).holds is False
    assert Figure("login", 80.0, "ms", 100.0, "", at_least=0.9, at_most=1.1).holds is False
    assert (weight.share, weight.holds, weight.wanted) == (None, None, "")


def test_nothing_where_little_is_wanted_is_all_that_is_wanted() -> None:
    assert Figure("lost", 0.0, "", at_most=5).share == math.inf


@given(
    st.lists(
        st.builds(
            Figure,
            st.text(),
            st.floats(0, 1e9),
            st.text(),
            st.none() | st.floats(1e-3, 1e9),
            st.text(),
            st.none() | st.floats(1e-3, 1e9),
            st.none() | st.floats(1e-3, 1e9),
        )
    )
)
def test_figures_survive_their_json(found: list[Figure]) -> None:
    assert figures.from_json(figures.as_json(found)) == found


def test_a_page_tells_every_figure_and_where_it_was_taken() -> None:
    machine = Machine("2026-01-02 03:04 UTC", "a processor", 2, 24.0, "Linux 6", "3.11.2", "abc1234")
    page = bench_all.page(machine, {"circs": SOME})
    assert "2 cores of a processor, 24 GiB" in page
    assert "| rate | 30.0 /s | 100 /s alone | 0.30 | at least 0.25 ✓ |" in page
    assert "| wait | 12.0 ms |  |  | at most 10 ✗ |" in page
    assert "| weight | 1,234 bytes |  |  |  |" in page


def test_the_plot_has_a_bar_for_each_figure_of_which_something_is_wanted() -> None:
    drawn = bench_all.plot({"circs": SOME})
    words = " ".join(ET.fromstring(drawn).itertext())
    assert all(f"circs: {one.name}" in words for one in SOME[:3])
    assert "weight" not in words
    assert b"<script" not in drawn


@pytest.mark.parametrize("name", bench_all.PARTS)
def test_every_part_can_be_run(name: str) -> None:
    assert callable(importlib.import_module(bench_all.PARTS[name][0]).main)
