"""A scrape of one process shows the figures of all, and waits for none that is gone."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse

from node.measures import COUNTER, HISTOGRAM, Figure, Histogram, gauge
from node.telemetry.exposition import Exposition
from node.telemetry.siblings import Siblings

ODD = 'a "quoted"\\ text\nof two lines'


def figures(number: int) -> Sequence[Figure]:
    seconds = Histogram((0.5, 1.0))
    for _ in range(number):
        seconds.observe(0.75)
    return [
        Figure("t_calls_total", "Calls.", COUNTER, (({"rpc": ODD}, float(number)),)),
        Figure("t_seconds", "Seconds.", HISTOGRAM, (({}, seconds.now()),)),
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ("long" * 30) / "figures"  # longer than a socket's path may be


def joined(folder: Path, worker: str) -> Siblings:
    folder.parent.mkdir(exist_ok=True)
    made = Siblings(folder, worker, lambda: figures(int(worker)))
    made.start()
    return made


def test_one_scrape_shows_all_workers(folder: Path) -> None:
    processes = [joined(folder, str(number)) for number in (1, 2, 3)]
    try:
        shared = lambda: [gauge("t_backlog", "Backlog.", 7)]  # noqa: E731
        exposition = Exposition("2", lambda: figures(2), shared, processes[1].others)
        text, media_type = exposition.text("")
        assert media_type.startswith("text/plain; version=")
        found = {family.name: family for family in parse(text.decode())}
        assert {sample.labels["worker"]: sample.value for sample in found["t_calls"].samples} == {
            number: float(number) for number in ("1", "2", "3")
        }
        assert {sample.labels["rpc"] for sample in found["t_calls"].samples} == {ODD}
        counts = [sample for sample in found["t_seconds"].samples if sample.name == "t_seconds_bucket"]
        assert {(each.labels["worker"], each.labels["le"]): each.value for each in counts} == {
            (worker, bound): 0 if bound == "0.5" else float(worker)
            for worker in ("1", "2", "3")
            for bound in ("0.5", "1.0", "+Inf")
        }
        assert [(each.labels, each.value) for each in found["t_backlog"].samples] == [({}, 7)]
        text, media_type = exposition.text("application/openmetrics-text; version=1.0.0")
        assert media_type.startswith("application/openmetrics-text")
        assert {family.name for family in parse_open(text.decode())} == found.keys()
    finally:
        for each in processes:
            each.stop()
    assert os.listdir(folder) == []


def test_one_that_was_killed_is_left_out_and_may_come_again(folder: Path) -> None:
    first, second = joined(folder, "1"), joined(folder, "2")
    try:
        second._socket.shutdown(socket.SHUT_RDWR)
        second._socket.close()  # as the system does at a kill: the name stays
        assert "2.sock" in os.listdir(folder)
        assert first.others() == {}
        again = joined(folder, "2")
        try:
            assert first.others() == {"2": figures(2)}
        finally:
            again.stop()
    finally:
        first.stop()


def test_one_that_tells_rubbish_is_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = joined(folder, "1"), joined(folder, "2")
    try:
        for answer in (b"", b"{", b"[1]", b'[["n", "h", "gauge", [[{}, "x"]]]]'):
            monkeypatch.setattr(second, "_own", list)
            monkeypatch.setattr("node.telemetry.siblings._written", lambda _, answer=answer: answer)
            assert first.others() == {}
    finally:
        first.stop()
        second.stop()
