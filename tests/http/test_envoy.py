"""The node's HTTP agrees with Envoy's grpc_json_transcoder, but for a list of requests, each with its reason."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.api.http import HttpApi
from tests.http import servers, table
from tests.http.servers import Answer, ask
from tests.support import people
from tests.support.node import RunningNode
from tests.support.people import Maker

JSON = {"Content-Type": "application/json"}
SAME = {**JSON, "X-Request-Id": "0f" * 16}
"""With an id of the caller, which refusals repeat, else each call would have an id of its own."""
PROTO = Path(__file__).parents[2] / "proto"
_keys = itertools.count(1)


@pytest.fixture(scope="module")
def odd(envoy_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The ports of Envoy and of the node's HTTP application, both before the odd service."""
    folder = tmp_path_factory.mktemp("odd")
    rpcs = [servers.Echo(method) for method in servers.odd_service(folder / "odd.pb").methods]
    with (
        servers.grpc_server(rpcs) as grpc_port,
        servers.http_server(HttpApi(rpcs, b"{}")) as http_port,  # type: ignore[arg-type]
        servers.envoy(envoy_python, folder, folder / "odd.pb", [servers.SERVICE], grpc_port) as envoy_port,
    ):
        yield envoy_port, http_port


def _both(ports: tuple[int, int], method: str, path: str, body: bytes | None) -> tuple[Answer, Answer]:
    headers = {} if body is None else JSON
    envoy, node = (ask(port, method, path, body, headers) for port in ports)
    return envoy, node


@pytest.mark.parametrize(("method", "path", "body"), table.AGREED, ids=str)
def test_they_agree(odd: tuple[int, int], method: str, path: str, body: bytes | None) -> None:
    envoy, node = _both(odd, method, path, body)
    assert node.status == envoy.status
    if node.status == 200:
        assert node.json == envoy.json


@pytest.mark.parametrize(("method", "path", "body", "envoys", "nodes", "why"), table.DIFFERENT, ids=str)
def test_they_differ_as_is_meant(
    odd: tuple[int, int], method: str, path: str, body: bytes | None, envoys: int, nodes: int, why: str
) -> None:
    envoy, node = _both(odd, method, path, body)
    assert (envoy.status, node.status) == (envoys, nodes), why


@pytest.mark.parametrize(("content_type", "status"), table.TYPES.items())
def test_what_says_that_it_is_not_json_is_not_taken_for_json(
    odd: tuple[int, int], content_type: str, status: int
) -> None:
    envoy, node = (ask(port, "POST", "/v1/whole", b'{"text":"a"}', {"Content-Type": content_type}) for port in odd)
    assert (envoy.status, node.status) == (200, status)


def test_the_table_is_long() -> None:
    assert len(set(table.AGREED)) >= 200
    assert not {row[:3] for row in table.DIFFERENT} & set(table.AGREED)


