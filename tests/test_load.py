"""The load calls a real server as gRPC wants it, counts its answers, and stops at the first refusal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from scripts import load

ECHO = "/echo.Echo/Say"
TOKEN = "t" * 300


class Echo:
    """Keeps what it was asked, refuses b"no", and is slow to answer b"wait"."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.tokens: set[str] = set()
        self.peers: set[str] = set()
        self.may_answer = threading.Event()

    def say(self, content: bytes, context: grpc.ServicerContext) -> bytes:
        self.asked.append(content)
        self.tokens.add(dict(context.invocation_metadata())["authorization"])
        self.peers.add(context.peer())
        if content == b"wait":
            self.may_answer.wait(10)
        if content == b"no":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "want yes")
        return content


@pytest.fixture
def served() -> Iterator[tuple[Echo, Callable[..., load.Load]]]:
    echo, server = Echo(), grpc.server(ThreadPoolExecutor(4))
    method = grpc.unary_unary_rpc_method_handler(echo.say)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo.Echo", {"Say": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()

    def run(requests: list[bytes], callers: int, **more: Any) -> load.Load:
        return load.run(f"127.0.0.1:{port}", TOKEN, ECHO, requests, callers, **more)

    yield echo, run
    server.stop(None).wait()


@pytest.mark.parametrize(("callers", "connections"), [(1, 1), (7, 3), (2, 3)])
def test_each_request_is_sent_once_and_each_answer_counted(served: Any, callers: int, connections: int) -> None:
    echo, run = served
    requests = [b"%d" % number for number in range(200)]
    seen = run(requests, callers, connections=connections)
    assert sorted(echo.asked) == sorted(requests)
    assert len(seen.waits) == 200
    assert echo.tokens == {f"Bearer {TOKEN}"}
    assert len(echo.peers) == min(callers, connections)


def test_a_message_may_be_larger_than_a_frame_and_all_together_than_the_window(served: Any) -> None:
    echo, run = served
    requests = [bytes([number]) * 50_000 for number in range(20)]
    run(requests, 8)
    assert sorted(echo.asked) == requests


def test_nothing_to_ask_is_nothing_answered(served: Any) -> None:
    _, run = served
    assert run([], 3).waits == []


def test_a_refusal_ends_it(served: Any) -> None:
    _, run = served
    with pytest.raises(load.Refused, match="want yes"):
        run([b"yes"] * 10 + [b"no"] + [b"yes"] * 10, 2)


def test_silence_ends_it(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    echo, run = served
    monkeypatch.setattr(load, "SILENCE_SECONDS_MAX", 0.1)
    try:
        with pytest.raises(TimeoutError, match="no answer for"):
            run([b"wait"], 1)
    finally:
        echo.may_answer.set()


def test_where_nobody_listens_it_never_begins() -> None:
    with pytest.raises(OSError, match=r"refused|111"):
        load.run("127.0.0.1:9", None, ECHO, [b""], 1)
