"""A client of the protocol: any rpc by its name, and the node as an audit looks at it.

The node may be anybody's. What it answers is taken as bytes and read here, so that rubbish is told from a node
that can't be reached.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from node.domain.limits import LIST_ROWS_MAX
from node.errors import FieldViolation, Reason, Status
from node.flow.audit import (
    AuditImpossible,
    ShownCirc,
    ShownClass,
    ShownGoods,
    ShownSerial,
    Unanswered,
    Unreadable,
    one_line,
)
from node.wire.circ.v1 import circ_pb2 as circ
from node.wire.goods.v1 import goods_pb2 as goods
from node.wire.vtrace.v1 import custody_pb2, label_pb2
from node.wire.vtrace.v1 import service_pb2 as wire

TIMEOUT_SECONDS = 10.0
RETRIES_SECONDS_MAX = 60.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024
MESSAGE_SHOWN_MAX = 500

_SERVICES = (
    wire.DESCRIPTOR.services_by_name["VTraceInterface"],
    custody_pb2.DESCRIPTOR.services_by_name["VTraceCustody"],
    label_pb2.DESCRIPTOR.services_by_name["VTraceLabels"],
)
_METHODS = {method.name: method for service in _SERVICES for method in service.methods}
_OPTIONS = (
    ("grpc.max_receive_message_length", ANSWER_BYTES_MAX),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # else two clients of one node would share a connection
)

# What says nothing of the goods: the node is away, busy, or isn't one.
_NO_ANSWER = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED"})


class Refused(Exception):
    """A call that did not succeed, as the node, or the way to it, put it.

    ``status`` is the name of the gRPC status, ``reason`` and ``domain`` are ErrorInfo's (empty without one).
    The rest is the node's words as they are; as a string it is one printable line.
    """

    def __init__(
        self,
        status: str,
        message: str,
        *,
        reason: str = "",
        domain: str = "",
        metadata: Mapping[str, str] | None = None,
        fields: tuple[FieldViolation, ...] = (),
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(one_line(f"{status}{f' ({reason})' if reason else ''}: {message}"))
        self.status = status
        self.message = message
        self.reason = reason
        self.domain = domain
        self.metadata = dict(metadata or {})
        self.fields = fields
        self.retry_seconds = retry_seconds


class NotUnderstood(Exception):
    """The node answered with bytes that are not the rpc's response."""


@dataclass(frozen=True, slots=True)
class ClientTls:
    """PEM: the authorities that a node's certificate may come from, and the caller's own certificate and key."""

    ca: bytes
    identity: bytes | None = None


class NodeClient:
    """Calls the rpcs of one node. Threads may share it.

    ``timeout_seconds`` bounds each call as a whole. ``tls`` says whom to trust; without it calls go in the clear.
    """

    def __init__(self, address: str, timeout_seconds: float = TIMEOUT_SECONDS, tls: ClientTls | None = None) -> None:
        if timeout_seconds <= 0:
            raise ValueError(f"timeout is {timeout_seconds} seconds, want > 0")
        self.address = address
        self._timeout_seconds = timeout_seconds
        if tls is None:
            self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        else:
            credentials = grpc.ssl_channel_credentials(tls.ca, tls.identity, tls.identity)
            self._channel = grpc.secure_channel(address, credentials, options=_OPTIONS)

    def call(
        self, name: str, request: Message, token: str | None = None, metadata: Sequence[tuple[str, str | bytes]] = ()
    ) -> Any:
        """The response of the rpc called ``name``. Raises Refused, or NotUnderstood for rubbish."""
        method = _METHODS[name]
        if method.client_streaming:
            raise ValueError(f"rpc {name} takes a stream, not one request")
        ask = self._channel.unary_unary(
            f"/{method.containing_service.full_name}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
        )
        authorization = [("authorization", f"Bearer {token}")] if token else []
        try:
            answer: bytes = ask(request, timeout=self._timeout_seconds, metadata=[*authorization, *metadata])
        except grpc.RpcError as fault:
            raise _refused(fault) from fault
        try:
            return getattr(wire, method.output_type.name).FromString(answer)
        except DecodeError as fault:
            raise NotUnderstood(f"{name}: {len(answer)} bytes that are no {method.output_type.name}") from fault

    def close(self) -> None:
        """Give back the connection. No call may follow."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AuditedNode:
    """The node as an audit sees it. Implements flow.audit's NodeView over GetCirc, which needs no token.

    With a ``token`` it is asked as the user whose token that is. AuditImpossible if the node does not take the token.
    """

    def __init__(self, client: NodeClient, token: str | None = None) -> None:
        self._client = client
        self._token = token

    def history(self, goods_id: int) -> ShownGoods | None:
        """See NodeView."""
        try:
            return shown_goods(self._whole(goods_id))
        except Refused as refusal:
            if self._token is not None and refusal.status == Status.UNAUTHENTICATED:
                raise AuditImpossible(f"the node does not take the token: {refusal}") from refusal
            if refusal.status == Status.NOT_FOUND and refusal.reason == Reason.GOODS_NOT_FOUND.name:
                return None
            if refusal.status in _NO_ANSWER:
                raise Unanswered(
                    f"the node at {self._client.address} can't be asked: {refusal}. Is it running, and is this its "
                    "gRPC address?"
                ) from refusal
            raise Unreadable(f"the node refuses, {refusal}") from refusal
        except NotUnderstood as fault:
            raise Unreadable(str(fault)) from fault

    def _whole(self, goods_id: int) -> wire.GetCircResponse:
        """A history put together from its pages. NotUnderstood for one without an end."""
        whole, length = wire.GetCircResponse(), 0
        request = wire.GetCircRequest(goods_id=goods_id, page_size=LIST_ROWS_MAX)
        while True:
            page: wire.GetCircResponse = self._patiently("GetCirc", request)
            length += page.ByteSize()
            if length > ANSWER_BYTES_MAX:
                raise NotUnderstood(f"GetCirc: a history of more than {ANSWER_BYTES_MAX} bytes")
            whole.MergeFrom(page)
            if not page.next_page_token:
                return whole
            if not page.circ_records:
                raise NotUnderstood("GetCirc: an empty page that is not the last")
            request.page_token = page.next_page_token

    def _patiently(self, name: str, request: Message) -> Any:
        """A call that waits as the node asks, for RETRIES_SECONDS_MAX in all: it may count how often it is asked."""
        until = time.monotonic() + RETRIES_SECONDS_MAX
        while True:
            try:
                return self._client.call(name, request, self._token)
            except Refused as refusal:
                wait = refusal.retry_seconds or 0.0
                is_limit = refusal.status == Status.RESOURCE_EXHAUSTED and wait > 0
                if not is_limit or time.monotonic() + wait > until:
                    raise
                time.sleep(wait)


def shown_goods(response: wire.GetCircResponse) -> ShownGoods:
    """An answer of GetCirc as the audit reads it: a field that isn't set is None. Any message will do."""
    info = response.goods_info
    serial = info.serial if info.HasField("serial") else None
    goods_class: goods.Class | None = None
    if serial is not None and serial.HasField("class"):
        goods_class = getattr(serial, "class")
    return ShownGoods(
        goods_id=_value(info, "ID"),
        goods_class=None if goods_class is None else _shown_class(goods_class),
        serial=None if serial is None else ShownSerial(_value(serial, "ID"), _micros(serial, "timestamp")),
        circs=tuple(_shown_circ(record) for record in response.circ_records),
        creator=_value(info, "creator"),
    )


