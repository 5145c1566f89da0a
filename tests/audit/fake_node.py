"""A gRPC server that answers GetCirc as a test tells it: honestly, as a liar, or with rubbish."""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import status_pb2
from grpc_status import rpc_status

from node.api.status import to_status
from node.errors import Reason, not_found
from node.flow.audit import ShownGoods
from node.wire.vtrace.v1 import service_pb2 as wire
from tests.audit.world import View

Answer = Callable[[int, grpc.ServicerContext], bytes]


class FakeNode:
    """Answers GetCirc with the bytes that ``answer`` makes of the goods id."""

    def __init__(self) -> None:
        self.answer: Answer = lambda _goods_id, _context: b""
        self.tokens: list[str | None] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        handler = grpc.unary_unary_rpc_method_handler(self._get_circ)
        generic = grpc.method_handlers_generic_handler("vtrace.v1.VTraceInterface", {"GetCirc": handler})
        self._server.add_generic_rpc_handlers((generic,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def _get_circ(self, raw: bytes, context: grpc.ServicerContext) -> bytes:
        self.tokens.append(dict(context.invocation_metadata()).get("authorization"))
        return self.answer(wire.GetCircRequest.FromString(raw).goods_id, context)

    def refuse(self, status: status_pb2.Status) -> None:
        def answer(_: int, context: grpc.ServicerContext) -> bytes:
            context.abort_with_status(rpc_status.to_status(status))
            raise AssertionError("abort returned")

        self.answer = answer

    def stop(self) -> None:
        self._server.stop(0).wait()


def response_of(shown: ShownGoods) -> wire.GetCircResponse:
    """The answer of a node that shows just this."""
    made = wire.GetCircResponse()
    info = made.goods_info
    serial = info.serial
    of_class = getattr(serial, "class")
    assert shown.serial is not None
    assert shown.serial.product_time is not None
    assert shown.goods_class is not None
    seconds, rest = divmod(shown.serial.product_time, 1_000_000)
    serial.timestamp.CopyFrom(Timestamp(seconds=seconds, nanos=rest * 1_000))
    values: list[tuple[Any, str, Any]] = [
        (info, "ID", shown.goods_id),
        (info, "creator", shown.creator),
        (serial, "ID", shown.serial.id),
        (of_class, "ID", shown.goods_class.id),
        (of_class, "name", shown.goods_class.name),
        (of_class, "des", shown.goods_class.description),
        (of_class, "tm", shown.goods_class.trademark),
        (of_class, "material_id", shown.goods_class.material_id),
        (of_class, "org_id", shown.goods_class.org_id),
    ]
    for one in shown.circs:
        record = made.circ_records.add(circ_type=one.circ_type, salt=one.salt, erased=one.erased)
        if one.recorded_at is not None:
            seconds, rest = divmod(one.recorded_at, 1_000_000)
            record.recorded_at.CopyFrom(Timestamp(seconds=seconds, nanos=rest * 1_000))
        values += [
            (record, "object_id", one.goods_id),
            (record, "Operator", one.operator),
            (record, "from", one.origin),
            (record, "to", one.to),
            (record, "from_value", one.form.decode() or None),
            (record, "tx_hash", one.tx_hash),
            (record, "trans_id", one.trans_id),
            (record, "times", one.times),
            (record, "status", one.status),
        ]
    for message, name, value in values:
        if value is not None:
            getattr(message, name).value = value
    return made


def showing(view: View) -> Answer:
    """Show what the view shows, and refuse other goods as the node does."""

    def answer(goods_id: int, context: grpc.ServicerContext) -> bytes:
        shown = view.history(goods_id)
        if shown is None:
            refusal = not_found(Reason.GOODS_NOT_FOUND, "goods_id", goods_id)
            context.abort_with_status(rpc_status.to_status(to_status(refusal)))
            raise AssertionError("abort returned")
        return response_of(shown).SerializeToString()

    return answer
