"""WebSocketRpc against a server that misbehaves in one way at a time."""

from __future__ import annotations

import base64
import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve
from websockets.utils import accept_key

from node.chain import link, transport, websocket
from node.chain.rpc import Chain, ChainUnavailable, RpcError
from node.chain.websocket import WebSocketRpc
from tests.support.node import eventually

from .servers import free_port

HOUR = 3600.0
LONG = 30.0
"""A timeout that is reached only where the test fails anyhow."""
SUBSCRIPTION = "0xcd0c3e8af590364c09d0fa6a1210faf5"
CALLS: list[tuple[str, list[Any]]] = [("a", []), ("b", [1]), ("c", [{"x": None}])]
MEGABYTES: list[tuple[str, list[Any]]] = [("a", ["x" * 20_000_000])]
"""More than the buffers of a connection hold."""


class Exchange:
    """One request, which the test's function answers as it likes."""

    def __init__(self, server: Server, connection: ServerConnection, body: Any) -> None:
        self.server = server
        self.connection = connection
        self.body = body

    def calls(self) -> list[dict[str, Any]]:
        return self.body if isinstance(self.body, list) else [self.body]

    def give(self, value: Any) -> None:
        self.connection.send(value if isinstance(value, bytes) else json.dumps(value), text=True)

    def announce(self, number: int = 1) -> None:
        news = {"subscription": SUBSCRIPTION, "result": {"number": hex(number)}}
        self.give({"jsonrpc": "2.0", "method": "eth_subscription", "params": news})


Answer = Callable[[Exchange], None]


def result(call: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call["id"], "result": call["method"]}


def echo(exchange: Exchange) -> None:
    """The right answer: each call's result is its method."""
    answers = [result(call) for call in exchange.calls()]
    exchange.give(answers if isinstance(exchange.body, list) else answers[0])


def silence(_: Exchange) -> None:
    """No answer."""


def subscribed(exchange: Exchange) -> None:
    exchange.give({"jsonrpc": "2.0", "id": exchange.body["id"], "result": SUBSCRIPTION})


class Server:
    """What the tests see of a WebSocket server: each connection with its requests, subscriptions apart."""

    def __init__(self, answer: Answer, subscribe: Answer) -> None:
        self.answer = answer
        self.subscribe = subscribe
        self.connections: list[ServerConnection] = []
        self.bodies: list[Any] = []
        self.subscriptions: list[Any] = []
        self.url = ""

    def handle(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        with suppress(ConnectionClosed, OSError):  # a client that gives up is what some tests are about
            for raw in connection:
                body = json.loads(raw)
                is_subscription = isinstance(body, dict) and body["method"] == "eth_subscribe"
                (self.subscriptions if is_subscription else self.bodies).append(body)
                (self.subscribe if is_subscription else self.answer)(Exchange(self, connection, body))


@contextmanager
def server_of(answer: Answer, subscribe: Answer = subscribed, **options: Any) -> Iterator[Server]:
    served = Server(answer, subscribe)
    with serve(served.handle, "127.0.0.1", options.pop("port", 0), compression=None, max_size=None, **options) as inner:
        host, port = inner.socket.getsockname()
        served.url = f"ws://{host}:{port}/secret-path"
        thread = threading.Thread(target=inner.serve_forever)
        thread.start()
        try:
            yield served
        finally:
            inner.shutdown()
            thread.join()


@contextmanager
def serving(
    answer: Answer, timeout_seconds: float = 10, *, subscribe: Answer = subscribed
) -> Iterator[tuple[WebSocketRpc, Server]]:
    with server_of(answer, subscribe) as server, closing(WebSocketRpc(server.url, timeout_seconds)) as rpc:
        yield rpc, server


@contextmanager
def raw_server(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """A TCP server that gives its first connection to ``behave`` and closes it afterwards."""

    def run() -> None:
        with suppress(OSError):  # nobody came, or the client gave up
            connection, _ = listener.accept()
            with connection:
                behave(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}/secret-path"
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def shake_hands(connection: socket.socket) -> None:
    """The opening handshake of a WebSocket, by hand."""
    asked = b""
    while b"\r\n\r\n" not in asked:
        if not (read := connection.recv(4096)):
            raise ConnectionAbortedError
        asked += read
    key = next(line for line in asked.decode().split("\r\n") if line.lower().startswith("sec-websocket-key:"))
    accepted = accept_key(key.partition(":")[2].strip())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accepted.encode() + b"\r\n\r\n"
    )


def until_closed(connection: socket.socket) -> None:
    """Read and forget."""
    while connection.recv(65536):
        pass


def link_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("chain-link")]


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    yield
    eventually(lambda: not link_threads())


