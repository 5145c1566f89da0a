"""Calls that hold no thread: what is not a proper call ends as it does elsewhere, and many go on together."""

from __future__ import annotations

import queue
import threading
from contextlib import closing
from typing import Any

import grpc
import pytest

from node.api import quick
from node.api.guard import Guard
from node.api.quick import QUICK, QuickThreads, Tell
from tests.support import people
from tests.support.node import RunningNode
from tests.support.wire_client import SERVICE

CREATE = f"/{SERVICE}/CreateCirc"
SECONDS_MAX = 60
CALLS = 600
"""More than gRPC bears of one connection's calls that have ended and are still held."""


def test_a_call_without_a_message_is_told_so(node: RunningNode) -> None:
    with grpc.insecure_channel(node.ready["grpc"]) as over, pytest.raises(grpc.RpcError) as refused:
        over.stream_unary(CREATE)(iter(()), timeout=SECONDS_MAX)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "want one message" in refused.value.details()


def test_calls_that_stay_silent_are_ended_and_keep_nobody_out(node: RunningNode) -> None:
    maker = people.maker(node.client)
    (goods_id,) = maker.goods(1)
    with grpc.insecure_channel(node.ready["grpc"]) as over:
        silent = [over.stream_unary(CREATE).future(iter(queue.SimpleQueue().get, None)) for _ in range(100)]
        maker.boss.client.call("CreateCirc", goods_id=goods_id, circ_type=1)
        for call in silent:
            assert call.exception(SECONDS_MAX).code() is grpc.StatusCode.CANCELLED


def test_what_one_connection_has_behind_it_is_not_held_against_it(node: RunningNode) -> None:
    maker = people.maker(node.client)
    (goods_id,) = maker.goods(1)
    client = maker.boss.client
    request = client.request("CreateCirc", goods_id=goods_id, circ_type=1).SerializeToString()
    metadata = (("authorization", f"Bearer {client.token}"),)
    with grpc.insecure_channel(node.ready["grpc"]) as over:
        create = over.unary_unary(CREATE)
        for _ in range(CALLS // 60):
            calls = [create.future(request, metadata=metadata, timeout=SECONDS_MAX) for _ in range(60)]
            assert all(call.result() for call in calls)


def test_while_one_waits_the_others_take_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "HELD_SECONDS", -1.0)
    is_begun, go_on = threading.Event(), threading.Event()

    def begin(_: bytes, __: Any, tell: Tell) -> bool:
        is_begun.set()
        assert go_on.wait(SECONDS_MAX)
        tell(b"begun")
        return True

    def on_thread(_: bytes, __: Any) -> bytes:
        return b"on a thread"

    setattr(on_thread, QUICK, begin)
    threads = QuickThreads(2, "waits")
    with closing(Guard()) as guard:
        server = grpc.server(threads, interceptors=(guard,))
        handlers = {"Do": grpc.unary_unary_rpc_method_handler(on_thread)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as over:
                do = over.unary_unary("/test/Do")
                first = do.future(b"", timeout=SECONDS_MAX)
                assert is_begun.wait(SECONDS_MAX)
                assert do(b"", timeout=SECONDS_MAX) == b"on a thread"
                go_on.set()
                assert first.result() == b"begun"
        finally:
            go_on.set()
            server.stop(0).wait(SECONDS_MAX)
            threads.shutdown()
