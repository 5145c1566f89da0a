"""Traces lead from the caller's span over the rpc to the chain's receipt, at a collector that is really there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import grpc
import httpx
import pytest

from node.calling import TRANS_IDS_MAX, Calling
from node.errors import IndexUnavailable
from node.measures import Spread
from node.telemetry import traces
from node.telemetry.traces import NOT_FOLLOWED, NOT_SENT, SENT, TOO_MANY, Known, Traces
from tests.flow.world import Running, started
from tests.support import people
from tests.support.node import eventually
from tests.support.wire_client import SERVICE
from tests.telemetry.asking import config, key, read, url
from tests.telemetry.collector import Collector, attributes, collecting

CALLERS_TRACE, CALLERS_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
REQUEST = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture(scope="module")
def node(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with started(config(tmp_path_factory.mktemp("traces") / "d", traces=collector.url)) as running:
        yield running


def create(node: Running, maker: people.Maker, goods_id: int, *metadata: tuple[str, str]) -> str:
    """Record a circ over HTTP; answers its trans_id."""
    headers = {"authorization": f"Bearer {maker.boss.client.token}", **dict(metadata)}
    answer = httpx.post(url(node, "/api/v1/circ:create"), json={"goodsId": goods_id, "circType": 1}, headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["transId"])


def test_a_trace_leads_from_the_caller_to_the_receipt(node: Running, collector: Collector) -> None:
    maker = people.maker(node.client)
    (goods_id,) = maker.goods(1)
    given = f"00-{CALLERS_TRACE}-{CALLERS_SPAN}-01"
    trans_id = create(node, maker, goods_id, ("traceparent", given), ("x-request-id", REQUEST))

    def receipts() -> list[Any]:
        return [span for span in collector.named("receipt") if attributes(span)["vtrace.trans_id"] == trans_id]

    (receipt,) = eventually(receipts)
    (call,) = [span for span in collector.named("CreateCirc") if attributes(span)["vtrace.request_id"] == REQUEST]
    (commit,) = [span for span in collector.named("commit") if span.parent_span_id == call.span_id]
    assert {span.trace_id.hex() for span in (call, commit, receipt)} == {CALLERS_TRACE}
    assert call.parent_span_id.hex() == CALLERS_SPAN
    assert receipt.parent_span_id == call.span_id
    assert attributes(call) == {
        "rpc.system": "grpc",
        "rpc.method": "CreateCirc",
        "rpc.response.status_code": "OK",
        "vtrace.request_id": REQUEST,
        "vtrace.user": maker.boss.username,
        "vtrace.trans_ids": [trans_id],
    }
    assert call.start_time_unix_nano <= commit.start_time_unix_nano < commit.end_time_unix_nano
    assert commit.end_time_unix_nano <= call.end_time_unix_nano <= receipt.start_time_unix_nano
    states = [event.name for event in receipt.events]
    assert states[-1] == "final"
    assert all(first != second for first, second in pairwise(states))
    assert receipt.end_time_unix_nano == receipt.events[-1].time_unix_nano > call.end_time_unix_nano
    (circ,) = [circ for circ in people.history(node.client, goods_id) if circ.trans_id.value == trans_id]
    assert attributes(receipt) == {
        "vtrace.trans_id": trans_id,
        "vtrace.state": "final",
        "vtrace.tx_hash": circ.tx_hash.value,
    }
    assert collector.resources[0]["service.name"] == "vtrace"
    assert collector.resources[0]["service.instance.id"] == "1"


def test_a_call_that_holds_no_thread_is_traced_as_well(node: Running, collector: Collector) -> None:
    maker = people.maker(node.client)
    trans_ids = [
        maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value for goods_id in maker.goods(3)
    ]
    for trans_id in trans_ids:

        def recorded(trans_id: str = trans_id) -> list[Any]:
            return [
                span for span in collector.named("CreateCirc") if attributes(span)["vtrace.trans_ids"] == [trans_id]
            ]

        (call,) = eventually(recorded)
        assert attributes(call)["vtrace.user"] == maker.boss.username
        (commit,) = [span for span in collector.named("commit") if span.parent_span_id == call.span_id]
        assert commit.trace_id == call.trace_id
        assert call.start_time_unix_nano <= commit.start_time_unix_nano
        assert commit.end_time_unix_nano <= call.end_time_unix_nano


def test_a_trace_that_begins_here_has_the_id_of_its_request(node: Running, collector: Collector) -> None:
    request = "000000000000000000000000000000aa"
    for parent in ((), (("traceparent", "00-rubbish"),)):
        with grpc.insecure_channel(node.ready.grpc) as channel:
            call = channel.unary_unary(f"/{SERVICE}/GetCirc")
            with pytest.raises(grpc.RpcError):
                call(b"", timeout=10, metadata=(("x-request-id", request), *parent))

    def refused() -> list[Any]:
        return [span for span in collector.named("GetCirc") if span.trace_id.hex() == request]

    for span in eventually(lambda: len(found := refused()) == 2 and found):
        assert span.parent_span_id == b""
        assert attributes(span)["rpc.response.status_code"] == "INVALID_ARGUMENT"
        assert span.status.code == 0  # the caller's mistake


def test_who_asks_not_to_be_traced_is_not(node: Running, collector: Collector) -> None:
    with grpc.insecure_channel(node.ready.grpc) as channel:
        call = channel.unary_unary(f"/{SERVICE}/ContractName")
        call(b"", timeout=10, metadata=(("traceparent", f"00-{'1' * 32}-{CALLERS_SPAN}-00"),))
        call(b"", timeout=10, metadata=(("traceparent", f"00-{'2' * 32}-{CALLERS_SPAN}-01"),))
    assert {span.trace_id.hex() for span in eventually(lambda: collector.named("ContractName"))} == {"2" * 32}


def test_spans_are_counted(node: Running, collector: Collector) -> None:
    def sent() -> float:
        return read(url(node, "/metrics"))[key("vtrace_trace_spans_total", worker="1", outcome="sent")]

    eventually(lambda: sent() == len(collector.spans) > 0)


class Way:
    """A Traces of its own, and what the index knows."""

    def __init__(self, collector: Collector) -> None:
        self.known: dict[str, Known] = {}
        self.traces = Traces(collector.url, "7", lambda asked: self._look(list(asked)), IndexUnavailable)

    def _look(self, asked: list[str]) -> dict[str, Known]:
        return {trans_id: self.known[trans_id] for trans_id in asked if trans_id in self.known}

    def call(self, *trans_ids: str, status: str = "OK") -> None:
        self.traces.tell_call(Calling("Test", REQUEST, 1_000, 0.0, trans_ids=trans_ids), status, 0.5)

    def counts(self) -> dict[str, float | Spread]:
        (figure,) = self.traces.figures()
        return {labels["outcome"]: value for labels, value in figure.values if value}


@pytest.fixture
def away() -> Iterator[Collector]:
    with collecting() as made:
        yield made


def test_what_a_collector_does_not_take_is_dropped_and_counted(
    away: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "PAUSE_SECONDS_FIRST", 0.0)
    monkeypatch.setattr(traces, "ENDED_MAX", 3)
    monkeypatch.setattr(traces, "SPANS_MAX", 2)
    way = Way(away)
    away.status = 400
    for _ in range(5):
        way.call()
    way.traces.step()
    assert way.counts() == {TOO_MANY: 2, NOT_SENT: 3}
    away.status = 200
    way.call()
    way.traces.step()
    assert way.counts() == {TOO_MANY: 2, NOT_SENT: 3, SENT: 1}
    assert len(away.spans) == 1
    way.traces.stop()


def test_a_collector_that_fails_is_left_alone_for_a_while(away: Collector) -> None:
    way = Way(away)
    away.status = 400
    way.call()
    way.traces.step()
    away.status = 200
    way.call()
    way.traces.step()
    assert way.counts() == {NOT_SENT: 1}
    way.traces.stop()  # the last chance
    assert way.counts() == {NOT_SENT: 1, SENT: 1}


def test_transactions_under_way_are_bounded_and_told_at_the_end(
    away: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "FOLLOWED_MAX", 2)
    monkeypatch.setattr(traces, "ASKED_MAX", 1)
    way = Way(away)
    way.known = {"0xa": Known("sent", "0xa"), "0xb": Known("reverted", "0xb2")}
    way.call("0xa", "0xb", "0xc", status="INTERNAL")
    way.traces.step()
    way.traces.step()  # each has its turn
    way.traces.stop()
    found = {attributes(span)["vtrace.trans_id"]: span for span in away.named("receipt")}
    assert found.keys() == {"0xa", "0xb"}
    assert (found["0xa"].status.code, found["0xb"].status.code) == (0, 2)
    assert {name: attributes(span)["vtrace.state"] for name, span in found.items()} == {
        "0xa": "sent",
        "0xb": "reverted",
    }
    (call,) = away.named("Test")
    assert call.status.code == 2
    assert way.counts()[NOT_FOLLOWED] == 1


def test_what_is_never_settled_is_not_followed_for_ever(away: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "FOLLOW_SECONDS_MAX", 0)
    way = Way(away)
    way.call("0xa")
    way.traces.step()
    way.traces.step()
    (receipt,) = away.named("receipt")
    assert attributes(receipt) == {"vtrace.trans_id": "0xa"}
    way.traces.stop()


def test_a_batch_keeps_its_first_trans_ids() -> None:
    from node import calling

    call = Calling("BatchCirc", REQUEST, 0, 0.0)
    with calling.instead(call):
        calling.has_recorded(name for name in "aabbbcdefghijklmnop")
    assert call.trans_ids == tuple("abcdefghij")
    assert len(call.trans_ids) == TRANS_IDS_MAX