# --- answers


def test_batch_and_single_call() -> None:
    with serving(echo) as (rpc, server):
        assert rpc.batch(CALLS) == ["a", "b", "c"]
        assert rpc.batch(CALLS[:1]) == ["a"]
        assert rpc.batch([]) == []
        batch, single = server.bodies
        assert [call["params"] for call in batch] == [[], [1], [{"x": None}]]
        assert isinstance(single, dict), "some endpoints refuse batches, so one call goes alone"
        (subscription,) = server.subscriptions
        numbers = [call["id"] for call in [subscription, *batch, single]]
        assert len(set(numbers)) == 5
        assert len(server.connections) == 1


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


def test_long_batches_are_cut() -> None:
    with serving(echo) as (rpc, server):
        assert rpc.batch([(f"m{number}", []) for number in range(250)]) == [f"m{n}" for n in range(250)]
        assert [len(body) for body in server.bodies] == [100, 100, 50]


def test_binary_messages_and_fragments_are_answers_too() -> None:
    def answer(exchange: Exchange) -> None:
        raw = json.dumps([result(call) for call in exchange.calls()]).encode()
        exchange.connection.send([raw[:5], raw[5:9], raw[9:]])

    with serving(answer) as (rpc, _):
        assert rpc.batch(CALLS) == ["a", "b", "c"]


def test_threads_share_one_connection_and_answers_may_cross() -> None:
    together, held = 4, []
    lock = threading.Lock()

    def answer(exchange: Exchange) -> None:
        """Answer once all have asked, the last first."""
        with lock:
            held.append(exchange)
            if len(held) == together:
                for each in reversed(held):
                    echo(each)
                held.clear()

    with serving(answer) as (rpc, server):
        wrong: list[Any] = []

        def ask(name: str) -> None:
            for _ in range(20):
                answers = rpc.batch([(name, []), (name * 2, [])])
                if answers != [name, name * 2]:
                    wrong.append(answers)

        in_threads([lambda name=name: ask(name) for name in "abcd"])
        assert wrong == []
        assert len(server.connections) == 1


