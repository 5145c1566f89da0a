"""Lists and histories by tokens, over the wire, with a client that takes 4 MiB as any does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from node.api.client import AuditedNode, NodeClient
from node.api.services import message_class
from tests.api.matrix import METHODS
from tests.support import people
from tests.support.node import RunningNode
from tests.support.people import Maker

FORM_MAX = 65_536
LARGEST = 66
"""So many circs with the largest forms are more than 4 MiB."""
ROWS = 7
LISTS = {
    "ListClass": "goods_classes",
    "ListGoodsSerial": "serial",
    "ListGoods": "goods",
    "ListOrgMember": "users",
    "ListScanAlerts": "alerts",
}


class Caller:
    """Calls any rpc of the descriptors."""

    def __init__(self, address: str, token: str) -> None:
        self._channel = grpc.insecure_channel(address)
        self._metadata = [("authorization", f"Bearer {token}")]

    def call(self, name: str, **fields: Any) -> Any:
        (method,) = (each for each in METHODS.values() if each.name == name)
        ask = self._channel.unary_unary(
            f"/{method.containing_service.full_name}/{name}",
            request_serializer=lambda sent: sent.SerializeToString(),
            response_deserializer=message_class(method.output_type).FromString,
        )
        return ask(message_class(method.input_type)(**fields), timeout=60, metadata=self._metadata)

    def refused(self, name: str, **fields: Any) -> tuple[str, str]:
        """The status of a call that is refused, and the field that it names."""
        with pytest.raises(grpc.RpcError) as refused:
            self.call(name, **fields)
        named = error_details_pb2.BadRequest()
        (field,) = (
            violation.field
            for detail in rpc_status.from_call(refused.value).details
            if detail.Unpack(named)
            for violation in named.field_violations
        )
        return refused.value.code().name, field

    def close(self) -> None:
        self._channel.close()


@dataclass
class Told:
    """An org with ROWS rows of each list but alerts, and another."""

    maker: Maker
    other_maker: Maker
    caller: Caller
    other: Caller

    def fields(self, name: str) -> dict[str, Any]:
        return {"org_id": self.maker.org_id} if name == "ListOrgMember" else {}


@pytest.fixture(scope="module")
def told(node: RunningNode) -> Iterator[Told]:
    maker, other = people.maker(node.client), people.maker(node.client)
    maker.goods(ROWS)
    other.goods(ROWS)
    for number in range(ROWS - 1):
        maker.boss.call("CreateGoodsClass", goods_name=f"class {number}", goods_des=b"{}", tm="")
        maker.boss.call("CreateGoodsSerial", class_id=maker.class_id, product_time=1_760_000_000)
        maker.boss.call("Member", username=people.transporter(node.client).username, org_id=maker.org_id)
    callers = [Caller(node.ready["grpc"], each.boss.client.token) for each in (maker, other)]
    yield Told(maker, other, *callers)
    for caller in callers:
        caller.close()


@pytest.mark.parametrize("name", LISTS)
def test_pages_by_tokens_are_those_by_offsets(told: Told, name: str) -> None:
    fields, rows = told.fields(name), LISTS[name]
    whole = list(getattr(told.caller.call(name, **fields), rows))
    assert len(whole) == (0 if name == "ListScanAlerts" else ROWS)
    found, token = [], ""
    while True:
        page = told.caller.call(name, limit=3, page_token=token, **fields)
        by_offset = told.caller.call(name, limit=3, offset=len(found), **fields)
        assert getattr(page, rows) == getattr(by_offset, rows)
        assert page.next_page_token == by_offset.next_page_token
        found += getattr(page, rows)
        token = page.next_page_token
        if not token:
            break
    assert found == whole


@pytest.mark.parametrize("name", LISTS)
def test_a_token_that_is_not_of_the_list_is_refused(told: Told, name: str) -> None:
    fields = told.fields(name)
    elsewhere = "ListGoods" if name != "ListGoods" else "ListGoodsSerial"
    foreign = told.caller.call(elsewhere, limit=1).next_page_token
    assert foreign
    for token in ("x", "AAAA", foreign, foreign[:-1], "ü" * 8, "A" * 10_000):
        assert told.caller.refused(name, page_token=token, **fields) == ("INVALID_ARGUMENT", "page_token")


def test_a_token_is_of_one_org_and_stands_alone(told: Told) -> None:
    token = told.caller.call("ListGoods", limit=1).next_page_token
    assert told.other.refused("ListGoods", page_token=token) == ("INVALID_ARGUMENT", "page_token")
    assert told.caller.refused("ListGoods", page_token=token, offset=1) == ("INVALID_ARGUMENT", "offset")


def test_a_page_by_token_does_not_move_when_rows_come(told: Told) -> None:
    def rest() -> list[int]:
        return [goods.ID.value for goods in told.other.call("ListGoods", page_token=token).goods]

    token = told.other.call("ListGoods", limit=ROWS - 1).next_page_token
    before = rest()
    (made,) = told.other_maker.goods(1)
    assert (len(before), rest()) == (1, [*before, made])


def test_a_history_that_no_answer_holds_is_read_in_pages(node: RunningNode, told: Told) -> None:
    (goods_id,) = told.other_maker.goods(1)
    form = b'{"x":"' + b"a" * (FORM_MAX - 8) + b'"}'
    made = [
        told.other_maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1, form_value=form).trans_id.value
        for _ in range(LARGEST)
    ]
    assert told.caller.refused("GetCirc", goods_id=goods_id) == ("INVALID_ARGUMENT", "page_size")
    pages, token = [], ""
    while True:
        page = told.caller.call("GetCirc", goods_id=goods_id, page_size=1_000, page_token=token)
        assert page.goods_info.ID.value == goods_id
        pages.append([record.trans_id.value for record in page.circ_records])
        token = page.next_page_token
        if not token:
            break
    assert [trans_id for page in pages for trans_id in page][1:] == made
    assert len(pages) == 2, "a page is as full as an answer may be"
    client = NodeClient(node.ready["grpc"])
    whole = AuditedNode(client).history(goods_id)
    client.close()
    assert whole is not None
    assert [circ.trans_id for circ in whole.circs][1:] == made


def test_a_token_of_a_history_is_of_its_goods(told: Told) -> None:
    first, second = told.other_maker.goods(2)
    told.other_maker.boss.call("BatchCirc", goods_ids=[first, second], circ_type=1, form_info=b"{}")
    page = told.caller.call("GetCirc", goods_id=first, page_size=1)
    assert len(page.circ_records) == 1
    rest = told.caller.call("GetCirc", goods_id=first, page_token=page.next_page_token)
    assert [record.circ_type for record in rest.circ_records] == [1]
    assert rest.next_page_token == ""
    for token in (page.next_page_token[:-2], told.caller.call("ListGoods", limit=1).next_page_token):
        assert told.caller.refused("GetCirc", goods_id=first, page_token=token) == ("INVALID_ARGUMENT", "page_token")
    stranger = {"goods_id": second, "page_token": page.next_page_token}
    assert told.caller.refused("GetCirc", **stranger) == ("INVALID_ARGUMENT", "page_token")
    for size in (-1, 1_001):
        assert told.caller.refused("GetCirc", goods_id=first, page_size=size) == ("INVALID_ARGUMENT", "page_size")
