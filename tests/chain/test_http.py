"""HttpRpc against a server that misbehaves in one way at a time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from node.chain import transport
from node.chain.rpc import Chain, ChainUnavailable, HttpRpc, RpcError

from .servers import free_port

Answer = Callable[["Exchange"], None]


class Exchange(BaseHTTPRequestHandler):
    """One request, which the test's function answers as it likes."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(self.body)
        self.server.answer(self)

    def calls(self) -> list[dict[str, Any]]:
        return self.body if isinstance(self.body, list) else [self.body]

    def give(self, value: Any, *, status: int = 200) -> None:
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.answer = answer
        self.bodies: list[Any] = []
        self.ended = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is what some tests are about."""


@contextmanager
def serving(answer: Answer, timeout_seconds: float = 10) -> Iterator[tuple[HttpRpc, Server]]:
    server = Server(answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    rpc = HttpRpc(f"http://127.0.0.1:{server.server_port}/secret-path", timeout_seconds)
    try:
        yield rpc, server
    finally:
        rpc.close()
        server.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def result(call: dict[str, Any], value: Any = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call["id"], "result": call["method"] if value is None else value}


def echo(exchange: Exchange) -> None:
    """The right answer: each call's result is its method."""
    answers = [result(call) for call in exchange.calls()]
    exchange.give(answers if isinstance(exchange.body, list) else answers[0])


CALLS: list[tuple[str, list[Any]]] = [("a", []), ("b", [1]), ("c", [{"x": None}])]


def test_batch_and_single_call() -> None:
    with serving(echo) as (rpc, server):
        assert rpc.batch(CALLS) == ["a", "b", "c"]
        assert rpc.batch(CALLS[:1]) == ["a"]
        assert rpc.batch([]) == []
        batch, single = server.bodies
        assert [call["params"] for call in batch] == [[], [1], [{"x": None}]]
        assert isinstance(single, dict), "some endpoints refuse batches, so one call goes alone"
        numbers = [call["id"] for call in [*batch, single]]
        assert len(set(numbers)) == 4


def test_answers_are_matched_by_id() -> None:
    with serving(lambda e: e.give([result(call) for call in reversed(e.calls())])) as (rpc, _):
        assert rpc.batch(CALLS) == ["a", "b", "c"]


def test_one_error_inside_a_batch() -> None:
    def answer(exchange: Exchange) -> None:
        first, second, third = exchange.calls()
        error = {"code": -32000, "message": "nonce too low", "data": "0x"}
        exchange.give([result(first), {"jsonrpc": "2.0", "id": second["id"], "error": error}, result(third)])

    with serving(answer) as (rpc, _):
        first, second, third = rpc.batch(CALLS)
        assert (first, third) == ("a", "c")
        assert isinstance(second, RpcError)
        assert (second.code, second.message, second.data) == (-32000, "nonce too low", "0x")
        assert second.to_json() == {"code": -32000, "message": "nonce too low", "data": "0x"}


def test_a_null_result_beside_a_null_error_is_a_result() -> None:
    with serving(lambda e: e.give([{**result(call), "error": None} for call in e.calls()])) as (rpc, _):
        assert rpc.batch(CALLS) == ["a", "b", "c"]


def test_long_batches_are_cut() -> None:
    with serving(echo) as (rpc, server):
        assert rpc.batch([(f"m{number}", []) for number in range(250)]) == [f"m{n}" for n in range(250)]
        assert [len(body) for body in server.bodies] == [100, 100, 50]


def without_last(exchange: Exchange) -> None:
    exchange.give([result(call) for call in exchange.calls()[:-1]])


def doubled(exchange: Exchange) -> None:
    first, second, _ = exchange.calls()
    exchange.give([result(first), result(second), result(second)])


def foreign_id(exchange: Exchange) -> None:
    exchange.give([result({**call, "id": call["id"] + 1}) for call in exchange.calls()])


