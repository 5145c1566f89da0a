"""What comes with gRPC, held to the same rules as our own: its services, and what it logs of strangers' bytes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from node.api.status import to_status
from node.errors import Reason, VTraceError, invalid
from node.request_id import id_in

NON_BLOCKING = "experimental_non_blocking"
_NOT_UTF8 = "Invalid encoding on"


def keep_metadata_out_of_logs() -> None:
    """gRPC logs metadata that is not UTF-8, tokens too, with a traceback for each; from now on it doesn't."""
    logging.getLogger("grpc._cython.cygrpc").addFilter(_tells_no_metadata)


def _tells_no_metadata(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_NOT_UTF8)


class Strict(grpc.ServerInterceptor):  # type: ignore[misc]
    """Parses their requests where a refusal can be told. gRPC itself says INTERNAL, and logs a traceback for each."""

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """The handler of a call."""
        handler = continuation(details)
        if handler is None or handler.request_deserializer is None:
            return handler
        if handler.stream_stream:
            work, make = handler.stream_stream, grpc.stream_stream_rpc_method_handler
        elif handler.unary_stream:
            work, make = handler.unary_stream, grpc.unary_stream_rpc_method_handler
        elif handler.unary_unary:
            work, make = handler.unary_unary, grpc.unary_unary_rpc_method_handler
        else:
            raise AssertionError(f"{details.method}: a stream to one answer has no strict parser")
        parse = handler.request_deserializer

        def parsed(message: bytes, context: grpc.ServicerContext) -> Any:
            try:
                return parse(message)
            except DecodeError:
                refusal = invalid("request", f"{len(message)} bytes", f"a message of {details.method}")
            raise _abort(context, refusal)

        def handle(given: Any, context: grpc.ServicerContext, *send: Any) -> Any:
            request = _each(given, context) if handler.request_streaming else parsed(given, context)
            try:
                return work(request, context, *send)
            except NotImplementedError:
                refusal = VTraceError(Reason.SERVICE_OFFLINE, f"{details.method} is not served here")
            raise _abort(context, refusal)

        def _each(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
            for message in messages:
                yield parsed(message, context)

        # So a handler tells gRPC that it takes no thread while it is silent.
        handle.experimental_non_blocking = getattr(work, NON_BLOCKING, False)  # type: ignore[attr-defined]
        return make(handle, None, handler.response_serializer)


def _abort(context: grpc.ServicerContext, refusal: VTraceError) -> Exception:
    context.abort_with_status(rpc_status.to_status(to_status(refusal, id_in(context.invocation_metadata()))))
    return AssertionError("abort returned")
