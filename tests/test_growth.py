"""What is in use grows as demand does, and the simulated queue keeps the laws of queues."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import simulate_growth
from scripts.growth import PUBLIC, QBFT, Chain, Costs, Demand, Service, closed, opened, uses

COSTS = Costs(
    create_cpu_ms=0.5,
    batch_goods_cpu_ms=0.02,
    read_cpu_ms=0.25,
    view_cpu_ms=1.0,
    single_gas=40_000,
    batch_goods_gas=1_000,
    recorded=1_000,
    row_bytes=1_000,
    audited=10_000,
    reindexed=10_000,
)
CALLS = 5_000


@given(growth=st.floats(1, 1e4), factor=st.floats(1, 100), chain=st.sampled_from([QBFT, PUBLIC]))
def test_all_that_is_in_use_grows_with_the_business(growth: float, factor: float, chain: Chain) -> None:
    before = {use.part: use.share for use in uses(COSTS, Demand(), chain, growth, 4)}
    after = uses(COSTS, Demand(), chain, growth * factor, 4)
    assert [use.share for use in after] == sorted((use.share for use in after), reverse=True)
    for use in after:
        assert use.share == pytest.approx(before[use.part] * factor)


def test_a_share_is_what_is_asked_over_what_can_be_done() -> None:
    demand = Demand(goods_a_year=7.2e6, circs_a_goods=10, single_share=0.5, peak=1, reads_a_goods=0, views_a_goods=0)
    found = {use.part: use.share for use in uses(COSTS, demand, Chain("own", 1e6, 10), 1, 2)}
    # One goods a second: five circs one by one, and five goods in batches of a hundred.
    assert found["processors, recording"] == pytest.approx((5 * 0.5 + 5 * 0.02) / 1_000 / 2)
    assert found["processors, reading"] == 0
    assert found["gas of the chain"] == pytest.approx((5 * 40_000 + 5 * 1_000) / 1e6)
    assert found["transactions of one signer"] == pytest.approx(5.05 / 10)
    assert found["commits of one index"] == pytest.approx(5 / 1_000)
    assert found["an index rebuilt within a day"] == pytest.approx(7.2e8 / 10_000 / 86_400)


def test_who_calls_alone_waits_for_the_processor_and_one_commit() -> None:
    seen = closed(Service(cpu_ms=0.5, commit_ms=1.5, each_ms=0.25), 1, CALLS)
    assert seen.median == pytest.approx(2.25)
    assert seen.rate == pytest.approx(1_000 / 2.25, rel=0.01)


@given(callers=st.integers(1, 64), cpu=st.floats(0.1, 2), commit=st.floats(0, 5))
def test_as_many_wait_as_call(callers: int, cpu: float, commit: float) -> None:
    """Little's law, and no more is done than one processor can."""
    seen = closed(Service(cpu_ms=cpu, commit_ms=commit, each_ms=0), callers, 1_000)
    assert seen.rate <= 1_000 / cpu * 1.001
    assert seen.rate * seen.median / 1_000 <= callers * 1.5
    assert seen.median >= cpu + commit - 1e-9


def test_waits_grow_as_the_processor_fills() -> None:
    service = Service(cpu_ms=0.5, commit_ms=1.0, each_ms=0)
    found = [opened(service, share * 2_000, CALLS).p99 for share in (0.2, 0.5, 0.8, 0.95)]
    assert found == sorted(found)
    assert opened(service, 1_000, CALLS) == opened(service, 1_000, CALLS)


def _measured() -> dict[str, list[dict[str, object]]]:
    parts: dict[str, list[dict[str, object]]] = {}
    for part, figure in simulate_growth.SOURCES.values():
        parts.setdefault(part, []).append({"name": figure, "value": 2.0})
    return parts


def test_it_prints_what_is_full_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    file.write_text(json.dumps({"parts": _measured()}))
    assert simulate_growth.main(["--figures", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "First: " in printed
    for part in {use.part for use in uses(COSTS, Demand(), QBFT, 1, 1)}:
        assert part in printed


def test_a_figure_that_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = _measured()
    del parts["reindex"]
    file = tmp_path / "figures.json"
    file.write_text(json.dumps({"parts": parts}))
    assert simulate_growth.main(["--figures", str(file)]) == 2
    assert "reindex: no figure" in capsys.readouterr().err


def test_the_figures_that_it_reads_are_those_that_are_measured() -> None:
    scripts = Path(simulate_growth.__file__).parent
    told = "".join(path.read_text() for path in scripts.glob("bench_*.py"))
    for _, figure in simulate_growth.SOURCES.values():
        name = figure.replace("32", "{callers}")
        pieces = (name, name.split(", ")[0] + ", {name}")
        assert any(f'"{piece}"' in told for piece in pieces), figure
