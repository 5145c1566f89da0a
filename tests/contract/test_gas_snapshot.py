"""The committed gas figures are what the contract uses on Anvil, and they keep the targets."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from scripts import measure_gas
from scripts.measure_gas import LARGEST, SHAPES, Figure, Figures
from tests.chain.servers import ANVIL

SNAPSHOT = measure_gas.read_snapshot()
KINDS = ("produce", "process", "exam", "transfer")


@pytest.fixture(scope="module")
def measured() -> Figures:
    if not ANVIL.exists():
        pytest.skip("needs Anvil: `npm ci --ignore-scripts`")
    return measure_gas.measure()


def test_no_figure_has_grown(measured: Figures) -> None:
    assert measure_gas.grown(measured, SNAPSHOT) == [], "run scripts/gas --write and commit, if it is meant"


def test_the_snapshot_is_not_above_what_is_measured(measured: Figures) -> None:
    # Else the contract could grow unseen up to an old figure.
    assert measure_gas.grown(SNAPSHOT, measured) == [], "run scripts/gas --write and commit"


def test_the_targets_hold(measured: Figures) -> None:
    for kind, shapes in measured.items():
        assert shapes["1,000 neighbouring"].per_goods <= (2_950 if kind == "produce" else 780)
        assert shapes[LARGEST].gas <= 16_777_216
    assert measured["process"]["1"].gas <= 42_500
    assert measured["transfer"]["1"].gas <= 42_500


def test_every_kind_and_shape_is_measured() -> None:
    assert set(SNAPSHOT) == set(KINDS)
    assert all(list(shapes) == [*SHAPES, LARGEST] for shapes in SNAPSHOT.values())


def test_growth_beyond_two_percent_is_named() -> None:
    before = {"process": {"1": Figure(1, 40_000), "10": Figure(10, 50_000)}}
    now = {"process": {"1": Figure(1, 40_800), "10": Figure(10, 51_001)}}
    assert measure_gas.grown(now, before) == ["process, 10: 5,100 gas a goods, was 5,000"]
    assert measure_gas.grown(now, {"process": {"10": Figure(10, 60_000)}}) == [
        "process, 1: 40,800 gas a goods, was unknown"
    ]


def test_the_snapshot_stands_as_the_script_writes_it() -> None:
    text = measure_gas.SNAPSHOT.read_text(encoding="utf-8")
    assert measure_gas.text_of(SNAPSHOT) == text
    changed = {**SNAPSHOT, "exam": {"1": replace(SNAPSHOT["exam"]["1"], gas=1)}}
    assert json.loads(measure_gas.text_of(changed))["exam"] == {"1": {"goods": 1, "gas": 1}}
