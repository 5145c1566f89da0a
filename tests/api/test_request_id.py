"""The id of a call: taken from the caller if it is one, told with a refusal, kept in the audit log."""

from __future__ import annotations

import re
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from node.api.dispatch import guarded
from node.errors import Reason, Status, VTraceError
from node.request_id import HEADER, current, id_in, working_for
from node.wire.vtrace.v1 import service_pb2 as wire
from tests.api.test_witness import entries
from tests.support import people
from tests.support.node import RunningNode, eventually

MADE = re.compile(r"[0-9a-f]{32}")
UUID = "0190a5B2-7c3e-7d4f-8a1b-2c3d4e5f6071"


@pytest.mark.parametrize("given", [UUID, "a" * 32])
def test_an_id_is_taken(given: str) -> None:
    assert id_in([("authorization", "x"), (HEADER, given)]) == given


@pytest.mark.parametrize(
    "given", ["", "13800138000", "11010519491231002X", "a" * 31, "a" * 33, "g" * 32, f"{UUID}\n", UUID.encode()]
)
def test_anything_else_is_not(given: str | bytes) -> None:
    made = [id_in([(HEADER, given)]) for _ in range(2)]
    assert all(MADE.fullmatch(one) for one in made)
    assert made[0] != made[1]


def test_work_knows_the_call_that_it_is_for() -> None:
    assert current() == ""
    with working_for("1"):
        with working_for("2"):
            assert current() == "2"
        assert current() == "1"
    assert current() == ""


def test_an_unexpected_error_says_it_to_the_caller_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with working_for(UUID), pytest.raises(VTraceError, match=UUID) as refused:
        guarded("CreateCirc", Reason.CREATE_CIRC_FAILED, lambda: 1 // 0)
    assert refused.value.status is Status.INTERNAL
    (line,) = caplog.records
    assert UUID in line.getMessage()
    assert line.exc_info is not None


def refused_over_grpc(node: RunningNode, metadata: list[tuple[str, str]]) -> str:
    with grpc.insecure_channel(node.ready["grpc"]) as channel:
        ask = channel.unary_unary(
            "/vtrace.v1.VTraceInterface/UpdateClass",
            request_serializer=wire.UpdateClassRequest.SerializeToString,
        )
        with pytest.raises(grpc.RpcError) as refused:
            ask(wire.UpdateClassRequest(), metadata=metadata, timeout=30)
    told = rpc_status.from_call(refused.value)
    assert told is not None
    info = error_details_pb2.RequestInfo()
    assert [detail.Unpack(info) for detail in told.details].count(True) == 1
    return str(info.request_id)


def kept(node: RunningNode, request_id: str) -> dict[str, Any]:
    found = eventually(lambda: [one for one in entries(node) if one.get("request") == request_id])
    (entry,) = found
    result: dict[str, Any] = entry
    return result


def test_a_refusal_and_its_entry_in_the_log_have_one_id(node: RunningNode) -> None:
    assert refused_over_grpc(node, [(HEADER, UUID)]) == UUID
    assert kept(node, UUID)["result"] == "UNAUTHENTICATED"
    assert MADE.fullmatch(refused_over_grpc(node, [(HEADER, "mine")]))


def test_http_says_it_with_every_answer_of_an_api(node: RunningNode) -> None:
    person = people.register(node.client)
    base = f"http://{node.ready['http']}"
    own = {"authorization": f"Bearer {person.client.token}"}
    with httpx.Client(base_url=base, timeout=30, headers=own) as http:
        well = http.post("/api/v1/user:get", json={}, headers={HEADER: "b" * 32})
        assert (well.status_code, well.headers[HEADER]) == (200, "b" * 32)
        refused = http.post("/api/v1/goods/class:create", json={}, headers={HEADER: "c" * 32})
        assert refused.status_code == 403
        assert refused.headers[HEADER] == refused.json()["details"][-1]["requestId"] == "c" * 32
        nowhere = http.get("/api/v1/nowhere")
        assert nowhere.headers[HEADER] == nowhere.json()["details"][-1]["requestId"]
        assert MADE.fullmatch(nowhere.headers[HEADER])
        captured = http.post("/epcis/capture", json={}, headers={HEADER: "d" * 32})
        assert (captured.status_code, captured.headers[HEADER]) == (403, "d" * 32)
        for query, status in (("", 403), ("?bad=1", 400)):
            asked = http.get(f"/epcis/events{query}", headers={HEADER: "e" * 32})
            assert (asked.status_code, asked.headers[HEADER]) == (status, "e" * 32)
    assert kept(node, "c" * 32)["who"] == person.username
    assert kept(node, "d" * 32)["call"] == "capture"