def in_threads(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# --- rubbish


def without_last(exchange: Exchange) -> None:
    exchange.give([result(call) for call in exchange.calls()[:-1]])


def doubled(exchange: Exchange) -> None:
    first, second, _ = exchange.calls()
    exchange.give([result(first), result(second), result(second)])


def foreign_id(exchange: Exchange) -> None:
    exchange.give([result({**call, "id": call["id"] + 1}) for call in exchange.calls()])


def unknown_id(exchange: Exchange) -> None:
    exchange.give([result({**call, "id": call["id"] + 1000}) for call in exchange.calls()])


def id_of_another_type(exchange: Exchange) -> None:
    exchange.give([result({**call, "id": str(call["id"])}) for call in exchange.calls()])


def half_a_frame(exchange: Exchange) -> None:
    """A frame of 4096 bytes that ends after 12."""
    exchange.connection.socket.sendall(b'\x81\x7e\x10\x00[{"jsonrpc":')
    exchange.connection.socket.shutdown(socket.SHUT_RDWR)


REFUSAL = {"id": None, "error": {"code": -32600, "message": "batch too large"}}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (without_last, "answered 2 of 3 calls"),
        (doubled, "wasn't asked for, or twice"),
        (foreign_id, "wasn't asked for, or twice"),
        (unknown_id, "wasn't asked for, or twice"),
        (id_of_another_type, "wasn't asked for, or twice"),
        (lambda e: e.give(b"<html><body>Bad gateway</body></html>"), "<html>"),
        (lambda e: e.give(b""), "want JSON"),
        (lambda e: e.give(b"\xff\xfe" * 500), "want JSON"),
        (lambda e: e.give(b"[" * 100_000), "want JSON"),
        (lambda e: e.give(7), "JSON int"),
        (lambda e: e.give([]), "wasn't asked for"),
        (lambda e: e.give([7, 8, 9]), "wasn't asked for"),
        (lambda e: e.give([{"id": call["id"]} for call in e.calls()]), "neither result nor error"),
        (lambda e: e.give([{"id": call["id"], "error": "no"} for call in e.calls()]), "without code"),
        (lambda e: e.give(REFUSAL), "batch too large"),
        (lambda e: e.give({**REFUSAL, "id": e.calls()[0]["id"]}), "batch too large"),
        (lambda e: e.give({"hello": "world"}), "without an error"),
        (lambda e: e.connection.close(1013, "slow down"), "closed the connection (1013 'slow down')"),
        (lambda e: e.connection.socket.shutdown(socket.SHUT_RDWR), "lost the connection"),
        (half_a_frame, "lost the connection"),
        (lambda e: e.connection.socket.sendall(b"\xff" * 100), "lost the connection"),
    ],
)
def test_rubbish_is_unavailable_and_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch, answer: Answer, told: str
) -> None:
    monkeypatch.setattr(websocket, "BACKOFF_SECONDS_FIRST", 0.0)
    with serving(answer) as (rpc, server):
        with pytest.raises(ChainUnavailable) as caught:
            rpc.batch(CALLS)
        assert told in str(caught.value)
        assert "secret-path" not in str(caught.value)
        server.answer = echo
        assert rpc.batch(CALLS) == ["a", "b", "c"]
        assert len(server.connections) == 2


def test_a_huge_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "ANSWER_BYTES_MAX", 1000)
    with (
        serving(lambda e: e.give(["x" * 2000])) as (rpc, _),
        pytest.raises(ChainUnavailable, match="more than 1000 bytes"),
    ):
        rpc.batch(CALLS)


def test_many_fragments_that_are_huge_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "ANSWER_BYTES_MAX", 1000)
    with (
        serving(lambda e: e.connection.send(["x" * 90] * 50)) as (rpc, _),
        pytest.raises(ChainUnavailable, match="more than 1000 bytes"),
    ):
        rpc.batch(CALLS)


# --- waits


def test_silence_is_bounded() -> None:
    with (
        serving(silence, timeout_seconds=0.1) as (rpc, _),
        pytest.raises(ChainUnavailable, match=r"took more than 0\.1 seconds"),
    ):
        rpc.batch(CALLS)


def test_a_lost_connection_ends_everybodys_wait() -> None:
    together = 4

    def answer(exchange: Exchange) -> None:
        if len(exchange.server.bodies) == together:
            exchange.connection.socket.shutdown(socket.SHUT_RDWR)

    told: list[str] = []

    def ask() -> None:
        with pytest.raises(ChainUnavailable) as caught:
            rpc.batch(CALLS)
        told.append(str(caught.value))

    with serving(answer, LONG) as (rpc, server):
        in_threads([ask] * together)
        name = server.url.removesuffix("/secret-path")
        assert told == [f"chain endpoint {name} lost the connection"] * together


def drip(connection: socket.socket) -> None:
    """A frame of a gibibyte, a byte at a time."""
    shake_hands(connection)
    connection.sendall(b"\x81\x7f" + (1 << 20).to_bytes(8, "big"))
    connection.settimeout(0.02)
    while True:
        connection.sendall(b" ")
        with suppress(TimeoutError):
            if not connection.recv(65536):
                return


