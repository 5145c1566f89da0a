"""The gRPC server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from node.api.dispatch import Asked, Rpc
from node.api.guard import THREADS, Guard
from node.api.others import Strict, keep_metadata_out_of_logs
from node.api.push import Pusher
from node.api.quick import QUICK, QuickThreads, Tell
from node.api.services import SERVICES
from node.api.signed import is_plain
from node.api.status import refuse, to_status
from node.errors import SetupError, VTraceError, invalid
from node.later import go_through
from node.request_id import id_in
from node.tls import TlsFiles

OPEN_CALLS_MAX = 12_000
CONNECTIONS_MAX = 2_048
CONNECTION_STREAMS_MAX = 128
MESSAGE_BYTES_MAX = 4 * 1024 * 1024
METADATA_BYTES_MAX = 16 * 1024
HANDSHAKE_MS_MAX = 10_000
IDLE_MS_MAX = 600_000

log = logging.getLogger(__name__)

_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.max_concurrent_streams", CONNECTION_STREAMS_MAX),
    # Calls that have come but were not looked at yet. From 1,000 on gRPC would cut off any of them, honest or not.
    ("grpc.server.max_pending_requests", OPEN_CALLS_MAX),
    ("grpc.server.max_pending_requests_hard_limit", 2 * OPEN_CALLS_MAX),
    ("grpc.max_allowed_incoming_connections", CONNECTIONS_MAX),
    # TLS and HTTP/2's first frames together.
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS_MAX),
    ("grpc.max_connection_idle_ms", IDLE_MS_MAX),
    ("grpc.keepalive_time_ms", 120_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # The window of a stream is this and no more, else gRPC lets it grow and large messages pile up in memory.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1024 * 1024),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)


class Server:
    """Serves the rpcs, the standard health service and reflection on one address, which other processes may share.

    In the clear without ``tls``.
    """

    def __init__(
        self, address: str, rpcs: Sequence[Rpc], tls: TlsFiles | None = None, *, is_shared: bool = False
    ) -> None:
        keep_metadata_out_of_logs()
        self._certified = tls is not None and tls.client_ca is not None
        self._guard = Guard()
        self.waits = self._guard.waits
        self._threads = QuickThreads(THREADS, "rpc")
        self._server = grpc.server(
            self._threads,
            interceptors=(self._guard, Strict()),
            options=(*_OPTIONS, ("grpc.so_reuseport", int(is_shared))),
            maximum_concurrent_rpcs=OPEN_CALLS_MAX,
        )
        self._pusher = Pusher()
        for service in SERVICES:
            handlers = {rpc.name: self._handler(rpc) for rpc in rpcs if rpc.method.containing_service is service}
            generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
            self._server.add_generic_rpc_handlers((generic,))
        self._shown: dict[str, bool] = {}
        # Its other way to watch goes past the guard.
        self._health = health.HealthServicer(experimental_non_blocking=False)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        served = [service.full_name for service in SERVICES]
        reflection.enable_server_reflection((*served, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)
        try:
            if tls is None:
                self.port = self._server.add_insecure_port(address)
            else:
                self.port = self._server.add_secure_port(address, _credentials(tls))
        except RuntimeError as fault:
            raise SetupError(f"--grpc {address}: can't listen there; is another node running?") from fault

    def start(self) -> None:
        """Answer calls from now on. What nobody has said anything else of is said to serve."""
        services = ("", *(service.full_name for service in SERVICES))
        self.show({name: True for name in services if name not in self._shown})
        self._server.start()

    def stop(self, grace_seconds: float) -> None:
        """Take no more calls, let those under way end within the grace, and return when all is quiet."""
        self.show(dict.fromkeys(self._shown, False))
        self._server.stop(grace_seconds).wait(grace_seconds + 1)
        self._threads.shutdown()
        self._pusher.stop()
        self._guard.close()

    def show(self, serving: Mapping[str, bool]) -> None:
        """What the health service says of each service from now on, by name; of the whole server by an empty one."""
        states = health_pb2.HealthCheckResponse
        for name, serves in serving.items():
            if self._shown.get(name) is not serves:
                self._shown[name] = serves
                self._health.set(name, states.SERVING if serves else states.NOT_SERVING)

    def _handler(self, rpc: Rpc) -> Any:
        """One rpc as gRPC calls it: what Rpc refuses ends the call with its status."""
        streams = rpc.method.client_streaming

        def parsed(message: bytes) -> Any:
            try:
                return rpc.request_class.FromString(message)
            except DecodeError:
                wanted = f"a message {rpc.method.input_type.name}"
                raise invalid("request", f"{len(message)} bytes", wanted) from None

        def asked(request: Any, context: grpc.ServicerContext) -> Asked:
            metadata = tuple(context.invocation_metadata())
            return Asked(
                read=lambda: map(parsed, request) if streams else parsed(request),
                metadata=metadata,
                is_there=context.is_active,
                peer=context.peer(),
                certificate=_certificate(context) if self._certified else None,
                request_id=id_in(metadata),
            )

        def answer(request: Any, context: grpc.ServicerContext) -> tuple[Any, str]:
            call = asked(request, context)
            try:
                return rpc.answer(call), call.request_id
            except VTraceError as fault:
                refusal = fault
            context.abort_with_status(rpc_status.to_status(to_status(refusal, call.request_id)))
            raise AssertionError("abort returned")

        def handle(request: Any, context: grpc.ServicerContext) -> Any:
            return answer(request, context)[0]

        def begin(request: bytes, context: grpc.ServicerContext, tell: Tell) -> bool:
            call = asked(request, context)
            if not is_plain(call.metadata):
                return False
            said = partial(_said, context, call.request_id)
            go_through(rpc.steps(call), lambda answered, fault: tell(said(answered, fault)))
            return True

        def stream(request: Any, context: grpc.ServicerContext, send: Callable[[Any], None]) -> None:
            self._pusher.begin(rpc, *answer(request, context), context, send)

        # The message is parsed by the handler, so that rubbish meets the same error path as everything else.
        ends: tuple[Any, Any] = (None, lambda response: response.SerializeToString())
        if rpc.method.server_streaming:
            stream.experimental_non_blocking = True  # type: ignore[attr-defined] # gRPC looks for it
            return grpc.unary_stream_rpc_method_handler(stream, *ends)
        if rpc.is_quick:
            setattr(handle, QUICK, begin)
        make = grpc.stream_unary_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
        return make(handle, *ends)


def _said(context: grpc.ServicerContext, request_id: str, answered: Any, fault: BaseException | None) -> bytes | None:
    """An answer's bytes, or None once the context has the refusal."""
    if fault is None:
        said: bytes = answered.SerializeToString()
        return said
    if isinstance(fault, VTraceError):
        refuse(context, fault, request_id)
    else:
        log.error("a call ended without an answer", exc_info=fault)
        context.set_code(grpc.StatusCode.INTERNAL)
    return None


def _credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    """What gRPC asks before each handshake, so that a renewed certificate needs no restart."""
    shown = tls.current()

    def configuration() -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([(shown.key, shown.chain)], tls.client_ca)

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal shown
        now = tls.current()
        if now is shown:
            return None
        shown = now
        return configuration()

    return grpc.dynamic_ssl_server_credentials(configuration(), renewed, tls.client_ca is not None)


def _certificate(context: grpc.ServicerContext) -> bytes | None:
    return next(iter(context.auth_context().get("x509_pem_cert", ())), None)
