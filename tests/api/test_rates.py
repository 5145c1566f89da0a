"""Who calls too often is told when to come again, whichever way it calls: one count for all ways to the same thing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from node.api.client import AuditedNode, NodeClient
from node.clock import Clock, now_micros
from node.config import Config
from node.domain.rates import Limit, Rate
from node.flow.rates import Rates
from tests.flow.world import Running, started
from tests.support import people
from tests.support.wire_client import SERVICE, Refusal

FACTOR = 0.02
PUBLIC_READS = round(Rate.PUBLIC_READ.address.burst * FACTOR)


class Standing(Rates):
    """For which time stands still while it is told so: then nothing flows back, however slow the machine is."""

    stands_at: int | None = None

    def __init__(self, clock: Clock, *given: Any) -> None:
        super().__init__(lambda: clock() if Standing.stands_at is None else Standing.stands_at, *given)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A node behind a proxy, which lets through a fiftieth of what nodes do."""
    folder: Path = tmp_path_factory.mktemp("rates")
    config = Config(folder / "data", "127.0.0.1:0", "127.0.0.1:0", trusted_proxies=1, rate_factor=FACTOR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("node.app.Rates", Standing)
        with started(config) as made:
            yield made


@pytest.fixture
def time_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Standing, "stands_at", now_micros())


def read(running: Running, address: str) -> grpc.RpcError | None:
    """GetCirc as the proxy hands it on."""
    with grpc.insecure_channel(running.ready.grpc) as channel:
        call = channel.unary_unary(f"/{SERVICE}/GetCirc")
        request = running.client.request("GetCirc", goods_id=1).SerializeToString()
        try:
            call(request, metadata=[("x-forwarded-for", address)])
        except grpc.RpcError as refused:
            return refused if refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED else None
        return None


@pytest.mark.usefixtures("time_stands")
@pytest.mark.parametrize(
    "way", ["/t/1", "/01/09506000134352/21/1", "/t/1/qr.svg", "/ipfs/x", "/rpc", "/api/v1/circ:get"]
)
def test_what_is_public_has_one_count_over_every_way(running: Running, way: str) -> None:
    """Goods can't be enumerated faster by a page than by GetCirc, nor by both together."""
    address = f"198.51.100.{sum(way.encode()) % 250}"
    headers = {"x-forwarded-for": address}
    with httpx.Client(base_url=f"http://{running.ready.http}", headers=headers) as client:
        post = way in ("/rpc", "/api/v1/circ:get")

        def ask() -> httpx.Response:
            return client.post(way, json={"goodsId": 1}) if post else client.get(way)

        for _ in range(PUBLIC_READS // 2):
            assert ask().status_code != 429
            assert read(running, address) is None
        refused = ask()
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert "too many public reads" in refused.text
    others = {"x-forwarded-for": "203.0.113.77"}
    assert httpx.get(f"http://{running.ready.http}/t/1", headers=others).status_code == 404


@pytest.mark.usefixtures("time_stands")
def test_a_refusal_says_when_to_come_again(running: Running) -> None:
    refused = [read(running, f"2001:db8:7:7::{number:x}") for number in range(PUBLIC_READS + 4)]
    assert [one is not None for one in refused] == [False] * PUBLIC_READS + [True] * 4
    fault = refused[-1]
    assert fault is not None
    details = {detail.TypeName(): detail for detail in rpc_status.from_call(fault).details}
    retry = error_details_pb2.RetryInfo()
    assert details["google.rpc.RetryInfo"].Unpack(retry)
    assert retry.retry_delay.seconds >= 1


@pytest.mark.usefixtures("time_stands")
def test_what_a_caller_says_of_its_own_address_counts_for_nothing(running: Running) -> None:
    answers = [read(running, f"10.0.0.{number}, 198.51.100.251") for number in range(PUBLIC_READS + 4)]
    assert any(answers)


@pytest.mark.usefixtures("time_stands")
def test_a_user_is_held_to_its_own_limit(running: Running) -> None:
    one, other = people.register(running.client), people.register(running.client)

    def call_often() -> None:
        for _ in range(round(Rate.READ.user.burst * FACTOR) * 3):
            one.call("Profile")

    with pytest.raises(Refusal, match="too many reads") as refused:
        call_often()
    assert refused.value.status == "RESOURCE_EXHAUSTED"
    assert other.call("Profile")
    with pytest.raises(Refusal) as denied:
        one.call("CreateGoodsClass")
    assert denied.value.status == "PERMISSION_DENIED", "another class has a count of its own"


@pytest.mark.usefixtures("time_stands")
@pytest.mark.parametrize(
    ("way", "is_known", "limit"),
    [
        ("/epcis/capture", True, Rate.WRITE.user),
        ("/epcis/capture", False, Rate.WRITE.address),
        ("/epcis/events", True, Rate.HEAVY_READ.user),
        ("/epcis/events", False, Rate.PUBLIC_READ.address),
    ],
)
def test_events_are_counted_too(running: Running, way: str, is_known: bool, limit: Limit) -> None:
    token = people.register(running.client).client.token if is_known else "rubbish"
    headers = {"x-forwarded-for": f"2001:db8:{limit.burst}::1", "authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"http://{running.ready.http}", headers=headers) as client:
        answers = [client.get(way) for _ in range(round(limit.burst * FACTOR) + 1)]
    assert [answer.status_code == 429 for answer in answers] == [False] * (len(answers) - 1) + [True]


@pytest.mark.usefixtures("time_stands")
def test_guesses_of_tokens_count_by_address(running: Running) -> None:
    address = {"x-forwarded-for": "198.51.100.252", "authorization": "Bearer rubbish"}
    with httpx.Client(base_url=f"http://{running.ready.http}", headers=address) as client:
        tries = range(round(Rate.READ.address.burst * FACTOR) * 3)
        assert {client.post("/api/v1/user:get", json={}).status_code for _ in tries} == {401, 429}


def test_an_audit_waits_as_it_is_told(running: Running) -> None:
    """The limit is a partner's too: its audit goes on when it may."""

    class Proxied(NodeClient):
        def call(self, name, request, token=None, metadata=()):  # type: ignore[no-untyped-def]
            return super().call(name, request, token, [*metadata, ("x-forwarded-for", "198.51.100.253")])

    with Proxied(running.ready.grpc) as client:
        node = AuditedNode(client)
        assert [node.history(goods) for goods in range(1, PUBLIC_READS + 3)] == [None] * (PUBLIC_READS + 2)
