"""The main job, end to end, by a client that knows the wire table and nothing else."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import grpc
import pytest
from google.protobuf.unknown_fields import UnknownFieldSet
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from node.chain import contract
from node.chain.rpc import Chain, Receipt
from node.chain.transport import HttpRpc
from node.domain.form import form_digest, name_digest
from tests.support import people
from tests.support.node import RunningNode
from tests.support.wire_client import Refusal, WireClient

SALT_FIELD = 100


def _salt(record: Any) -> bytes:
    """The added field that the wire table does not know: it stays among the unknown fields."""
    return bytes(next(field.data for field in UnknownFieldSet(record) if field.field_number == SALT_FIELD))


def _circulated(node: RunningNode, trans_id: str) -> tuple[Receipt, contract.Circulated]:
    rpc = HttpRpc(node.rpc_url)
    (receipt,) = Chain(rpc).receipts([trans_id])
    rpc.close()
    assert receipt is not None
    (log,) = receipt.logs
    event = contract.decode_log(log.topics, log.data)
    assert isinstance(event, contract.Circulated)
    assert log.address == node.ready["contract"]
    return receipt, event


def test_from_registration_to_the_chain(node: RunningNode) -> None:
    client = WireClient(node.ready["grpc"])
    answer = client.call("Register", phone="13912345678", nickname="合作社", passwd="a long password")
    boss_name = answer.user.username.value
    assert answer.user.role.value == "normal"
    token = client.call("Token", phone="13912345678", password="a long password").token
    boss = client.with_token(token)
    verified = boss.call("IdentityAuth", realname="张三", idcard=people.resident_id(501)).user
    assert verified.role.value == "transporter"
    assert people.resident_id(501) not in str(verified)
    org = boss.call(
        "OrgAuth",
        legal_name="张三",
        org_name="咖啡合作社",
        code=people.org_code(501),
        legal_phone="13912345678",
    ).org
    assert org.owner.value == boss_name
    carrier = people.transporter(client)
    boss.call("Member", org_id=org.id.value, username=carrier.username)
    assert carrier.call("Profile").user.role.value == "producer"
    class_id = boss.call("CreateGoodsClass", goods_name="Yunnan Arabica", tm="Red Cherry").class_id.value
    serial_id = boss.call("CreateGoodsSerial", class_id=class_id, product_time=1_760_000_000).serial_id.value
    made = boss.call("BatchCreateGoods", serial_id=serial_id, sum=24)
    goods = [one.value for one in made.ids]
    assert made.successes == len(set(goods)) == 24

    form = json.dumps({"step": "drying", "moisture_percent": 11.2}).encode()
    single = boss.call("CreateCirc", goods_id=goods[0], circ_type=1, form_value=form)
    batch = boss.call("BatchCirc", goods_ids=goods[:12], circ_type=3, to=carrier.username, form_info=b"{}")
    assert set(batch.goodsId2transId) == set(goods[:12])

    records = people.settled(client, goods[0])
    assert [record.circ_type for record in records] == [0, 1, 3]
    assert [record.times.value for record in records] == [0, 1, 2]
    assert {record.status.value for record in records} == {"success"}
    assert [record.object_id.value for record in records] == [goods[0]] * 3
    assert records[1].trans_id.value == records[1].tx_hash.value == single.trans_id.value
    assert records[1].id.value == single.circ_id.value
    assert records[1].from_value.value.encode() == form
    assert records[2].trans_id.value == batch.goodsId2transId[goods[0]]
    assert records[2].Operator.value == getattr(records[2], "from").value == boss_name
    assert records[2].to.value == carrier.username

    receipt, event = _circulated(node, single.trans_id.value)
    assert receipt.status
    assert event.circ.form_digest == form_digest(_salt(records[1]), form)
    assert event.circ.form_digest == hashlib.sha256(_salt(records[1]) + form).digest()
    assert [goods_id for span in event.circ.goods for goods_id in span] == [goods[0]]
    assert event.circ.circ_type == 1
    _, moved = _circulated(node, records[2].trans_id.value)
    assert [goods_id for span in moved.circ.goods for goods_id in span] == goods[:12]
    rpc = HttpRpc(node.rpc_url)
    registered = Chain(rpc).logs(
        node.ready["contract"], [contract.ACTOR_REGISTERED_TOPIC, moved.circ.to.to_bytes(32, "big")], 0, 10**6
    )
    event_of_actor = contract.decode_log(registered[0].topics, registered[0].data)
    assert isinstance(event_of_actor, contract.ActorRegistered)
    assert event_of_actor.name_digest == name_digest(carrier.username)
    rpc.close()

    assert client.call("ContractName").contract_name.value == "VTrace"
    info = client.call("GetGoods", goods_id=goods[0]).good
    assert getattr(info.serial, "class").name.value == "Yunnan Arabica"
    client.close()


def test_health_and_reflection_answer(node: RunningNode) -> None:
    with grpc.insecure_channel(node.ready["grpc"]) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "vtrace.v1.VTraceInterface"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol="circ.v1.CircRecord")
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        (found,) = stub.ServerReflectionInfo(iter([asked]), timeout=10)
        assert found.file_descriptor_response.file_descriptor_proto


def test_an_examiner_tests_goods_of_others(node: RunningNode) -> None:
    maker, judge = people.maker(node.client), people.examiner(node)
    (goods_id,) = maker.goods(1)
    scores = json.dumps({"cup_score": 86.25}).encode()
    judge.call("CreateCirc", goods_id=goods_id, circ_type=4, form_value=scores)
    maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
    records = people.settled(node.client, goods_id)
    assert [(record.circ_type, record.status.value) for record in records] == [
        (0, "success"),
        (4, "success"),
        (1, "success"),
    ]
    assert records[1].Operator.value == records[1].to.value == judge.username


def test_a_batch_that_no_transaction_can_hold_is_cut(node: RunningNode) -> None:
    maker = people.maker(node.client)
    goods = maker.goods(10_000)
    assert goods == list(range(goods[0], goods[0] + 10_000))
    answer = maker.boss.call("BatchCirc", goods_ids=goods, circ_type=1, form_info=b'{"step":"milling"}')
    first, last = people.settled(node.client, goods[0]), people.settled(node.client, goods[-1])
    assert first[0].trans_id.value != last[0].trans_id.value
    for records, goods_id in ((first, goods[0]), (last, goods[-1])):
        assert [record.status.value for record in records] == ["success", "success"]
        assert records[1].trans_id.value == answer.goodsId2transId[goods_id]


def test_what_the_chain_knows_of_a_class_can_not_be_changed_any_more(node: RunningNode) -> None:
    maker = people.maker(node.client)
    change = {"ID": maker.class_id, "name": "Better name"}
    maker.boss.call("UpdateClass", **{"class": change})
    goods = maker.goods(1)
    with pytest.raises(Refusal) as refused:
        maker.boss.call("UpdateClass", **{"class": {"ID": maker.class_id, "name": "Another name"}})
    assert (refused.value.status, refused.value.reason) == ("PERMISSION_DENIED", "PERMISSION_DENY")
    maker.boss.call("UpdateClass", **{"class": {"ID": maker.class_id, "state": "retired"}})
    shown = getattr(node.client.call("GetGoods", goods_id=goods[0]).good.serial, "class")
    assert (shown.name.value, shown.state.value) == ("Better name", "retired")