def deaf(connection: socket.socket) -> None:
    """Never reads a byte behind the handshake; ends once the test is over."""
    shake_hands(connection)
    shaken.set()
    over.wait(30)


def ping_without_reading(connection: socket.socket) -> None:
    """Makes the client answer pings into a pipe that nobody empties."""
    shake_hands(connection)
    while True:
        connection.sendall((b"\x89\x7d" + b"p" * 125) * 500)


shaken, over = threading.Event(), threading.Event()


@pytest.fixture(autouse=True)
def _fresh_events() -> Iterator[None]:
    shaken.clear()
    over.clear()
    yield
    over.set()


@pytest.mark.parametrize("behave", [drip, deaf, ping_without_reading, until_closed])
def test_any_wait_is_bounded(behave: Callable[[socket.socket], None]) -> None:
    """Whatever the endpoint doesn't do: finish an answer, read, take a pong, or open the WebSocket."""
    with raw_server(behave) as url, closing(WebSocketRpc(url, timeout_seconds=0.5)) as rpc:
        try:
            with pytest.raises(ChainUnavailable, match=r"took more than 0\.5 seconds"):
                rpc.batch(MEGABYTES)
            eventually(lambda: not link_threads())
        finally:
            over.set()


def test_closing_is_bounded_where_nobody_reads() -> None:
    with raw_server(deaf) as url:
        rpc = WebSocketRpc(url, LONG)
        told: list[str] = []

        def ask() -> None:
            with pytest.raises(ChainUnavailable) as caught:
                rpc.batch(MEGABYTES)
            told.append(str(caught.value))

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            assert shaken.wait(30)
            rpc.close()
            thread.join()
            eventually(lambda: not link_threads())
        finally:
            over.set()
        assert "was closed by this node" in told[0]


def test_closed() -> None:
    with serving(echo) as (rpc, server):
        rpc.batch(CALLS)
        rpc.close()
        rpc.close()
        with pytest.raises(ChainUnavailable, match="closed by this node"):
            rpc.batch(CALLS)
        (connection,) = server.connections
        eventually(lambda: connection.close_code)
        assert connection.close_code == 1000, "the endpoint is told"


def test_closing_ends_a_wait() -> None:
    asked = threading.Event()
    told: list[str] = []

    def ask() -> None:
        with pytest.raises(ChainUnavailable) as caught:
            rpc.batch(CALLS)
        told.append(str(caught.value))

    with serving(lambda _: asked.set(), LONG) as (rpc, _):
        thread = threading.Thread(target=ask)
        thread.start()
        assert asked.wait(30)
        rpc.close()
        thread.join()
    assert "closed by this node" in told[0]


def test_closed_before_any_use() -> None:
    rpc = WebSocketRpc("ws://127.0.0.1:1")
    rpc.close()
    with pytest.raises(ChainUnavailable, match="closed by this node"):
        rpc.batch(CALLS)


# --- opening


def test_nobody_listens() -> None:
    rpc = WebSocketRpc(f"ws://127.0.0.1:{free_port()}")
    with pytest.raises(ChainUnavailable, match=r"can't be reached \(Connection refused\)"):
        Chain(rpc).chain_id()
    rpc.close()


@pytest.mark.parametrize(
    ("status", "headers", "told"),
    [
        (403, {}, "answered HTTP 403: 'go away'"),
        (429, {"Retry-After": "1"}, "answered HTTP 429"),
        (302, {"Location": "ws://127.0.0.1:1/elsewhere"}, "answered HTTP 302"),
    ],
)
def test_a_refused_opening(status: int, headers: dict[str, str], told: str) -> None:
    def refuse(_: ServerConnection, __: Request) -> Response:
        return Response(status, "No", Headers({"Content-Length": "7", **headers}), b"go away")

    with server_of(echo, process_request=refuse) as server, closing(WebSocketRpc(server.url)) as rpc:
        with pytest.raises(ChainUnavailable) as caught:
            rpc.batch(CALLS)
        assert told in str(caught.value)
        assert "secret-path" not in str(caught.value)
        assert "elsewhere" not in str(caught.value)


