"""What one connection may do at the gRPC port, and for how long: said in HTTP/2's own frames, without a client."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from node.api import server
from node.api.guard import Guard
from node.api.server import CONNECTION_STREAMS_MAX, METADATA_BYTES_MAX, Server
from scripts.http2 import ACK, END_HEADERS, GOAWAY, HEADERS, PING, PREFACE, SETTINGS, call_fields, frame, literals

MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE = 3, 6
ENHANCE_YOUR_CALM = 11
SECONDS_MAX = 60
SOON_MS = 300
LONG = 3_600.0

Frame = tuple[int, bytes]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """A server of the health service alone; options that it sets are set to other values. Answers its port."""
    with contextlib.ExitStack() as stack:

        def start(**changed: int) -> int:
            named = {f"grpc.{name}": value for name, value in changed.items()}
            options = tuple((name, named.get(name, value)) for name, value in server._OPTIONS)
            monkeypatch.setattr(server, "_OPTIONS", options)
            monkeypatch.setattr(server, "Guard", lambda: Guard(LONG))
            started = Server("127.0.0.1:0", [])
            started.start()
            stack.callback(started.stop, 0)
            return started.port

        yield start


@contextlib.contextmanager
def connected(port: int, said: bytes) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), SECONDS_MAX) as made:
        made.sendall(said)
        yield made


def frames(over: socket.socket) -> Iterator[Frame]:
    """Kind and payload of each frame that comes, until the other side closes; TimeoutError if it does not."""
    with contextlib.suppress(ConnectionError), over.makefile("rb") as coming:
        while len(head := coming.read(9)) == 9:
            yield head[3], coming.read(int.from_bytes(head[:3], "big"))


def goodbye(over: socket.socket) -> tuple[int, bytes]:
    """Why the other side closes: code and text."""
    said = dict(frames(over))[GOAWAY]
    return struct.unpack(">II", said[:8])[1], said[8:]


GREETING = PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0)


def test_a_connection_that_says_nothing_is_closed(serve: Callable[..., int]) -> None:
    with connected(serve(server_handshake_timeout_ms=SOON_MS), b"") as over:
        assert b"handshake timeout" in goodbye(over)[1]


def test_a_connection_that_asks_nothing_is_closed(serve: Callable[..., int]) -> None:
    with connected(serve(max_connection_idle_ms=SOON_MS), GREETING) as over:
        assert goodbye(over)[1] == b"connection idle"


def test_a_connection_that_answers_no_ping_is_closed(serve: Callable[..., int]) -> None:
    open_call = frame(HEADERS, END_HEADERS, 1, literals(call_fields("/grpc.health.v1.Health/Check", "")))
    with connected(serve(keepalive_time_ms=SOON_MS, keepalive_timeout_ms=SOON_MS), GREETING + open_call) as over:
        assert PING in dict(frames(over))


def test_too_many_pings_end_a_connection(serve: Callable[..., int]) -> None:
    with connected(serve(), GREETING + 100 * frame(PING, 0, 0, bytes(8))) as over:
        assert goodbye(over) == (ENHANCE_YOUR_CALM, b"too_many_pings")


def test_connections_are_bounded(serve: Callable[..., int]) -> None:
    port = serve(max_allowed_incoming_connections=2)
    with contextlib.ExitStack() as opened:
        for _ in range(2):
            assert next(frames(opened.enter_context(connected(port, GREETING))))[0] == SETTINGS
        with contextlib.suppress(ConnectionError):
            assert not list(frames(opened.enter_context(connected(port, GREETING))))


def test_the_server_says_what_a_connection_may(serve: Callable[..., int]) -> None:
    with connected(serve(), GREETING) as over:
        kind, said = next(frames(over))
    assert kind == SETTINGS
    settings = dict(struct.iter_unpack(">HI", said))
    assert settings[MAX_CONCURRENT_STREAMS] == CONNECTION_STREAMS_MAX
    assert settings[MAX_HEADER_LIST_SIZE] == METADATA_BYTES_MAX
