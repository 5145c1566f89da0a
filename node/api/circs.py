"""rpcs of circs: recording them and reading the history of goods."""

from __future__ import annotations

from collections.abc import Sequence

from node.api import convert
from node.api.call import Call
from node.api.fields import MESSAGE_BYTES_MAX
from node.api.signed import is_plain, signed_once
from node.domain import limits
from node.domain.access import CIRCS, hold_role
from node.domain.model import CircType
from node.domain.records import CircRecord, User
from node.errors import Reason
from node.flow.plain import Recorded
from node.flow.query import HistoryPage, Query
from node.flow.record import Recorder, check_parties, circ_type_of
from node.flow.sovereign import OwnSignature
from node.flow.wallets import Wallets
from node.later import Later
from node.wire.vtrace.v1 import service_pb2 as wire

ROOM_BYTES = MESSAGE_BYTES_MAX - 64 * 1024
"""For the circs of an answer; the rest is for the goods, whose class may have a description of 16 KiB."""

Asked = tuple[CircType, list[int], str, bytes]


class Circs:
    """Servicer of the rpcs about circs."""

    failed = Reason.CREATE_CIRC_FAILED
    duplicate = Reason.CIRC_ALREADY_EXIST
    quick = frozenset({"CreateCirc", "GetCirc"})

    def __init__(self, recorder: Recorder, query: Query, wallets: Wallets) -> None:
        self._recorder = recorder
        self._query = query
        self._wallets = wallets

    def CreateCirc(
        self, caller: User, request: wire.CreateCircRequest, call: Call
    ) -> wire.CreateCircResponse | Later[wire.CreateCircResponse]:
        """Record one circ of one goods."""
        asked = asked_create(caller, request)

        def begin(own: OwnSignature | None) -> Later[wire.CreateCircResponse]:
            return self._recorder.begin(caller, *asked, own, private=request.private).made(_created)

        return (
            begin(None) if is_plain(call.metadata) else signed_once(call, self._wallets, lambda own: begin(own).wait())
        )

    def BatchCirc(self, caller: User, request: wire.BatchCircRequest, call: Call) -> wire.BatchCircResponse:
        """Record one circ of many goods, all or none."""
        asked = asked_batch(caller, request)

        def create(own: OwnSignature | None) -> wire.BatchCircResponse:
            response = wire.BatchCircResponse()
            for recorded in self._recorder.create(caller, *asked, own, private=request.private):
                response.goodsId2transId.update(dict.fromkeys(recorded.goods_ids, recorded.trans_id))
            return response

        return signed_once(call, self._wallets, create)

    def GetCirc(self, request: wire.GetCircRequest) -> wire.GetCircResponse:
        """One goods and its circs, oldest first, for anybody."""
        page = HistoryPage(request.page_size, request.page_token, ROOM_BYTES)
        answer = wire.GetCircResponse()
        goods, answer.next_page_token = self._query.history(request.goods_id, page, _Shown(answer))
        answer.goods_info.CopyFrom(convert.one_goods(goods))
        return answer

    def ContractName(self, _: wire.ContractNameRequest) -> wire.ContractNameResponse:
        """The contract's own name, for anybody."""
        return wire.ContractNameResponse(contract_name=convert.text(self._query.contract_name()))


def _created(recorded: Sequence[Recorded]) -> wire.CreateCircResponse:
    (only,) = recorded
    return wire.CreateCircResponse(circ_id=convert.number(only.circ_id), trans_id=convert.text(only.trans_id))


class _Shown:
    """The circs of an answer of GetCirc."""

    def __init__(self, answer: wire.GetCircResponse) -> None:
        self._answer = answer

    def add(self, circ: CircRecord) -> None:
        convert.put_circ(self._answer.circ_records.add(), circ)

    def length(self) -> int:
        return int(self._answer.ByteSize())

    def drop(self) -> None:
        del self._answer.circ_records[-1]


def asked_create(caller: User, request: wire.CreateCircRequest) -> Asked:
    """What a request asks for, checked: kind, goods, receiver and form."""
    circ_type = _checked_type(caller, request.circ_type)
    check_parties(caller, origin=getattr(request, "from").value, operator="")
    goods = limits.goods_ids("goods_id", [request.goods_id])
    return circ_type, goods, request.to, limits.form("form_value", request.form_value.value)


def asked_batch(caller: User, request: wire.BatchCircRequest) -> Asked:
    """What a request asks for, checked: kind, goods, receiver and form."""
    circ_type = _checked_type(caller, request.circ_type)
    check_parties(caller, origin=getattr(request, "from").value, operator=request.operator)
    goods = limits.goods_ids("goods_ids", request.goods_ids)
    return circ_type, goods, request.to.value, limits.form("form_info", request.form_info.value)


def _checked_type(caller: User, number: int) -> CircType:
    circ_type = circ_type_of(number)
    hold_role(CIRCS[circ_type], caller, circ_type.name.lower())
    return circ_type