@pytest.fixture(scope="module")
def real(envoy_python: Path, node: RunningNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The ports of Envoy before the node's gRPC, and of the node's own HTTP."""
    folder = tmp_path_factory.mktemp("real")
    names = [path.relative_to(PROTO).as_posix() for path in PROTO.glob("vtrace/v1/*.proto")]
    described = servers.descriptors(PROTO, folder / "all.pb", *names, "google/rpc/error_details.proto")
    services = [f"{file.package}.{one.name}" for file in described.file for one in file.service]
    grpc_port, http_port = (int(node.ready[name].rpartition(":")[2]) for name in ("grpc", "http"))
    with servers.envoy(envoy_python, folder, folder / "all.pb", services, grpc_port) as envoy_port:
        yield envoy_port, http_port


@pytest.fixture(scope="module")
def maker(node: RunningNode) -> Maker:
    return people.maker(node.client)


def _base64(form: bytes) -> str:
    return base64.urlsafe_b64encode(form).decode().rstrip("=")


FORM = json.dumps({"moisture": "11.2 % ±0.1", "note": "晒干"}, ensure_ascii=False).encode()
REAL: list[tuple[str, dict[str, Any] | None, int]] = [
    ("contract/name:call", None, 200),
    ("contract/name:call", {}, 200),
    ("user:get", None, 200),
    ("goods/class:list", {"limit": 5}, 200),
    ("goods/class:list", {"limit": "5", "offset": 0}, 200),
    ("goods/class:list", {"limit": -1}, 400),
    ("goods/serial:list", {}, 200),
    ("goods:list", {"limit": 2}, 200),
    ("material:list", None, 200),
    ("algo/model:list", None, 403),
    ("org/user:get", {}, 200),
    ("org/member:list", {"orgId": 2_000_000}, 404),
    ("circ:get", {"goodsId": "GOODS"}, 200),
    ("circ:get", {"goods_id": "GOODS"}, 200),
    ("circ:get", {"goodsId": 2_000_000_000}, 404),
    ("circ:get", {"goodsId": 0}, 400),
    ("goods:get", {"goodsId": "GOODS"}, 200),
    ("goods:get", {"goodsId": -1}, 400),
    ("goods/class:get", {"goodsId": "GOODS"}, 200),
    ("circ:create", {"goodsId": "GOODS", "circType": "process", "formValue": _base64(FORM)}, 200),
    ("circ:create", {"goodsId": "GOODS", "circType": 1, "formValue": base64.b64encode(FORM).decode()}, 200),
    ("circ:create", {"goodsId": "GOODS", "circType": "transfer", "to": "nobody"}, 404),
    ("circ:create", {"goodsId": "GOODS", "circType": 2}, 400),
    ("circ:create", {"goodsId": "GOODS", "circType": "process", "formValue": _base64(b"no json")}, 400),
    ("circ:create", {"goodsId": 2_000_000_000, "circType": "process"}, 404),
    ("circ:batch", {"goodsIds": ["GOODS"], "circType": "process"}, 200),
    ("circ:batch", {"goodsIds": ["GOODS", "GOODS"], "circType": "process"}, 400),
    ("circ:batch", {"goodsIds": []}, 400),
    ("goods/serial:create", {"classId": "CLASS", "productTime": "2026-05-01T08:00:00+08:00"}, 200),
    ("goods/serial:create", {"classId": "CLASS", "productTime": "9999-12-31T23:59:59Z"}, 400),
    ("user:update", {"user": {"nickname": "杨梅"}}, 200),
    ("user:update", {"user": {"phone": "13800000000"}}, 400),
    ("org:identity", {"orgName": "x"}, 400),
    ("register", {"phone": "1", "nickname": "x", "passwd": "correct horse"}, 400),
    ("token", {"phone": "13899999999", "password": "wrong horse"}, 401),
]


def _meant(maker: Maker, fields: Any, goods: int) -> Any:
    if isinstance(fields, dict):
        return {name: _meant(maker, value, goods) for name, value in fields.items()}
    if isinstance(fields, list):
        return [_meant(maker, value, goods) for value in fields]
    return {"GOODS": goods, "CLASS": maker.class_id}.get(fields, fields) if isinstance(fields, str) else fields


@pytest.mark.parametrize(("route", "fields", "status"), REAL, ids=str)
def test_they_agree_on_the_protocol_and_its_refusals(
    node: RunningNode, real: tuple[int, int], maker: Maker, route: str, fields: dict[str, Any] | None, status: int
) -> None:
    goods = maker.goods(1)[0] if "GOODS" in str(fields) else 0
    if goods:
        people.settled(node.client, goods)  # or the answers of GetCirc might differ by what was mined between them
    body = None if fields is None else json.dumps(_meant(maker, fields, goods)).encode()
    # With the same key what is made by the one is the other's answer too.
    headers = {**SAME, "Authorization": f"Bearer {maker.boss.client.token}", "Idempotency-Key": f"key {next(_keys)}"}
    envoy, ours = (ask(port, "POST", f"/api/v1/{route}", body, headers) for port in real)
    assert (envoy.status, ours.status) == (status, status)
    assert ours.json == envoy.json
    if status != 200:
        assert ours.json["details"][0]["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"


def test_they_agree_on_an_upload_as_json(real: tuple[int, int], maker: Maker) -> None:
    pieces = [{"content": _base64(b"half "), "mds": [{"key": "filename", "value": "a.txt"}]}, {"content": "aGFsZg=="}]
    headers = {**SAME, "Authorization": f"Bearer {maker.boss.client.token}"}
    body = json.dumps(pieces).encode()
    envoy, ours = (ask(port, "POST", "/api/v1/file:upload", body, headers) for port in real)
    assert (envoy.status, ours.status) == (200, 200)
    assert ours.json == envoy.json
    envoy, ours = (ask(port, "POST", "/api/v1/file:upload", b"[]", headers) for port in real)
    assert (envoy.status, ours.status) == (400, 400)
    assert ours.json == envoy.json


def test_they_agree_on_a_key_that_another_request_had(real: tuple[int, int], maker: Maker) -> None:
    headers = {**SAME, "Authorization": f"Bearer {maker.boss.client.token}", "Idempotency-Key": "taken"}
    first = ask(real[1], "POST", "/api/v1/goods/serial:create", b'{"classId":%d}' % maker.class_id, headers)
    assert first.status == 200
    body = b'{"classId":%d,"productTime":"2026-01-01T00:00:00Z"}' % maker.class_id
    envoy, ours = (ask(port, "POST", "/api/v1/goods/serial:create", body, headers) for port in real)
    assert (envoy.status, ours.status) == (409, 409)
    assert ours.json == envoy.json


def test_they_agree_on_who_has_no_token(real: tuple[int, int]) -> None:
    for authorization in ({}, {"Authorization": "Basic eA=="}, {"Authorization": "Bearer x.y.z"}):
        envoy, ours = (ask(port, "POST", "/api/v1/user:get", b"{}", {**SAME, **authorization}) for port in real)
        assert (envoy.status, ours.status) == (401, 401)
        assert ours.json == envoy.json
