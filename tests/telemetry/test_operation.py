"""What operators' tools see of a real node: figures, health, readiness, ids of requests."""

from __future__ import annotations

import re
from collections.abc import Iterator

import grpc
import httpx
import pytest

from tests.flow.world import Running, started
from tests.support import people
from tests.support.node import eventually
from tests.support.wire_client import SERVICE, Refusal
from tests.telemetry.asking import SERVING, Key, config, health, key, own, read, ready, url


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with started(config(tmp_path_factory.mktemp("operation") / "d")) as running:
        yield running


def test_figures_count_what_happened(node: Running) -> None:
    before = read(url(node, "/metrics"))
    maker = people.maker(node.client)
    (goods_id,) = maker.goods(1)
    for _ in range(3):
        maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
    with pytest.raises(Refusal):
        maker.boss.call("CreateCirc", goods_id=goods_id + 1_000, circ_type=1)
    httpx.post(url(node, "/api/v1/circ:get"), json={"goodsId": goods_id})
    httpx.get(url(node, "/of-strangers-choice"))
    people.settled(node.client, goods_id)
    after = eventually(lambda: (now := read(url(node, "/metrics"))).get(key("vtrace_unfinished")) == 0 and now)

    def grown(found: Key) -> float:
        return after[found] - before.get(found, 0)

    assert grown(own("vtrace_rpc_calls_total", rpc="CreateCirc", status="OK")) == 3
    assert grown(own("vtrace_rpc_calls_total", rpc="CreateCirc", status="NOT_FOUND")) == 1
    assert grown(own("vtrace_rpc_seconds_count", rpc="CreateCirc")) == 4
    assert grown(own("vtrace_rpc_seconds_bucket", rpc="CreateCirc", le="+Inf")) == 4
    assert grown(own("vtrace_group_commit_size_sum")) >= 3
    assert grown(own("vtrace_commit_seconds_count")) >= 3
    for pool in ("rpc", "http", "index"):
        assert grown(own("vtrace_pool_wait_seconds_count", pool=pool)) >= 1
    assert grown(own("vtrace_http_requests_total", area="api", status="200")) >= 1
    assert grown(own("vtrace_http_requests_total", area="other", status="404")) == 1
    assert grown(own("vtrace_http_seconds_count", area="other")) == 1
    assert after[key("vtrace_backlog")] == 0
    assert after[key("vtrace_chain_head")] >= 1
    (lane,) = {dict(labels)["lane"] for name, labels in after if name == "vtrace_lane_open"}
    assert re.fullmatch(r"0x[0-9a-fA-F]{40}", lane)
    assert after[key("vtrace_lane_next_nonce", lane=lane)] >= 5
    assert after[own("process_resident_memory_bytes")] > 1e7
    assert not any("strangers" in value for _, labels in after for _, value in labels)


def test_fees_are_what_balances_fell_by(node: Running) -> None:
    """The embedded chain takes fees as any other; the nudger looks at balances every few seconds."""
    found = eventually(
        lambda: {name: value for (name, _), value in read(url(node, "/metrics")).items() if "wei" in name}
    )
    assert found["vtrace_lane_balance_wei"] > 0
    assert found["vtrace_fees_spent_wei_total"] >= 0


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-for": "203.0.113.9"},
        {"forwarded": "for=203.0.113.9"},
        {"via": "1.1 proxy"},
        {"host": "trace.example.com"},
        {"host": "rebound.example:8080"},
        {"host": "[::1"},
    ],
)
def test_figures_are_not_there_for_who_comes_through_a_proxy_or_from_a_page(
    node: Running, headers: dict[str, str]
) -> None:
    assert httpx.get(url(node, "/metrics"), headers=headers).status_code == 404
    assert httpx.get(url(node, "/healthz"), headers=headers).status_code == 200


def test_health_is_told_by_service(node: Running) -> None:
    for service in ("", SERVICE, "vtrace.v1.VTraceCustody", "vtrace.v1.VTraceWatch"):
        assert health(node, service) == SERVING
    eventually(lambda: health(node, "vtrace.v1.Models") == SERVING)
    with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
        health(node, "vtrace.v1.Nothing")


def test_a_node_is_ready_when_its_contract_is_in_place(node: Running) -> None:
    eventually(lambda: ready(node) == (200, {}))
    assert httpx.get(url(node, "/healthz")).json() == {"status": "alive"}


def test_every_http_answer_has_the_id_of_its_request(node: Running) -> None:
    given = "0123456789abcdef" * 2
    answer = httpx.post(url(node, "/api/v1/circ:get"), json={"goodsId": 99_999}, headers={"x-request-id": given})
    assert (answer.status_code, answer.headers.get_list("x-request-id")) == (404, [given])
    assert given in answer.text
    for headers in ({}, {"x-request-id": "13800000001"}):
        (made,) = httpx.get(url(node, "/healthz"), headers=headers).headers.get_list("x-request-id")
        assert re.fullmatch(r"[0-9a-f]{32}", made)
