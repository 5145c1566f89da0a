"""What is written for operators names the figures that there are, and all of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import promql_parser
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from tests.flow.world import started
from tests.telemetry.asking import config, url

NOBODY = "http://127.0.0.1:9/v1/traces"
FROM_PROMETHEUS = {"instance", "job", "worker"}
DOCS = Path(__file__).resolve().parents[2] / "docs"


def explained() -> dict[str, set[str]]:
    """Every figure of docs/operation.md by its name as it is asked for, with the names of its labels."""
    rows = re.findall(r"^\| (`(?:vtrace|process)_.*?) \|", (DOCS / "operation.md").read_text(), re.MULTILINE)
    names = re.findall(r"`([a-z_]+)(?:\{([a-z, ]+)\})?`", "\n".join(rows))
    return {name: set(labels.split(", ")) if labels else set() for name, labels in names}


def test_every_figure_is_explained(tmp_path: Path) -> None:
    with started(config(tmp_path / "d", traces=NOBODY)) as node:
        assert httpx.post(url(node, "/api/v1/circ:get"), json={"goodsId": 1}).status_code == 404
        texts = [httpx.get(url(node, "/metrics")).text for _ in range(2)]
    found = {
        family.name + ("_total" if family.type == "counter" else ""): {
            label for sample in family.samples for label in sample.labels
        }
        for family in text_string_to_metric_families(texts[-1])
    }
    assert found.keys() == explained().keys()
    for name, labels in explained().items():
        assert not found[name] or found[name] - {"worker", "le"} == labels, name


def test_every_query_of_the_dashboard_asks_for_what_there_is() -> None:
    figures = explained()
    dashboard = json.loads((DOCS / "grafana.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    queries += [each["expr"] for each in dashboard["annotations"]["list"]]
    seen = {name for query in queries for name in asked(query, figures)}
    left_out = {"vtrace_build_info", "vtrace_index_up", "vtrace_lane_open", "process_threads"}
    assert seen == figures.keys() - left_out
    for variable in re.findall(r"label_values\((\w+), \w+\)", json.dumps(dashboard["templating"])):
        assert variable in figures


def test_every_alert_asks_for_what_there_is_and_has_its_advice() -> None:
    (group,) = YAML(typ="safe").load(DOCS / "alerts.yml")["groups"]
    advice = (DOCS / "operation.md").read_text().partition("## Alerts")[2]
    advised = re.findall(r"^\| `(VTrace\w+)` \|", advice, re.MULTILINE)
    assert advised == [rule["alert"] for rule in group["rules"]]
    for rule in group["rules"]:
        assert asked(rule["expr"], explained())
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]


def asked(query: str, figures: dict[str, set[str]]) -> set[str]:
    """The figures that a query asks for; fails for one that is not there, nor has a label that is named."""
    parsed = promql_parser.parse(query.replace("$__rate_interval", "5m"))
    nodes: list[Any] = []
    assert promql_parser.walk(parsed, nodes.append)
    found, labels = set(), set()
    for node in nodes:
        node = node.vector_selector if isinstance(node, promql_parser.MatrixSelector) else node
        if isinstance(node, promql_parser.VectorSelector):
            if node.name == "up":  # Prometheus' own
                continue
            name = node.name if node.name in figures else re.sub(r"_(bucket|sum|count)$", "", node.name)
            assert name in figures, query
            assert {each.name for each in node.matchers.matchers} <= {*figures[name], *FROM_PROMETHEUS}, query
            found.add(name)
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            labels |= set(node.modifier.labels)
    assert labels <= {*FROM_PROMETHEUS, "le", *(label for name in found for label in figures[name])}, query
    return found
