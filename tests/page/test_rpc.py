"""The embedded chain's JSON-RPC over HTTP: it answers auditors, and nothing that a stranger sends disturbs it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest

from node.page import rpc
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
        (b'{"id":"\\ud800","method":"eth_chainId"}', 200, None),
        (b'{"id":1,"method":"\\ud800"}', 200, -32601),
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


def test_a_call_asks_the_contract_alone_and_cheaply(http: httpx.Client, node: RunningNode) -> None:
    contract = node.ready["contract"]
    name = "0x06fdde03"
    told = http.post("/rpc", json=_call("eth_call", {"to": contract, "data": name, "gas": "0xffffff"}, "latest")).json()
    assert b"VTrace" in bytes.fromhex(told["result"][2:])
    blake2f = "0x" + "00" * 19 + "09"
    for call in ({"to": blake2f, "data": "0x"}, {"data": "0x5b600056"}, {"to": 7}, 7):
        assert http.post("/rpc", json=_call("eth_call", call, "latest")).json()["error"]["code"] == -32602
    assert http.post("/rpc", json=_call("eth_call")).json()["error"]["code"] == -32602


def test_a_proof_is_of_the_contract_alone(http: httpx.Client, node: RunningNode) -> None:
    contract, slots = node.ready["contract"], ["0x" + "00" * 32] * 8
    for address in (contract, contract.lower()):
        told = http.post("/rpc", json=_call("eth_getProof", address, slots, "latest")).json()
        assert len(told["result"]["storageProof"]) == 8
    for params in ((contract, [*slots, "0x0"]), ("0x" + "00" * 20, []), (contract, "0x0"), (contract,), (7, []), ()):
        assert http.post("/rpc", json=_call("eth_getProof", *params, "latest")).json()["error"]["code"] == -32602


def test_a_request_has_a_budget_of_bytes(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    code = _call("eth_getCode", "0x" + "00" * 20, "latest")
    answers = http.post("/rpc", json=[code] * 100).json()
    assert all("result" in answer for answer in answers)
    endpoint = rpc.RpcEndpoint(_Long(), "0x" + "11" * 20)
    monkeypatch.setattr(rpc, "ANSWER_BYTES_MAX", 10_000)
    told = [json.loads(answer) for answer in endpoint._answers([code] * 20)]
    assert ["result" in answer for answer in told] == [True] * 10 + [False] * 10
    assert {answer["error"]["code"] for answer in told[10:]} == {-32005}
    monkeypatch.setattr(rpc, "ANSWER_SECONDS_MAX", -1.0)
    assert "error" in json.loads(endpoint._answers([code])[0])


class _Long:
    """A chain whose every answer has a thousand characters."""

    def batch(self, calls: Sequence[Any]) -> list[Any]:
        return ["x" * 1_000 for _ in calls]

    def close(self) -> None:
        """Nothing to close."""
