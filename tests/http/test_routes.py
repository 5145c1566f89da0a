"""What HTTP makes of requests to a real node: routes, refusals, bounds, uploads."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from google.api import annotations_pb2

from node.api import http
from node.api.http import HTTP_STATUS
from node.api.services import SERVICES
from node.domain.access import ACCESS
from node.errors import Status
from tests.support import people
from tests.support.node import RunningNode, eventually
from tests.support.people import Person

METHODS = [method for service in SERVICES for method in service.methods]
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def person(node: RunningNode) -> Person:
    return people.register(node.client)


@pytest.fixture
def client(node: RunningNode) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{node.ready['http']}", timeout=60) as client:
        yield client


@pytest.fixture
def own(client: httpx.Client, person: Person) -> httpx.Client:
    client.headers["Authorization"] = f"Bearer {person.client.token}"
    return client


def _details(answer: httpx.Response) -> dict[str, Any]:
    return {one["@type"].rpartition(".")[2]: one for one in answer.json()["details"]}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_every_rpc_has_its_route(client: httpx.Client, method: Any) -> None:
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    if method.server_streaming:
        assert rule.WhichOneof("pattern") == "get"
        assert client.get(rule.get).status_code == (400 if ACCESS[method.name].open_to_anyone else 401)
        assert client.post(rule.get).headers["allow"] == "GET"
        return
    assert rule.WhichOneof("pattern") == "post"
    answer = client.post(rule.post, headers=JSON, content=b"[]" if method.client_streaming else b"{}")
    if ACCESS[method.name].open_to_anyone:
        assert answer.status_code in (200, 400, 401)
    else:
        assert (answer.status_code, answer.json()["code"]) == (401, 16)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    wrong = client.get(rule.post)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


def _as_documented(document: dict[str, Any], answer: httpx.Response) -> None:
    """The answer is as /openapi.json says."""
    operation = document["paths"][answer.request.url.path]["post"]
    schema = operation["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
    jsonschema.validate(answer.json(), {**schema, "components": document["components"]})


def test_a_life_over_http_alone(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    client.event_hooks["response"] = [lambda answer: (answer.read(), _as_documented(document, answer))]
    phone = people.phone(90_000_001)
    made = client.post("/api/v1/register", json={"phone": phone, "nickname": "杨梅", "passwd": people.PASSWORD}).json()
    assert made["user"]["nickname"] == "杨梅"
    assert made["user"]["status"] == "enable"  # the first value of an enum is said too
    token = client.post("/api/v1/token", json={"phone": phone, "password": people.PASSWORD}).json()["token"]
    client.headers["Authorization"] = f"Bearer {token}"
    assert client.post("/api/v1/user:get").json()["user"]["id"] == made["user"]["id"]
    client.post("/api/v1/user:identity", json={"realname": "Zhang San", "idcard": people.resident_id(777)})
    org = {"legalName": "Li Si", "orgName": "HTTP", "code": people.org_code(90_001), "legalPhone": "0871-6512345"}
    assert client.post("/api/v1/org:identity", json=org).status_code == 200
    class_id = client.post("/api/v1/goods/class:create", json={"goodsName": "Arabica"}).json()["classId"]
    serial = {"classId": class_id, "productTime": "2026-05-01T08:00:00Z"}
    serial_id = client.post("/api/v1/goods/serial:create", json=serial).json()["serialId"]
    (goods,) = client.post("/api/v1/goods:batch_create", json={"serialId": serial_id, "sum": 1}).json()["ids"]
    circ = {"goodsId": goods, "circType": "process", "formValue": "eyJtb2lzdHVyZSI6MTEuMn0"}
    answer = client.post("/api/v1/circ:create", json=circ, headers={"Idempotency-Key": "one"}).json()
    again = client.post("/api/v1/circ:create", json=circ, headers={"Idempotency-Key": "one"}).json()
    assert again == answer
    history = client.post("/api/v1/circ:get", json={"goodsId": goods}).json()
    assert [one["circType"] for one in history["circRecords"]] == ["produce", "process"]
    assert history["circRecords"][1]["transId"] == answer["transId"]
    assert history["circRecords"][1]["fromValue"] == '{"moisture":11.2}'


def test_a_refusal_is_a_status_with_its_details(own: httpx.Client, client: httpx.Client) -> None:
    answer = own.post("/api/v1/goods/class:list", json={"limit": 5})
    assert (answer.status_code, answer.json()["code"]) == (403, 7)
    assert _details(answer)["ErrorInfo"]["reason"] == "PERMISSION_DENIED"
    answer = client.post("/api/v1/circ:get", json={"goodsId": "many"})
    assert answer.status_code == 400
    assert answer.json()["message"] == "goodsId: many, want a whole number from -2147483648 to 2147483647"
    assert _details(answer)["BadRequest"]["fieldViolations"][0]["field"] == "goodsId"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/api/", "/api/v1", "/api/v1/circ", "/api/v1/circ%3Aget", "/api//v1/circ:get"])
def test_what_has_no_route_is_not_found(client: httpx.Client, path: str) -> None:
    answer = client.post(path, json={})
    assert answer.status_code == 404


def test_every_status_has_its_http_status() -> None:
    assert set(HTTP_STATUS) == set(Status)


def test_what_is_said_of_a_request_is_short(client: httpx.Client) -> None:
    for body in ({"x" * 1_000_000: 1}, {"goodsId": "9" * 1_000_000}, {"goodsId": {"x": "y" * 1_000_000}}):
        answer = client.post("/api/v1/circ:get", json=body)
        assert answer.status_code == 400
        assert len(answer.content) < 2_000
    assert len(client.post("/api/v1/" + "x" * 10_000).content) < 2_000


def test_a_body_is_bounded(client: httpx.Client) -> None:
    answer = client.post("/api/v1/circ:get", headers=JSON, content=b" " * (http.BODY_BYTES_MAX + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, 3)
    fits = b'{"goodsId":1}'.ljust(http.BODY_BYTES_MAX)
    assert client.post("/api/v1/circ:get", headers=JSON, content=fits).status_code in (200, 404)


@pytest.mark.parametrize(
    "body", [b"[" * 2_000_000, b'{"a":' * 500_000, b"9" * 1_000_000, b"\x00", b'{"goodsId":1e999}']
)
def test_a_body_that_would_overflow_something_is_refused(client: httpx.Client, body: bytes) -> None:
    assert client.post("/api/v1/circ:get", headers=JSON, content=body).status_code == 400


def test_a_type_is_bounded(client: httpx.Client) -> None:
    for path in ("/api/v1/circ:get", "/api/v1/file:upload"):
        answer = client.post(path, headers={"Content-Type": 'a/b;x="' + ";" * 60_000}, content=b"{}")
        assert answer.status_code == 400
        assert len(answer.content) < 2_000


def test_a_packed_body_is_refused_unread(client: httpx.Client) -> None:
    """64 MiB of spaces are 64 KiB on the way."""
    bomb = gzip.compress(b" " * 64 * 1024 * 1024)
    for path in ("/api/v1/circ:get", "/api/v1/file:upload"):
        answer = client.post(path, headers={**JSON, "Content-Encoding": "gzip"}, content=bomb)
        assert answer.status_code == 415
        assert "content-encoding: gzip, want the body as it is" in answer.json()["message"]
    assert client.post("/api/v1/circ:get", headers={**JSON, "Content-Encoding": "identity"}, content=b"{}").is_error


def test_a_client_that_leaves_in_the_middle_disturbs_nobody(node: RunningNode, client: httpx.Client) -> None:
    host, _, port = node.ready["http"].rpartition(":")
    for path in ("/api/v1/circ:get", "/api/v1/file:upload"):
        with socket.create_connection((host, int(port)), 10) as connection:
            connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf".encode())
    assert client.post("/api/v1/contract/name:call").json() == {"contractName": "VTrace"}


def _served(own: httpx.Client, answer: httpx.Response) -> httpx.Response:
    assert answer.status_code == 200, answer.text
    return own.get("/ipfs/" + answer.json()["url"].rpartition("/")[2])


def test_a_file_is_uploaded_as_it_is(own: httpx.Client) -> None:
    content = os.urandom(3_000_000)

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(content), 100_000):
            yield content[start : start + 100_000]

    url = "/api/v1/file:upload?filename=%E6%A0%B7%E5%93%81.bin&lot=7"
    got = _served(own, own.post(url, content=pieces(), headers={"Content-Type": "application/octet-stream"}))
    assert hashlib.sha256(got.content).digest() == hashlib.sha256(content).digest()
    assert "%E6%A0%B7%E5%93%81.bin" in got.headers["content-disposition"]


def test_a_declared_type_counts(own: httpx.Client) -> None:
    shown = _served(
        own, own.post("/api/v1/file:upload", content=b"plain words", headers={"Content-Type": "text/plain"})
    )
    assert shown.headers["content-disposition"].startswith("inline")
    other = _served(own, own.post("/api/v1/file:upload", content=b"more words", headers={"Content-Type": "image/png"}))
    assert other.headers["content-disposition"].startswith("attachment")
    empty = _served(own, own.post("/api/v1/file:upload", content=b""))
    assert empty.content == b""


def test_a_file_is_uploaded_in_a_form(own: httpx.Client) -> None:
    content = os.urandom(500_000) + b"\r\n--" + os.urandom(1_000)
    answer = own.post("/api/v1/file:upload", data={"lot": "7"}, files={"file": ("lab.bin", content)})
    got = _served(own, answer)
    assert got.content == content
    assert 'filename="lab.bin"' in got.headers["content-disposition"]


def _form(*parts: bytes, end: bytes = b"--B--\r\n") -> bytes:
    return b"".join(b"--B\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + end


@pytest.mark.parametrize(
    ("body", "boundary", "said"),
    [
        (_form(b'name="lot"\r\n\r\n7'), "B", "a form without a file"),
        (_form(b'name="f"; filename="a"\r\n\r\nx', b'name="lot"\r\n\r\n7'), "B", "after the file"),
        (_form(b'name="f"; filename="a"\r\n\r\nx', end=b""), "B", "multipart"),
        (_form(b'name="lot"\r\n\r\n' + b"7" * 20_000), "B", "at most 16384 bytes"),
        (_form(b'name="lot"\r\n\r\n\xff'), "B", "UTF-8"),
        (_form(*[b'name="k%d"\r\n\r\n7' % number for number in range(40)]), "B", "Maximum segment count"),
        (_form(b'name="f"; filename="../a"\r\n\r\nx'), "B", "filename"),
        (b"nothing of a form", "B", "multipart"),
        (_form(b'name="f"; filename="a"\r\n\r\nx'), "", "boundary"),
    ],
)
def test_a_bad_form_is_refused(own: httpx.Client, body: bytes, boundary: str, said: str) -> None:
    kind = f"multipart/form-data; boundary={boundary}" if boundary else "multipart/form-data"
    answer = own.post("/api/v1/file:upload", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert said in answer.text


def test_an_upload_without_a_token_is_refused_at_once(node: RunningNode) -> None:
    host, _, port = node.ready["http"].rpartition(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(b"POST /api/v1/file:upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nhalf")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in answer.lower()


def test_an_upload_that_breaks_leaves_nothing(node: RunningNode, own: httpx.Client, person: Person) -> None:
    host, _, port = node.ready["http"].rpartition(":")
    head = f"POST /api/v1/file:upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {person.client.token}\r\n"
    for _ in range(12):  # more than may run at once: each must give its place back
        with socket.create_connection((host, int(port)), 10) as connection:
            connection.sendall(f"{head}Content-Length: 100\r\n\r\nhalf".encode())
    deadline = time.monotonic() + 30
    while (answer := own.post("/api/v1/file:upload", content=b"whole")).status_code == 429:
        assert answer.headers["retry-after"] == "1"
        assert time.monotonic() < deadline
    assert _served(own, answer).content == b"whole"
    parts = node.data_dir / "files" / "parts"
    assert parts.is_dir()
    eventually(lambda: not list(parts.iterdir()))


def test_the_document_has_every_route(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    rules = [method.GetOptions().Extensions[annotations_pb2.http] for method in METHODS]
    routes = {rule.post or rule.get for rule in rules}
    assert set(document["paths"]) == routes
    assert client.post("/openapi.json").status_code == 405


def test_the_document_says_what_the_protocol_says(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    all_of = {path: operation for path, (operation,) in ((p, one.values()) for p, one in document["paths"].items())}
    for path, operation in all_of.items():
        assert operation["summary"], path
        assert operation["description"].startswith(operation["summary"])
    ours = {name: one for name, one in document["components"]["schemas"].items() if not name.startswith("google.")}
    for name, schema in ours.items():
        assert schema["description"], name
        assert all(field.get("description") for field in schema.get("properties", {}).values()), name
    anyone = {one["operationId"] for one in all_of.values() if one.get("security") == []}
    assert anyone == {name for name, access in ACCESS.items() if access.open_to_anyone}


def test_the_document_tells_what_a_caller_with_its_own_key_sends(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    wanted = {"vtrace-signature-bin", "vtrace-salt-bin", "vtrace-version"}
    signed = {
        one["operationId"]
        for path in document["paths"].values()
        for one in path.values()
        if wanted <= {each["name"] for each in one["parameters"] if each["in"] == "header"}
    }
    assert signed == {"CreateCirc", "BatchCirc", "BatchCreateGoods"}


def test_nobody_is_sent_to_a_host_of_their_own(client: httpx.Client) -> None:
    for path in ("/docs/", "/epcis/events/", "/openapi.json/", "//evil.example/docs/"):
        answer = client.get(path, headers={"Host": "evil.example"})
        assert answer.status_code in (400, 404), path
        assert "location" not in answer.headers, path


def test_the_document_names_only_what_it_has(client: httpx.Client) -> None:
    text = client.get("/openapi.json").text
    document = json.loads(text)

    def references(value: Any) -> Iterator[str]:
        for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from references(one)
        if isinstance(value, dict) and "$ref" in value:
            yield value["$ref"]

    for reference in references(document):
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_the_page_loads_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert "'self'" in page.headers["content-security-policy"]
    assert "http" not in page.headers["content-security-policy"]
    loaded = [text.split('"')[0] for text in page.text.replace('href="', 'src="').split('src="')[1:]]
    assert len(loaded) == 5
    for name in loaded:
        assert ":" not in name
        assert client.get(f"/{name}").status_code == 200
    assert client.get("/docs/swagger-ui.js").status_code == 404
    assert client.get("/docs/..%2Fpyproject.toml").status_code == 404