def test_what_speaks_no_websocket() -> None:
    def speak(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

    with (
        raw_server(speak) as url,
        closing(WebSocketRpc(url)) as rpc,
        pytest.raises(ChainUnavailable, match="doesn't open a WebSocket"),
    ):
        rpc.batch(CALLS)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a fresh certificate of localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    path.write_bytes(private + made.public_bytes(Encoding.PEM))
    return path


@pytest.mark.parametrize("is_trusted", [True, False])
def test_over_tls(monkeypatch: pytest.MonkeyPatch, certificate: Path, is_trusted: bool) -> None:
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(certificate)
    with server_of(echo, ssl=own) as server:
        url = server.url.replace("ws://127.0.0.1", "wss://localhost")
        with closing(WebSocketRpc(url)) as rpc:
            if is_trusted:
                assert rpc.batch(CALLS) == ["a", "b", "c"]
            else:
                with pytest.raises(ChainUnavailable, match=r"can't be reached \(.*CERTIFICATE_VERIFY_FAILED"):
                    rpc.batch(CALLS)


def test_silence_over_tls_is_bounded(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(certificate)

    def deaf_over_tls(connection: socket.socket) -> None:
        with own.wrap_socket(connection, server_side=True) as wrapped:
            deaf(wrapped)

    with raw_server(deaf_over_tls) as url:
        rpc = WebSocketRpc(url.replace("ws://127.0.0.1", "wss://localhost"), timeout_seconds=0.5)
        try:
            with pytest.raises(ChainUnavailable, match=r"took more than 0\.5 seconds"):
                rpc.batch(MEGABYTES)
            eventually(lambda: not link_threads())
        finally:
            over.set()
            rpc.close()


def test_credentials_are_sent_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    def refuse(_: ServerConnection, request: Request) -> Response:
        seen.append(request.headers["Authorization"])
        return Response(401, "No", Headers({"Content-Length": "0"}), b"")

    caplog.set_level(logging.DEBUG)
    servers_own = logging.getLogger(f"{__name__}.server")
    servers_own.propagate = False
    with server_of(echo, process_request=refuse, logger=servers_own) as server:
        url = server.url.replace("ws://", "ws://someone:p%40ss@")
        with closing(WebSocketRpc(url)) as rpc, pytest.raises(ChainUnavailable) as caught:
            rpc.batch(CALLS)
    assert seen == ["Basic " + base64.b64encode(b"someone:p@ss").decode()]
    everything = caplog.text + str(caught.value)
    assert not [secret for secret in ("someone", "p@ss", "p%40ss", "secret-path") if secret in everything]


@pytest.mark.parametrize(
    "url", ["", "localhost:8545", "http://host", "ws://", "ws://host:0", "wss://secret@host", "ws://host/#secret"]
)
def test_only_websockets(url: str) -> None:
    with pytest.raises(ValueError, match="want ws://") as caught:
        WebSocketRpc(url)
    assert "secret" not in str(caught.value)


def test_timeout_must_be_positive() -> None:
    with pytest.raises(ValueError, match="want > 0"):
        WebSocketRpc("ws://127.0.0.1:1", 0)


# --- opening again


def test_a_connection_that_was_of_use_is_opened_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    no_second_try_without_use(monkeypatch)
    with serving(echo) as (rpc, server):
        for times in range(1, 4):
            assert rpc.batch(CALLS) == ["a", "b", "c"]
            assert len(server.connections) == times
            server.connections[-1].close()
            eventually(lambda: rpc._link is not None and rpc._link.fault is not None)


def no_second_try_without_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "BACKOFF_SECONDS_FIRST", HOUR)
    monkeypatch.setattr(websocket, "BACKOFF_SECONDS_MAX", HOUR)


def test_an_endpoint_that_is_away_is_not_bothered_before_the_pause_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with closing(WebSocketRpc(f"ws://127.0.0.1:{port}")) as rpc:
        no_second_try_without_use(monkeypatch)
        with pytest.raises(ChainUnavailable) as first:
            rpc.batch(CALLS)
        with server_of(echo, port=port) as server:
            with pytest.raises(ChainUnavailable) as second:
                rpc.batch(CALLS)
            assert str(second.value) == str(first.value)
            assert server.connections == []
            monkeypatch.setattr(websocket, "BACKOFF_SECONDS_MAX", 0.0)
            assert rpc.batch(CALLS) == ["a", "b", "c"]


@given(st.integers(1, 10**9))
def test_pauses_grow_within_a_bound(fruitless: int) -> None:
    rpc = WebSocketRpc("ws://127.0.0.1:1")
    rpc._fruitless = fruitless
    pause = rpc._pause_seconds()
    rpc._fruitless += 1
    assert websocket.BACKOFF_SECONDS_FIRST <= pause <= rpc._pause_seconds() <= websocket.BACKOFF_SECONDS_MAX


# --- heads


def announcing(exchange: Exchange) -> None:
    subscribed(exchange)
    exchange.announce()


def test_heads_are_announced_on_every_connection() -> None:
    heard = threading.Semaphore(0)
    with serving(echo, subscribe=announcing) as (rpc, server):
        rpc.on_head = lambda: heard.release()
        for times in range(1, 4):
            assert rpc.batch(CALLS) == ["a", "b", "c"]
            assert heard.acquire(timeout=30)
            assert len(server.subscriptions) == times
            server.connections[-1].close()
            eventually(lambda: rpc._link is not None and rpc._link.fault is not None)
    assert [body["params"] for body in server.subscriptions] == [["newHeads"]] * 3


def test_heads_are_heard_between_questions_and_on_head_may_come_later() -> None:
    heard = threading.Event()
    with serving(echo) as (rpc, server):
        rpc.batch(CALLS)
        (connection,) = server.connections
        Exchange(server, connection, None).announce()
        rpc.batch(CALLS)
        rpc.on_head = heard.set
        eventually(lambda: Exchange(server, connection, None).announce() or heard.is_set())


def test_a_flood_of_heads_does_not_keep_the_node_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "HEAD_SECONDS_MIN", HOUR)
    heard: list[None] = []

    def flood(exchange: Exchange) -> None:
        for number in range(1000):
            exchange.announce(number)
        echo(exchange)

    with serving(flood) as (rpc, _):
        rpc.on_head = lambda: heard.append(None)
        assert rpc.batch(CALLS) == ["a", "b", "c"]
        assert len(heard) == 1


