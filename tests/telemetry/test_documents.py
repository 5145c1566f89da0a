"""What is written for operators names the figures that there are, and all of them."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.flow.world import started
from tests.telemetry.asking import config, url

NOBODY = "http://127.0.0.1:9/v1/traces"
DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Every figure that a node tells, by its name as it is asked for, with the names of its labels."""
    with started(config(tmp_path_factory.mktemp("documents") / "d", traces=NOBODY)) as node:
        text = httpx.get(url(node, "/metrics")).text
    return {
        family.name + ("_total" if family.type == "counter" else ""): {
            label for sample in family.samples for label in sample.labels
        }
        for family in text_string_to_metric_families(text)
    }


def test_every_figure_is_explained(figures: dict[str, set[str]]) -> None:
    text = (DOCS / "operation.md").read_text()
    rows = re.findall(r"^\| (`(?:vtrace|process)_.*?) \|", text, re.MULTILINE)
    explained = dict(re.findall(r"`([a-z_]+)(?:\{([a-z, ]+)\})?`", "\n".join(rows)))
    assert set(explained) == set(figures)
    for name, labels in explained.items():
        found = figures[name] - {"worker", "le"}
        assert not found or found == set(labels.split(", ")), name
