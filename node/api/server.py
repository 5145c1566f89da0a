"""The gRPC server: every rpc of the protocol behind one authentication, one table and one error path."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from node.api.auth import ANYONE, NEEDS, Tokens, require
from node.api.call import Call, key_in
from node.api.status import to_status
from node.api.streams import Incoming
from node.errors import IndexUnavailable, Reason, SetupError, SignerUnavailable, Status, VTraceError, invalid
from node.faults import point
from node.flow.once import Once
from node.wire.vtrace.v1 import custody_pb2
from node.wire.vtrace.v1 import service_pb2 as wire

THREADS = 32
CONCURRENT_RPCS_MAX = 512
RETRY_SECONDS = 5
MESSAGE_BYTES_MAX = 4 * 1024 * 1024

log = logging.getLogger(__name__)

SERVICES = (
    wire.DESCRIPTOR.services_by_name["VTraceInterface"],
    custody_pb2.DESCRIPTOR.services_by_name["VTraceCustody"],
)
_NAMES = tuple(service.full_name for service in SERVICES)
_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.so_reuseport", 0),
    # The window of a stream is this and no more, else gRPC lets it grow and large messages pile up in memory.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1024 * 1024),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
)


class Server:
    """Serves the protocol, the standard health service and reflection on one address."""

    def __init__(self, address: str, servicers: Sequence[Any], tokens: Tokens, once: Once) -> None:
        self._server = grpc.server(
            futures.ThreadPoolExecutor(THREADS, thread_name_prefix="rpc"),
            options=_OPTIONS,
            maximum_concurrent_rpcs=CONCURRENT_RPCS_MAX,
        )
        for service in SERVICES:
            handlers = {method.name: _handler(method, servicers, tokens, once) for method in service.methods}
            generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
            self._server.add_generic_rpc_handlers((generic,))
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*_NAMES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as fault:
            raise SetupError(f"--grpc {address}: can't listen there; is another node running?") from fault

    def start(self) -> None:
        """Answer calls from now on."""
        self._server.start()
        self._set_health(health_pb2.HealthCheckResponse.SERVING)

    def stop(self, grace_seconds: float) -> None:
        """Take no more calls, let those under way end within the grace, and return when all is quiet."""
        self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        self._server.stop(grace_seconds).wait(grace_seconds + 1)

    def _set_health(self, status: int) -> None:
        for name in ("", *_NAMES):
            self._health.set(name, status)


def _handler(method: Any, servicers: Sequence[Any], tokens: Tokens, once: Once) -> Any:
    """One rpc: authenticate, hold its row of the table, answer; every fault becomes a status."""
    name = method.name
    if name not in NEEDS:
        raise AssertionError(f"rpc {name} has no row in the table of roles")
    servicer = next(one for one in servicers if hasattr(one, name))
    answer: Callable[..., Any] = getattr(servicer, name)
    needs = NEEDS[name]
    failed: Reason = servicer.failed
    request_class = getattr(wire, method.input_type.name)
    response_class = getattr(wire, method.output_type.name)
    # The servicer of an rpc that makes something asks for the Call, and makes it once.
    makes_something = "call" in inspect.signature(answer).parameters

    def parsed(message: bytes) -> Any:
        try:
            return request_class.FromString(message)
        except DecodeError:
            raise invalid("request", f"{len(message)} bytes", f"a message {request_class.DESCRIPTOR.name}") from None

    def handle(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            given = map(parsed, request) if method.client_streaming else parsed(request)
            caller = None if needs is ANYONE else tokens.caller(_authorization(context))
            if caller is not None:
                require(caller, needs, name)
                point("authenticated")
            arguments: list[Any] = [] if caller is None else [caller]
            arguments.append(Incoming(given, context) if method.client_streaming else given)
            if makes_something:
                metadata = context.invocation_metadata()
                keyed = (name, key_in(metadata), caller, given, servicer.duplicate, response_class, once)
                arguments.append(Call(*keyed, metadata=metadata))
            answered = answer(*arguments)
            if makes_something:
                point("committed")
            return answered
        except VTraceError as fault:
            refusal = fault
        except IndexUnavailable:
            log.exception("%s found no index", name)
            refusal = VTraceError(
                failed, "the node's index is busy: try again", status=Status.UNAVAILABLE, retry_seconds=RETRY_SECONDS
            )
        except SignerUnavailable as fault:
            log.warning("%s: %s", name, fault)
            refusal = VTraceError(
                failed,
                "what signs the node's transactions is away, and nothing was recorded: try again",
                status=Status.UNAVAILABLE,
                retry_seconds=RETRY_SECONDS,
            )
        except Exception:
            log.exception("%s failed", name)
            refusal = VTraceError(failed, f"{name} failed inside the node; its log says why", status=Status.INTERNAL)
        context.abort_with_status(rpc_status.to_status(to_status(refusal)))
        raise AssertionError("abort returned")

    make = grpc.stream_unary_rpc_method_handler if method.client_streaming else grpc.unary_unary_rpc_method_handler
    # The message is parsed by the handler, so that rubbish meets the same error path as everything else.
    return make(handle, None, lambda response: response.SerializeToString())


def _authorization(context: grpc.ServicerContext) -> str | None:
    for key, value in context.invocation_metadata():
        if key == "authorization":
            return value if isinstance(value, str) else None
    return None
