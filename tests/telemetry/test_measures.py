"""Histograms count every value once, whoever adds them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from node.measures import Histogram

VALUES = st.lists(st.integers(-5, 30).map(float), max_size=50)
BOUNDS = st.sets(st.integers(-5, 30).map(float), max_size=8).map(sorted)


@given(BOUNDS, VALUES)
def test_each_bound_counts_what_is_at_most_it(bounds: list[float], values: list[float]) -> None:
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe(value)
    found = histogram.now()
    assert found.up_to == (*(sum(value <= bound for value in values) for bound in bounds), len(values))
    assert (found.total, found.count) == (sum(values), len(values))


def test_threads_lose_nothing() -> None:
    histogram = Histogram((1.0,))
    with ThreadPoolExecutor(8) as threads:
        for _ in range(8):
            threads.submit(lambda: [histogram.observe(1.0) for _ in range(2_000)])
    assert histogram.now().up_to == (16_000, 16_000)
