"""Calls that never say what they want, and others that want too much at once: honest callers are answered meanwhile."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from node.api import guard, server
from node.api.files import UPLOADS_MAX
from node.api.guard import WATCHES_MAX, Guard, Watched
from node.api.server import MESSAGE_BYTES_MAX, METADATA_BYTES_MAX, Server
from tests.support import people
from tests.support.node import RunningNode, eventually
from tests.support.wire_client import SERVICE

CHECK = "/grpc.health.v1.Health/Check"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
SECONDS_MAX = 60
LONG = 3_600.0


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], str]]:
    """A server of the health service alone, whose calls may stay silent so many seconds."""
    with contextlib.ExitStack() as stack:

        def start(message_seconds: float) -> str:
            monkeypatch.setattr(server, "Guard", lambda: Guard(message_seconds))
            started = Server("127.0.0.1:0", [])
            started.start()
            stack.callback(started.stop, 0)
            return f"127.0.0.1:{started.port}"

        yield start


@contextlib.contextmanager
def channel(address: str, number: int = 0) -> Iterator[grpc.Channel]:
    """A connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1), ("test", number), ("grpc.max_metadata_size", 1 << 20)]
    with grpc.insecure_channel(address, options=options) as made:
        yield made


def check(over: grpc.Channel, timeout: float = SECONDS_MAX, **more: Any) -> bytes:
    answered: bytes = over.unary_unary(CHECK)(b"", timeout=timeout, **more)
    return answered


def silent(over: grpc.Channel, method: str = CHECK) -> Any:
    """A call that is open and never says anything. The method is unary; on the wire that can't be seen."""
    return over.stream_unary(method).future(iter(queue.SimpleQueue().get, None))


def test_calls_that_never_send_their_message_do_not_keep_others_out(serve: Callable[[float], str]) -> None:
    address = serve(LONG)
    with contextlib.ExitStack() as opened:
        attackers = [opened.enter_context(channel(address, number)) for number in range(4)]
        calls = [silent(attackers[number % 4]) for number in range(400)]
        honest = opened.enter_context(channel(address))
        for _ in range(20):
            assert check(honest) == health_pb2.HealthCheckResponse(status=1).SerializeToString()
        for call in calls:
            call.cancel()


def test_a_call_that_stays_silent_is_ended(serve: Callable[[float], str]) -> None:
    with channel(serve(0.2)) as over:
        assert silent(over).exception(SECONDS_MAX).code() is grpc.StatusCode.CANCELLED


def test_a_call_without_a_message_is_told_so(serve: Callable[[float], str]) -> None:
    with channel(serve(LONG)) as over, pytest.raises(grpc.RpcError) as refused:
        over.stream_unary(CHECK)(iter(()), timeout=SECONDS_MAX)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "want one message" in refused.value.details()


def test_open_streams_of_reflection_have_places_of_their_own(serve: Callable[[float], str]) -> None:
    with channel(serve(LONG)) as over:
        open_ended = over.stream_stream(REFLECTION)
        ask = b"\x3a\x00"  # list_services
        streams = []
        for _ in range(WATCHES_MAX):
            said: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
            said.put(ask)
            streams.append(open_ended(iter(said.get, None)))
            assert next(streams[-1])
        with pytest.raises(grpc.RpcError) as refused:
            next(open_ended(iter([ask])))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert check(over)
        for stream in streams:
            stream.cancel()


def test_a_silent_stream_of_reflection_is_ended(serve: Callable[[float], str]) -> None:
    with channel(serve(0.2)) as over, pytest.raises(grpc.RpcError) as ended:
        next(over.stream_stream(REFLECTION)(iter(queue.SimpleQueue().get, None)))
    assert ended.value.code() is grpc.StatusCode.CANCELLED


def test_metadata_that_is_too_large_is_refused(serve: Callable[[float], str]) -> None:
    with channel(serve(LONG)) as over:
        with pytest.raises(grpc.RpcError) as refused:
            check(over, metadata=[("x", "y" * (METADATA_BYTES_MAX + 1))])
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert check(over)


def test_a_message_that_unpacks_to_too_much_is_refused(serve: Callable[[float], str]) -> None:
    """4 MiB and more of zeros, which travel as a few kilobytes."""
    bomb = bytes(32 * MESSAGE_BYTES_MAX)
    with channel(serve(LONG)) as over:
        for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            with pytest.raises(grpc.RpcError) as refused:
                over.unary_unary(CHECK)(bomb, timeout=SECONDS_MAX, compression=compression)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert check(over)


def test_calls_that_are_taken_back_at_once_do_not_keep_others_out(serve: Callable[[float], str]) -> None:
    address = serve(LONG)
    with channel(address, 1) as attacker, channel(address, 2) as honest:
        for _ in range(1_000):
            attacker.unary_unary(CHECK).future(b"").cancel()
        assert check(honest)


def test_a_call_whose_caller_has_gone_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "WORKING_MAX", 1)
    begun: list[bytes] = []
    release = threading.Event()

    def work(message: bytes, _: grpc.ServicerContext) -> bytes:
        begun.append(message)
        assert release.wait(SECONDS_MAX)
        return message

    watching = Guard(LONG)
    served = grpc.server(futures.ThreadPoolExecutor(4), interceptors=(watching,))
    handlers = {"Do": grpc.unary_unary_rpc_method_handler(work)}
    served.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tests.Work", handlers),))
    port = served.add_insecure_port("127.0.0.1:0")
    served.start()
    try:
        with channel(f"127.0.0.1:{port}") as over:
            do = over.unary_unary("/tests.Work/Do")
            first = do.future(b"first", timeout=SECONDS_MAX)
            eventually(lambda: begun)
            assert do.future(b"gone", timeout=0.5).exception(SECONDS_MAX).code() is grpc.StatusCode.DEADLINE_EXCEEDED
            eventually(lambda: not all(context.is_active() for _, context in list(watching._calls._calls.values())))
            release.set()
            assert first.result(SECONDS_MAX) == b"first"
            assert do(b"last", timeout=SECONDS_MAX) == b"last"
    finally:
        served.stop(None).wait(SECONDS_MAX)
        watching.close()
    assert begun == [b"first", b"last"]


class Context:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


def test_a_call_whose_time_is_over_is_ended() -> None:
    late, early = Context(), Context()
    over, within = Watched(0), Watched(LONG)
    with over(late), within(early):  # type: ignore[arg-type]
        over.end_late()
        within.end_late()
    assert (late.cancelled, early.cancelled) == (True, False)
    with over(done := Context()):  # type: ignore[arg-type]
        pass
    over.end_late()
    assert not done.cancelled


def test_uploads_under_way_leave_room_for_others(node: RunningNode) -> None:
    person = people.register(node.client)
    metadata = [("authorization", f"Bearer {person.client.token}")]
    with channel(node.ready["grpc"]) as over, contextlib.ExitStack() as ends:
        upload = over.stream_unary(f"/{SERVICE}/Upload")
        calls = []
        for _ in range(guard.UPLOADS_MAX * 2):
            said: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
            ends.callback(said.put, None)
            calls.append(upload.future(iter(said.get, None), timeout=SECONDS_MAX, metadata=metadata))
            ends.callback(calls[-1].cancel)
        eventually(lambda: sum(call.done() for call in calls) >= len(calls) - UPLOADS_MAX)
        refused = [call.code() for call in calls if call.done()]
        assert refused == [grpc.StatusCode.RESOURCE_EXHAUSTED] * (len(calls) - UPLOADS_MAX)
        assert person.client.call("Profile")
