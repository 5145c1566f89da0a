"""The embedded chain's JSON-RPC over HTTP: it answers auditors, and nothing that a stranger sends disturbs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.node import RunningNode


@pytest.fixture
def http(node: RunningNode) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{node.ready['http']}", timeout=30) as client:
        yield client


def _call(method: str, *params: Any, call_id: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call_id, "method": method, "params": list(params)}


def test_a_single_call_and_a_batch(http: httpx.Client, node: RunningNode) -> None:
    single = http.post("/rpc", json=_call("eth_chainId")).json()
    assert single == {"jsonrpc": "2.0", "id": 1, "result": hex(node.ready["chain_id"])}
    batch = http.post("/rpc", json=[_call("eth_chainId", call_id="a"), _call("no_such", call_id=None)]).json()
    assert batch[0]["id"] == "a"
    assert (batch[1]["id"], batch[1]["error"]["code"]) == (None, -32601)


def test_what_writes_is_not_served(http: httpx.Client) -> None:
    answer = http.post("/rpc", json=_call("eth_sendRawTransaction", "0x00")).json()
    assert answer["error"]["code"] == -32601


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, -32700),
        (b"{", 400, -32700),
        (b"\xff\xfe", 400, -32700),
        (b"[" * 50_000, 400, -32700),
        (b"[]", 400, -32600),
        (json.dumps([_call("eth_chainId")] * 101).encode(), 400, -32600),
        (b'"' + b"x" * 1024 * 1024 + b'"', 413, -32600),
        (b"1", 200, -32600),
        (b"null", 200, -32600),
        (b'{"method":7}', 200, -32600),
        (b'{"id":{},"method":"eth_chainId","params":7}', 200, -32602),
        (b'{"id":NaN,"method":"eth_blockNumber","params":[1e999]}', 200, None),
        (b'{"id":1e999,"method":"nope"}', 200, -32601),
    ],
)
def test_rubbish_is_refused(http: httpx.Client, body: bytes, status: int, code: int | None) -> None:
    answer = http.post("/rpc", content=body)
    assert answer.status_code == status
    told = answer.json()
    assert code is None or told["error"]["code"] == code
    assert http.post("/rpc", json=_call("eth_chainId")).status_code == 200


def test_other_methods_and_paths(http: httpx.Client) -> None:
    assert http.get("/rpc").status_code == 405
    assert http.get("/nothing").status_code == 404