def id_of_another_type(exchange: Exchange) -> None:
    exchange.give([result({**call, "id": str(call["id"])}) for call in exchange.calls()])


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (without_last, "answered 2 of 3 calls"),
        (doubled, "wasn't asked for, or twice"),
        (foreign_id, "wasn't asked for, or twice"),
        (id_of_another_type, "wasn't asked for, or twice"),
        (lambda e: e.give(b"<html><body>Bad gateway</body></html>"), "<html>"),
        (lambda e: e.give(b""), "want JSON"),
        (lambda e: e.give(b"\xff\xfe" * 500), "want JSON"),
        (lambda e: e.give(b"[" * 100_000), "want JSON"),
        (lambda e: e.give(7), "JSON int"),
        (lambda e: e.give([7, 8, 9]), "wasn't asked for"),
        (lambda e: e.give([{"id": call["id"]} for call in e.calls()]), "neither result nor error"),
        (lambda e: e.give([{"id": call["id"], "error": "no"} for call in e.calls()]), "without code"),
        (lambda e: e.give({"id": None, "error": {"code": -32600, "message": "batch too large"}}), "batch too large"),
        (lambda e: e.give({"hello": "world"}), "without an error"),
        (lambda e: e.give({"message": "no"}, status=500), "HTTP 500"),
        (lambda e: e.give(b"slow down", status=429), "HTTP 429: 'slow down'"),
        (lambda e: e.give(b"", status=302), "HTTP 302"),
    ],
)
def test_rubbish_is_unavailable(answer: Answer, told: str) -> None:
    with serving(answer) as (rpc, _), pytest.raises(ChainUnavailable) as caught:
        rpc.batch(CALLS)
    assert told in str(caught.value)
    assert "secret-path" not in str(caught.value)


def test_a_single_call_refused_without_its_id() -> None:
    refusal = {"id": None, "error": {"code": -32700, "message": "parse error"}}
    with serving(lambda e: e.give(refusal)) as (rpc, _), pytest.raises(ChainUnavailable, match="parse error"):
        rpc.batch(CALLS[:1])


def test_silence_is_bounded() -> None:
    with (
        serving(lambda e: void(e.server.ended.wait(30)), timeout_seconds=0.1) as (rpc, _),
        pytest.raises(ChainUnavailable, match=r"took more than 0\.1 seconds"),
    ):
        rpc.batch(CALLS)


def test_dripping_is_bounded() -> None:
    """Each byte comes before the socket's timeout, and yet the whole ends."""

    def drip(exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Content-Length", "1000000")
        exchange.end_headers()
        while not exchange.server.ended.wait(0.02):
            exchange.wfile.write(b" ")
            exchange.wfile.flush()

    with (
        serving(drip, timeout_seconds=0.2) as (rpc, _),
        pytest.raises(ChainUnavailable, match=r"took more than 0\.2 seconds"),
    ):
        rpc.batch(CALLS)


def test_a_cut_answer_is_unavailable() -> None:
    def cut(exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Content-Length", "1000")
        exchange.end_headers()
        exchange.wfile.write(b'[{"jsonrpc"')
        exchange.close_connection = True

    with serving(cut) as (rpc, _), pytest.raises(ChainUnavailable):
        rpc.batch(CALLS)


def test_a_huge_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "ANSWER_BYTES_MAX", 1000)
    with (
        serving(lambda e: e.give(["x" * 2000])) as (rpc, _),
        pytest.raises(ChainUnavailable, match="more than 1000 bytes"),
    ):
        rpc.batch(CALLS)


def test_nobody_listens() -> None:
    rpc = HttpRpc(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ChainUnavailable, match="can't be reached"):
        Chain(rpc).chain_id()
    rpc.close()


def test_a_server_that_comes_back_is_reached_again() -> None:
    state = {"up": False}
    with serving(lambda e: echo(e) if state["up"] else e.give(b"", status=503)) as (rpc, _):
        with pytest.raises(ChainUnavailable):
            rpc.batch(CALLS)
        state["up"] = True
        assert rpc.batch(CALLS) == ["a", "b", "c"]


def test_closed() -> None:
    with serving(echo) as (rpc, _):
        rpc.batch(CALLS)
        rpc.close()
        rpc.close()
        with pytest.raises(ChainUnavailable, match="closed"):
            rpc.batch(CALLS)


def test_threads_may_share_it() -> None:
    with serving(echo) as (rpc, _):
        wrong: list[Any] = []

        def ask(name: str) -> None:
            for _ in range(20):
                answers = rpc.batch([(name, []), (name * 2, [])])
                if answers != [name, name * 2]:
                    wrong.append(answers)

        threads = [threading.Thread(target=ask, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


@pytest.mark.parametrize("url", ["", "localhost:8545", "ftp://host/", "ws://host", "http://", "file:///etc/passwd"])
def test_only_http(url: str) -> None:
    with pytest.raises(ValueError, match="want http"):
        HttpRpc(url)


def test_timeout_must_be_positive() -> None:
    with pytest.raises(ValueError, match="want > 0"):
        HttpRpc("http://127.0.0.1:1", 0)


def void(_: object) -> None:
    """Nothing, of something."""
