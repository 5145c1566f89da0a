"""The gRPC client: what it tells of refusals, and that rubbish from a node becomes a difference."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from node.api import client as api_client
from node.api.client import AuditedNode, NodeClient, NotUnderstood, Refused
from node.api.status import to_status
from node.errors import Reason, Status, VTraceError, invalid
from node.flow.audit import AuditImpossible, Auditor, Unanswered, Unreadable, What
from node.wire.circ.v1 import circ_pb2 as circ
from node.wire.vtrace.v1 import service_pb2 as wire
from tests.audit.fake_node import Answer, FakeNode, response_of, showing
from tests.audit.world import View, World


@pytest.fixture
def fake() -> Iterator[FakeNode]:
    made = FakeNode()
    yield made
    made.stop()


@pytest.fixture
def client(fake: FakeNode) -> Iterator[NodeClient]:
    with NodeClient(fake.address) as made:
        yield made


def test_a_history_is_read_as_it_is_shown(fake: FakeNode, client: NodeClient, world: World) -> None:
    fake.answer = showing(world.view)
    node = AuditedNode(client)
    for goods_id, shown in world.view.goods.items():
        assert node.history(goods_id) == shown
    assert node.history(500) is None
    assert set(fake.tokens) == {None}


def test_an_audit_over_grpc(fake: FakeNode, client: NodeClient, world: World, view: View) -> None:
    fake.answer = showing(view)
    node = AuditedNode(client)
    assert Auditor(node, world.chain, world.address).audit_all().differences == ()
    view.change(1, 2, form=b"{}")
    del view.goods[5]
    found = Auditor(node, world.chain, world.address).audit_all().differences
    assert [(each.goods_id, each.what) for each in found] == [(1, What.FORM), (5, What.UNKNOWN_GOODS)]


def test_the_token_goes_with_the_call(fake: FakeNode, client: NodeClient) -> None:
    client.call("GetCirc", wire.GetCircRequest(goods_id=1), token="abc")
    assert fake.tokens == ["Bearer abc"]


def test_a_call_that_streams_is_not_for_this_client(client: NodeClient) -> None:
    with pytest.raises(ValueError, match="Upload takes a stream"):
        client.call("Upload", wire.UploadRequest())


def test_a_refusal_is_told_with_its_details(fake: FakeNode, client: NodeClient) -> None:
    fake.refuse(to_status(invalid("goods_id", -1, "an id")))
    with pytest.raises(Refused) as caught:
        client.call("GetCirc", wire.GetCircRequest(goods_id=-1))
    refused = caught.value
    assert (refused.status, refused.reason, refused.domain) == ("INVALID_ARGUMENT", "INVALID_PARAMS", "circ.v1")
    assert refused.metadata == {"field": "goods_id", "value": "-1", "want": "an id"}
    assert [(each.field, each.description) for each in refused.fields] == [("goods_id", "want an id")]
    assert refused.retry_seconds is None
    assert str(refused) == "INVALID_ARGUMENT (INVALID_PARAMS): goods_id: -1, want an id"


def test_a_refusal_says_when_to_try_again(fake: FakeNode, client: NodeClient) -> None:
    fault = VTraceError(Reason.CREATE_CIRC_FAILED, "too much waits", status=Status.RESOURCE_EXHAUSTED, retry_seconds=5)
    fake.refuse(to_status(fault))
    with pytest.raises(Refused) as caught:
        client.call("GetCirc", wire.GetCircRequest())
    assert caught.value.retry_seconds == 5


def _garbled(raw: bytes) -> Answer:
    def answer(_: int, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("grpc-status-details-bin", raw),))
        context.abort(grpc.StatusCode.INTERNAL, "line one\nline two" + "x" * 2_000)
        raise AssertionError("abort returned")

    return answer


def _wrong_detail() -> bytes:
    made = status_pb2.Status(code=code_pb2.INTERNAL, message="line one\nline two" + "x" * 2_000)
    made.details.add(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff")
    return made.SerializeToString()


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xff\xff",
        status_pb2.Status(code=code_pb2.NOT_FOUND, message="another").SerializeToString(),
        _wrong_detail(),
    ],
    ids=["no status", "another status", "no detail"],
)
def test_garbled_details_of_a_refusal(fake: FakeNode, client: NodeClient, raw: bytes) -> None:
    fake.answer = _garbled(raw)
    with pytest.raises(Refused) as caught:
        client.call("GetCirc", wire.GetCircRequest())
    assert (caught.value.status, caught.value.reason) == ("INTERNAL", "")
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 600


def test_a_node_that_is_away(fake: FakeNode, client: NodeClient) -> None:
    fake.stop()
    with pytest.raises(Refused, match="UNAVAILABLE"):
        client.call("GetCirc", wire.GetCircRequest())
    with pytest.raises(AuditImpossible, match=r"the node at 127.0.0.1:\d+ can't be asked: UNAVAILABLE.*gRPC address\?"):
        AuditedNode(client).history(1)


def test_a_node_that_takes_too_long(fake: FakeNode) -> None:
    done = threading.Event()

    def wait(_: int, __: grpc.ServicerContext) -> bytes:
        done.wait(10)
        return b""

    fake.answer = wait
    with NodeClient(fake.address, timeout_seconds=0.2) as client:
        with pytest.raises(AuditImpossible, match="DEADLINE_EXCEEDED"):
            AuditedNode(client).history(1)
        done.set()


def test_a_timeout_must_be_one() -> None:
    with pytest.raises(ValueError, match="want > 0"):
        NodeClient("127.0.0.1:1", timeout_seconds=0)


def test_an_answer_without_end(fake: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.answer = lambda _goods_id, _context: bytes(100_000)
    monkeypatch.setattr(api_client, "_OPTIONS", (("grpc.max_receive_message_length", 50_000),))
    with NodeClient(fake.address) as client, pytest.raises(AuditImpossible, match="RESOURCE_EXHAUSTED"):
        AuditedNode(client).history(1)


@pytest.mark.parametrize(
    ("code", "reason"),
    [("INTERNAL", "CREATE_CIRC_FAILED"), ("NOT_FOUND", "CIRC_NOT_FOUND"), ("UNAUTHENTICATED", "TOKEN_EXPIRED")],
)
def test_a_refusal_does_not_hide_goods(
    fake: FakeNode, client: NodeClient, world: World, code: str, reason: str
) -> None:
    fake.refuse(to_status(VTraceError(Reason[reason], "no", status=None if code != "INTERNAL" else Status.INTERNAL)))
    (difference,) = Auditor(AuditedNode(client), world.chain, world.address).audit([1]).differences
    assert difference.what is What.UNREADABLE
    assert f"the node refuses, {code} ({reason}): no" in str(difference)


def test_bytes_that_are_no_answer(fake: FakeNode, client: NodeClient) -> None:
    for raw in (b"\xff\xff", b"GARBAGE", bytes(7)):
        fake.answer = lambda _goods_id, _context, raw=raw: raw
        with pytest.raises(NotUnderstood, match=f"{len(raw)} bytes that are no GetCircResponse"):
            client.call("GetCirc", wire.GetCircRequest())
        with pytest.raises(Unreadable):
            AuditedNode(client).history(1)


def test_text_that_is_not_utf8(fake: FakeNode, client: NodeClient, world: World) -> None:
    honest = response_of(world.view.goods[1]).SerializeToString()
    fake.answer = lambda _goods_id, _context: honest.replace(b"exporter", b"export\xffr")
    (difference,) = Auditor(AuditedNode(client), world.chain, world.address).audit([1]).differences
    assert difference.what is What.UNREADABLE


def _clear_circ(made: wire.GetCircResponse) -> None:
    made.circ_records[0].Clear()


def _clear_all(made: wire.GetCircResponse) -> None:
    made.Clear()


def _bad_time(made: wire.GetCircResponse) -> None:
    made.goods_info.serial.timestamp.nanos = -5


def _fine_time(made: wire.GetCircResponse) -> None:
    made.goods_info.serial.timestamp.nanos += 1


def _far_time(made: wire.GetCircResponse) -> None:
    made.goods_info.serial.timestamp.seconds = 2**63 - 1


def _no_time(made: wire.GetCircResponse) -> None:
    made.goods_info.serial.ClearField("timestamp")


def _no_record_time(made: wire.GetCircResponse) -> None:
    made.circ_records[1].ClearField("recorded_at")


def _bad_record_time(made: wire.GetCircResponse) -> None:
    made.circ_records[1].recorded_at.nanos = 10**9


def _far_record_time(made: wire.GetCircResponse) -> None:
    made.circ_records[1].recorded_at.seconds = -(2**63)


def _no_serial(made: wire.GetCircResponse) -> None:
    made.goods_info.ClearField("serial")


def _strange_values(made: wire.GetCircResponse) -> None:
    record: circ.CircRecord = made.circ_records[1]
    record.circ_type = -7  # type: ignore[assignment]
    record.salt = bytes(100_000)
    record.times.value = -(2**63)
    record.Operator.value = "\x1b[31m" * 10_000
    record.object_id.value = 2**63 - 1
    record.from_value.value = "\0"


@pytest.mark.parametrize(
    "spoil",
    [
        *(_clear_circ, _clear_all, _bad_time, _fine_time, _far_time, _no_time, _no_serial, _strange_values),
        *(_no_record_time, _bad_record_time, _far_record_time),
    ],
)
def test_answers_that_lack_something_are_differences(
    fake: FakeNode, client: NodeClient, world: World, spoil: Callable[[wire.GetCircResponse], None]
) -> None:
    made = response_of(world.view.goods[1])
    spoil(made)
    raw = made.SerializeToString()
    fake.answer = lambda _goods_id, _context: raw
    lines = [str(each) for each in Auditor(AuditedNode(client), world.chain, world.address).audit([1]).differences]
    assert lines
    for line in lines:
        assert line.startswith("goods 1: ")
        assert line.isprintable()
        assert len(line) < 400


def test_every_cut_of_an_answer_is_noticed(fake: FakeNode, client: NodeClient, world: World) -> None:
    """However an answer is broken, the audit says so and never falls over."""
    honest = response_of(world.view.goods[2]).SerializeToString()
    auditor = Auditor(AuditedNode(client), world.chain, world.address)
    for length in range(0, len(honest), 23):
        fake.answer = lambda _goods_id, _context, cut=honest[:length]: cut
        assert auditor.audit([2]).differences
    fake.answer = lambda _goods_id, _context: honest
    assert auditor.audit([2]).differences == ()


def test_a_refusal_writes_nothing_into_the_terminal(fake: FakeNode, client: NodeClient, world: World) -> None:
    """Whatever a node puts into its refusal, it is one printable line of the audit's."""
    evil = "NO\ngoods 1: fine\n\x1b[2J\x9b1A\u202e"
    refusal = status_pb2.Status(code=code_pb2.INTERNAL, message=evil)
    refusal.details.add().Pack(error_details_pb2.ErrorInfo(reason=evil, domain=evil, metadata={evil: evil}))
    for code in (code_pb2.INTERNAL, code_pb2.UNAVAILABLE, code_pb2.NOT_FOUND):
        refusal.code = code
        fake.refuse(refusal)
        with pytest.raises((Unreadable, Unanswered)) as caught:
            AuditedNode(client).history(1)
        assert str(caught.value).isprintable()
        with pytest.raises(Refused) as refused:
            client.call("GetCirc", wire.GetCircRequest())
        assert str(refused.value).isprintable()
    fake.refuse(status_pb2.Status(code=code_pb2.INTERNAL, message=evil, details=refusal.details))
    report = Auditor(AuditedNode(client), world.chain, world.address).audit([1])
    assert len(report.differences) == 1
    assert all(line.isprintable() for line in report.lines)


