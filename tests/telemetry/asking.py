"""What operators' tools ask a node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import peewee
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from node.config import Config
from tests.flow.world import Running

Key = tuple[str, frozenset[tuple[str, str]]]
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def config(data_dir: Path, **more: Any) -> Config:
    return Config(data_dir=data_dir, grpc="127.0.0.1:0", http="127.0.0.1:0", **more)


def url(node: Running, path: str) -> str:
    return f"http://{node.ready.http}{path}"


def read(address: str) -> dict[Key, float]:
    answer = httpx.get(address)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def key(name: str, **labels: str) -> Key:
    return name, frozenset(labels.items())


def own(name: str, **labels: str) -> Key:
    return key(name, worker="1", **labels)


@contextmanager
def unreadable(node: Running) -> Iterator[None]:
    """A node in this process whose database fails whoever reads."""

    def broken() -> None:
        raise peewee.OperationalError("disk I/O error")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node.node._store._database, "reading", broken)
        yield


def health(node: Running, service: str) -> int:
    with grpc.insecure_channel(node.ready.grpc) as channel:
        asked = health_pb2.HealthCheckRequest(service=service)
        return int(health_pb2_grpc.HealthStub(channel).Check(asked, timeout=10).status)


def ready(node: Running) -> tuple[int, dict[str, str]]:
    answer = httpx.get(url(node, "/readyz"))
    body = answer.json()
    assert (body["status"] == "ready") == (answer.status_code == 200) == (body["reasons"] == {})
    return answer.status_code, body["reasons"]
