"""Errors as google.rpc.Status: a gRPC code with ErrorInfo, BadRequest, RetryInfo and RequestInfo."""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from node.errors import VTraceError


def to_status(fault: VTraceError, request_id: str = "") -> status_pb2.Status:
    """What the caller is told of a refusal; ``request_id`` is that of its call."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=fault.reason.name, domain=fault.reason.domain, metadata=fault.metadata)
    ]
    if fault.fields:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=wrong.field, description=wrong.description)
            for wrong in fault.fields
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if fault.retry_seconds is not None:
        delay = duration_pb2.Duration(seconds=fault.retry_seconds)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    if request_id:
        details.append(error_details_pb2.RequestInfo(request_id=request_id))
    packed = []
    for detail in details:
        wrapped = any_pb2.Any()
        wrapped.Pack(detail)
        packed.append(wrapped)
    return status_pb2.Status(code=code_pb2.Code.Value(fault.status.value), message=fault.message, details=packed)


def refuse(context: grpc.ServicerContext, fault: VTraceError, request_id: str) -> None:
    """Have a call end with a refusal; whoever ends it does so without an answer."""
    status = rpc_status.to_status(to_status(fault, request_id))
    context.set_code(status.code)
    context.set_details(status.details)
    context.set_trailing_metadata(status.trailing_metadata)