def test_other_news_is_passed_over() -> None:
    heard: list[None] = []

    def chat(exchange: Exchange) -> None:
        exchange.give({"jsonrpc": "2.0", "method": "hello", "params": []})
        exchange.give({"jsonrpc": "2.0", "id": None, "method": "hello"})
        echo(exchange)

    with serving(chat) as (rpc, _):
        rpc.on_head = lambda: heard.append(None)
        assert rpc.batch(CALLS) == ["a", "b", "c"]
        assert heard == []


def test_an_endpoint_without_heads_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(exchange: Exchange) -> None:
        error = {"code": -32601, "message": "no subscriptions here"}
        exchange.give({"jsonrpc": "2.0", "id": exchange.body["id"], "error": error})

    with serving(echo, subscribe=refuse) as (rpc, server):
        for _ in range(2):
            assert rpc.batch(CALLS) == ["a", "b", "c"]
            server.connections[-1].close()
            eventually(lambda: rpc._link is not None and rpc._link.fault is not None)
        assert len(server.subscriptions) == 2
    (record,) = [record for record in caplog.records if "announces no heads" in record.message]
    assert "no subscriptions here (-32601)" in record.message
    assert "secret-path" not in record.message


def test_an_endpoint_that_never_answers_the_subscription_is_used_all_the_same() -> None:
    with serving(echo, subscribe=silence) as (rpc, server):
        assert rpc.batch(CALLS) == ["a", "b", "c"]
        assert rpc.batch(CALLS) == ["a", "b", "c"]
        assert len(server.connections) == 1
