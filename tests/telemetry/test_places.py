"""Where figures and health are, and are not, by how a node is set up."""

from __future__ import annotations

import socket
import urllib.request
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.flow.world import started
from tests.support.wire_client import SERVICE
from tests.telemetry.asking import NOT_SERVING, SERVING, config, health, own, read, ready, url


def test_figures_have_an_address_of_their_own(tmp_path: Path) -> None:
    with started(config(tmp_path / "d", metrics="127.0.0.1:0")) as node:
        port = node.node._operating.metrics_port
        assert httpx.get(url(node, "/metrics")).status_code == 404
        assert own("vtrace_ready") in read(f"http://127.0.0.1:{port}/metrics")
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").json() == {"status": "alive"}
        assert httpx.get(f"http://127.0.0.1:{port}/api/v1/circ:get").status_code == 404


def test_behind_proxies_there_are_no_figures_on_the_site(tmp_path: Path) -> None:
    with started(config(tmp_path / "d", trusted_proxies=1)) as node:
        assert httpx.get(url(node, "/metrics")).status_code == 404


def test_without_a_model_only_models_do_not_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.app.SHIPPED", tmp_path)
    with started(config(tmp_path / "d")) as node:
        assert health(node, "vtrace.v1.Models") == NOT_SERVING
        assert health(node, SERVICE) == SERVING


def test_a_stopping_node_is_not_ready_and_serves_nothing(tmp_path: Path) -> None:
    with started(config(tmp_path / "d")) as node:
        with grpc.insecure_channel(node.ready.grpc) as channel:
            asked = health_pb2.HealthCheckRequest(service=SERVICE)
            seen = health_pb2_grpc.HealthStub(channel).Watch(asked, timeout=60)
            assert next(seen).status == SERVING
            node.node._operating.watchman.drain()
            assert next(seen).status == NOT_SERVING
            seen.cancel()
        assert ready(node) == (503, {"draining": "the node is stopping"})
        node.node._operating.watchman.step()  # a look does not take it back
        assert ready(node)[0] == 503


def test_a_client_that_stays_silent_does_not_keep_figures_from_others(tmp_path: Path) -> None:
    with started(config(tmp_path / "d", metrics="127.0.0.1:0")) as node:
        port = node.node._operating.metrics_port
        with socket.create_connection(("127.0.0.1", port or 0), 10) as silent:
            silent.sendall(b"GET /metrics HTTP/1.1\r\nHost")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
                assert answer.status == 200