def _shown_class(message: goods.Class) -> ShownClass:
    return ShownClass(
        id=_value(message, "ID"),
        name=_value(message, "name"),
        description=_value(message, "des"),
        trademark=_value(message, "tm"),
        material_id=_value(message, "material_id"),
        org_id=_value(message, "org_id"),
    )


def _shown_circ(message: circ.CircRecord) -> ShownCirc:
    form: str | None = _value(message, "from_value")
    return ShownCirc(
        goods_id=_value(message, "object_id"),
        circ_type=int(message.circ_type),
        operator=_value(message, "Operator"),
        origin=_value(message, "from"),
        to=_value(message, "to"),
        form=b"" if form is None else form.encode(),
        salt=bytes(message.salt),
        trans_id=_value(message, "trans_id"),
        tx_hash=_value(message, "tx_hash"),
        times=_value(message, "times"),
        status=_value(message, "status"),
        files=tuple(message.files),
        recorded_at=_micros(message, "recorded_at"),
        erased=message.erased,
    )


def _value(message: Any, name: str) -> Any:
    """What a wrapper holds; None if it isn't set."""
    return getattr(message, name).value if message.HasField(name) else None


def _micros(message: Any, name: str) -> int | None:
    """Microseconds since 1970, None for a time that is missing or none. Finer than that is no time of VTrace's."""
    if not message.HasField(name):
        return None
    when: Timestamp = getattr(message, name)
    if not 0 <= when.nanos < 1_000_000_000 or when.nanos % 1_000:
        return None
    return int(when.seconds * 1_000_000 + when.nanos // 1_000)


def _refused(fault: grpc.RpcError) -> Refused:
    """The refusal with its details, as far as they can be read: the node may send anything."""
    status, message = fault.code().name, _line(fault.details() or "without a message")
    try:
        told = rpc_status.from_call(fault)
        info, bad, retry = _details(told)
    except (ValueError, DecodeError):
        return Refused(status, message)
    return Refused(
        status,
        _line(told.message) if told is not None and told.message else message,
        reason=info.reason,
        domain=info.domain,
        metadata=info.metadata,
        fields=tuple(FieldViolation(wrong.field, wrong.description) for wrong in bad.field_violations),
        retry_seconds=retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9 if retry is not None else None,
    )


def _details(told: Any) -> tuple[error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, Any]:
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), None
    for packed in told.details if told is not None else ():
        if packed.Is(info.DESCRIPTOR):
            packed.Unpack(info)
        elif packed.Is(bad.DESCRIPTOR):
            packed.Unpack(bad)
        elif packed.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            packed.Unpack(retry)
    return info, bad, retry


def _line(text: str) -> str:
    """A message as it may be printed: one line, not endless."""
    line = one_line(text)
    return line if len(line) <= MESSAGE_SHOWN_MAX else line[:MESSAGE_SHOWN_MAX] + "…"
