"""The table of fields: every field of every request has a row, and rows hold."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import BytesValue, Int64Value, StringValue
from grpc_health.v1 import health_pb2

from node.api import fields
from node.domain.form import FORM_BYTES_MAX
from node.errors import Reason, VTraceError
from node.wire.goods.v1 import goods_pb2 as goods
from node.wire.iam.v1 import iam_pb2 as iam
from node.wire.vtrace.v1 import service_pb2 as wire
from tests.support import people
from tests.support.node import RunningNode
from tests.support.wire_client import Refusal

SECRETS = "13800138000 hunter2hunter2"


def test_every_field_of_every_request_has_a_row() -> None:
    assert fields.missing_rows() == []


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("vtrace.v1.CreateCircRequest", "form_value"),
        ("iam.v1.User", "email"),
        ("vtrace.v1.UploadRequest.metadata", "key"),
    ],
)
def test_a_field_without_a_row_is_found(monkeypatch: pytest.MonkeyPatch, message: str, field: str) -> None:
    monkeypatch.delitem(fields.ROWS[message], field)
    assert fields.missing_rows() == [f"{message}.{field}"]


def test_a_repeated_field_without_a_count_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(fields.COUNTS, "vtrace.v1.BatchCircRequest.goods_ids")
    assert fields.missing_rows() == ["vtrace.v1.BatchCircRequest.goods_ids[]"]


def test_no_row_speaks_of_what_is_not_there() -> None:
    found = set()
    for row in fields.ROWS:
        package, _, name = row.rpartition(".")
        found.add((package, name))
    known = {
        (full.rpartition(".")[0], full.rpartition(".")[2]): {field.name for field in descriptor.fields}
        for full, descriptor in _reachable().items()
    }
    assert found <= known.keys()
    for row, checks in fields.ROWS.items():
        package, _, name = row.rpartition(".")
        assert checks.keys() <= known[package, name]


def _reachable() -> dict[str, Any]:
    waiting = [method.input_type for service in fields.SERVICES for method in service.methods]
    found: dict[str, Any] = {}
    while waiting:
        descriptor = waiting.pop()
        if descriptor.full_name not in found:
            found[descriptor.full_name] = descriptor
            waiting += [field.message_type for field in descriptor.fields if field.message_type]
    return found


def _user(**given: Any) -> wire.UpdateUserRequest:
    return wire.UpdateUserRequest(user=iam.User(**given))


def _serial(seconds: int, nanos: int = 0) -> wire.CreateGoodsSerialRequest:
    return wire.CreateGoodsSerialRequest(product_time=Timestamp(seconds=seconds, nanos=nanos), class_id=1)


def _nested(**given: Any) -> wire.UpdateGoodsRequest:
    serial = goods.Serial()
    getattr(serial, "class").CopyFrom(goods.Class(**given))
    return wire.UpdateGoodsRequest(goods=goods.Goods(serial=serial))


REFUSED = [
    (wire.RegisterRequest(nickname="x" * 65), "nickname", Reason.PARAMS_ERR),
    (wire.RegisterRequest(nickname="a\u202eb"), "nickname", Reason.PARAMS_ERR),
    (wire.RegisterRequest(nickname="a\u2066b"), "nickname", Reason.PARAMS_ERR),
    (wire.RegisterRequest(nickname="a\u200db"), "nickname", Reason.PARAMS_ERR),
    (wire.RegisterRequest(nickname="\ufeffa"), "nickname", Reason.PARAMS_ERR),
    (wire.RegisterRequest(nickname="a\x85b"), "nickname", Reason.PARAMS_ERR),
    (wire.RegisterRequest(nickname="x" * 1_000_000), "nickname", Reason.PARAMS_ERR),
    (wire.RegisterRequest(phone=SECRETS * 10), "phone", Reason.PARAMS_ERR),
    (wire.RegisterRequest(passwd=SECRETS * 100), "passwd", Reason.PARAMS_ERR),
    (wire.TokenRequest(password=SECRETS * 100), "password", Reason.PARAMS_ERR),
    (wire.IdentityAuthRequest(realname="张\u202e" + SECRETS), "realname", Reason.PARAMS_ERR),
    (wire.IdentityAuthRequest(idcard=SECRETS * 10), "idcard", Reason.PARAMS_ERR),
    (_user(email=StringValue(value=SECRETS * 20)), "user.email", Reason.PARAMS_ERR),
    (_user(id=Int64Value(value=-1)), "user.id", Reason.PARAMS_ERR),
    (_user(create_at=Timestamp(seconds=2**40)), "user.create_at", Reason.PARAMS_ERR),
    (_user(status=7), "user.status", Reason.PARAMS_ERR),
    (wire.MemberRequest(org_id=1, username="a b"), "username", Reason.PARAMS_ERR),
    (wire.OrgAuthRequest(legal_phone=SECRETS * 10), "legal_phone", Reason.PARAMS_ERR),
    (wire.UpdateOrgRequest(org=iam.Org(org_info=BytesValue(value=bytes(16_385)))), "org.org_info", Reason.PARAMS_ERR),
    (_serial(-2_208_988_801), "product_time", Reason.INVALID_PARAMS),
    (_serial(4_102_444_800), "product_time", Reason.INVALID_PARAMS),
    (_serial(0, 1_000_000_000), "product_time.nanos", Reason.INVALID_PARAMS),
    (_nested(name=StringValue(value="a\nb")), "goods.serial.class.name", Reason.INVALID_PARAMS),
    (_nested(material_id={"value": -1}), "goods.serial.class.material_id", Reason.INVALID_PARAMS),
    (wire.GetGoodsRequest(goods_id=-1), "goods_id", Reason.INVALID_PARAMS),
    (wire.ListGoodsRequest(limit=1_001), "limit", Reason.INVALID_PARAMS),
    (wire.BatchCreateGoodsRequest(serial_id=1, sum=10_001), "sum", Reason.INVALID_PARAMS),
    (wire.BatchCircRequest(goods_ids=range(1, 10_002)), "goods_ids", Reason.INVALID_PARAMS),
    (wire.BatchCircRequest(goods_ids=[1, -1]), "goods_ids", Reason.INVALID_PARAMS),
    (wire.CreateCircRequest(circ_type=2), "circ_type", Reason.INVALID_PARAMS),
    (wire.CreateCircRequest(to="\u202e"), "to", Reason.INVALID_PARAMS),
    (
        wire.PrepareCircRequest(
            create_circ=wire.CreateCircRequest(form_value=BytesValue(value=bytes(FORM_BYTES_MAX + 1)))
        ),
        "create_circ.form_value",
        Reason.INVALID_PARAMS,
    ),
    (wire.SetAccountRequest(possession=bytes(4_097)), "possession", Reason.INVALID_PARAMS),
    (
        wire.UploadRequest(mds=[wire.UploadRequest.metadata(key="a"), wire.UploadRequest.metadata(key="a\u202e")]),
        "mds[1].key",
        Reason.INVALID_PARAMS,
    ),
]


@pytest.mark.parametrize(("request_", "field", "reason"), REFUSED)
def test_a_row_refuses_by_name_and_never_shows_what_is_personal(request_: Any, field: str, reason: Reason) -> None:
    with pytest.raises(VTraceError) as refused:
        fields.held(request_)
    told = refused.value
    assert [wrong.field for wrong in told.fields] == [field]
    assert told.reason is reason
    assert told.message.startswith(f"{field}: ")
    assert "want " in told.message
    for secret in ("13800138000", "hunter2"):
        assert secret not in told.message
        assert secret not in "".join(told.metadata.values())


def test_names_are_brought_to_one_form() -> None:
    composed, decomposed = "Café d’Yunnan", "Cafe\u0301 d’Yunnan"
    request = wire.CreateGoodsClassRequest(goods_name=decomposed, tm=StringValue(value=decomposed))
    assert fields.held(request) is request
    assert (request.goods_name, request.tm.value) == (composed, composed)
    assert fields.held(wire.RegisterRequest(nickname="e\u0301" * 64)).nickname == "é" * 64


def test_passwords_and_forms_stay_as_they_are() -> None:
    decomposed = "e\u0301" * 8
    assert fields.held(wire.RegisterRequest(passwd=decomposed)).passwd == decomposed
    form = b'{"a":"e\xcc\x81"}'
    request = wire.CreateCircRequest(goods_id=1, form_value=BytesValue(value=form))
    assert fields.held(request).form_value.value == form


def test_over_the_wire_a_name_is_kept_in_one_form(node: RunningNode) -> None:
    maker = people.maker(node.client)
    maker.boss.call("UpdateClass", **{"class": {"ID": maker.class_id, "name": "Cafe\u0301"}})
    (goods_id,) = maker.goods(1)
    assert node.client.call("GetGoods", goods_id=goods_id).good.serial.__getattribute__("class").name.value == "Café"


def test_over_the_wire_a_deep_description_is_refused(node: RunningNode) -> None:
    maker = people.maker(node.client)
    for description in (b'{"a":' * 33 + b"1" + b"}" * 33, b'{"a":1,"a":2}', b"[" * 200):
        with pytest.raises(Refusal) as refused:
            maker.boss.call("CreateGoodsClass", goods_name="a", goods_des=description)
        assert refused.value.fields == ["goods_des"]
    maker.boss.call("CreateGoodsClass", goods_name="a", goods_des=b"[draft] of 2026")


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/grpc.health.v1.Health/Check", b"\xff", grpc.StatusCode.INVALID_ARGUMENT),
        ("/grpc.health.v1.Health/Watch", b"\xff", grpc.StatusCode.INVALID_ARGUMENT),
        ("/grpc.health.v1.Health/List", b"", grpc.StatusCode.UNIMPLEMENTED),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", b"\xff", grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_what_comes_with_grpc_refuses_without_a_traceback(
    node: RunningNode, path: str, content: bytes, status: grpc.StatusCode
) -> None:
    before = node.log().count("Traceback")
    with grpc.insecure_channel(node.ready["grpc"]) as channel, pytest.raises(grpc.RpcError) as refused:
        for _ in channel.stream_stream(path)(iter([content]), timeout=30):
            pass
    assert refused.value.code() is status
    assert node.log().count("Traceback") == before


def test_health_is_still_told_and_watched(node: RunningNode) -> None:
    request = health_pb2.HealthCheckRequest().SerializeToString()
    with grpc.insecure_channel(node.ready["grpc"]) as channel:
        told = channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=30)
        watched = channel.unary_stream("/grpc.health.v1.Health/Watch")(request, timeout=30)
        for answer in (told, next(watched)):
            assert health_pb2.HealthCheckResponse.FromString(answer).status == health_pb2.HealthCheckResponse.SERVING
        watched.cancel()