def test_a_node_that_lies_to_one_of_its_callers(fake: FakeNode, world: World, view: View) -> None:
    """It tells them apart by their connections, or by the token that one of them has."""
    view.change(1, 2, form=b'{"cup_score": 91.0}')
    peers: list[str] = []

    def by_connection(goods_id: int, context: grpc.ServicerContext) -> bytes:
        peer = context.peer()
        if peer not in peers:
            peers.append(peer)
        return showing(world.view if peer == peers[0] else view)(goods_id, context)

    def by_token(goods_id: int, context: grpc.ServicerContext) -> bytes:
        known = dict(context.invocation_metadata()).get("authorization") == "Bearer abc"
        return showing(view if known else world.view)(goods_id, context)

    for lie, token in ((by_connection, None), (by_token, "abc")):
        fake.answer = lie
        with NodeClient(fake.address) as one, NodeClient(fake.address) as other:
            second = AuditedNode(other, token)
            auditor = Auditor(AuditedNode(one), world.chain, world.address, second=second)
            (difference,) = auditor.audit_all().differences
            assert (difference.goods_id, difference.what) == (1, What.TWO_ANSWERS)
    assert len(peers) == 2


def test_a_token_that_the_node_does_not_take(fake: FakeNode, world: World) -> None:
    """That is the auditor's own affair, not a lie of the node's."""

    def answer(goods_id: int, context: grpc.ServicerContext) -> bytes:
        if "authorization" in dict(context.invocation_metadata()):
            fault = VTraceError(Reason.TOKEN_EXPIRED, "the token has expired")
            context.abort_with_status(rpc_status.to_status(to_status(fault)))
        return showing(world.view)(goods_id, context)

    fake.answer = answer
    with NodeClient(fake.address) as one, NodeClient(fake.address) as other:
        auditor = Auditor(AuditedNode(one), world.chain, world.address, second=AuditedNode(other, "old"))
        with pytest.raises(AuditImpossible, match="the node does not take the token: UNAUTHENTICATED"):
            auditor.audit([1])
