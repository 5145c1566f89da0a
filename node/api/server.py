"""The gRPC server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from node.api.dispatch import Asked, Rpc
from node.api.push import Pusher
from node.api.services import SERVICES
from node.api.status import to_status
from node.api.threads import Threads
from node.errors import SetupError, VTraceError, invalid
from node.flow.watch import WATCHERS_MAX

THREADS = 32
CONCURRENT_RPCS_MAX = 512 + WATCHERS_MAX
MESSAGE_BYTES_MAX = 4 * 1024 * 1024

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
    """Serves the rpcs, the standard health service and reflection on one address."""

    def __init__(self, address: str, rpcs: Sequence[Rpc]) -> None:
        self._threads = Threads(THREADS, "rpc")
        self._server = grpc.server(
            self._threads,
            options=_OPTIONS,
            maximum_concurrent_rpcs=CONCURRENT_RPCS_MAX,
        )
        self._pusher = Pusher()
        for service in SERVICES:
            handlers = {rpc.name: self._handler(rpc) for rpc in rpcs if rpc.method.containing_service is service}
            generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
            self._server.add_generic_rpc_handlers((generic,))
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        served = [service.full_name for service in SERVICES]
        reflection.enable_server_reflection((*served, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)
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
        self._threads.shutdown()
        self._pusher.stop()

    def _set_health(self, status: int) -> None:
        for name in ("", *(service.full_name for service in SERVICES)):
            self._health.set(name, status)

    def _handler(self, rpc: Rpc) -> Any:
        """One rpc as gRPC calls it: what Rpc refuses ends the call with its status."""
        streams = rpc.method.client_streaming

        def parsed(message: bytes) -> Any:
            try:
                return rpc.request_class.FromString(message)
            except DecodeError:
                wanted = f"a message {rpc.method.input_type.name}"
                raise invalid("request", f"{len(message)} bytes", wanted) from None

        def handle(request: Any, context: grpc.ServicerContext) -> Any:
            asked = Asked(
                read=lambda: map(parsed, request) if streams else parsed(request),
                metadata=tuple(context.invocation_metadata()),
                is_there=context.is_active,
                peer=context.peer(),
            )
            try:
                return rpc.answer(asked)
            except VTraceError as fault:
                refusal = fault
            context.abort_with_status(rpc_status.to_status(to_status(refusal)))
            raise AssertionError("abort returned")

        def stream(request: Any, context: grpc.ServicerContext, send: Callable[[Any], None]) -> None:
            self._pusher.begin(rpc, handle(request, context), context, send)

        # The message is parsed by the handler, so that rubbish meets the same error path as everything else.
        ends: tuple[Any, Any] = (None, lambda response: response.SerializeToString())
        if rpc.method.server_streaming:
            stream.experimental_non_blocking = True  # type: ignore[attr-defined] # gRPC looks for it
            return grpc.unary_stream_rpc_method_handler(stream, *ends)
        make = grpc.stream_unary_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
        return make(handle, *ends)
