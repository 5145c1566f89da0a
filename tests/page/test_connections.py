"""The HTTP server's connections: how many, whose, and how long they may say nothing."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from node.clock import now_micros
from node.flow.rates import Rates
from node.page import connections, gate, protocol
from node.page.connections import Connections
from node.page.protocol import GuardedProtocol
from node.page.site import Site
from tests.support.node import eventually

SECONDS_MAX = 30
LARGE = 64 * 1024 * 1024


async def answer(scope: Any, _: Any, send: Any) -> None:
    body = bytes(LARGE) if scope["path"].endswith("large") else b"well"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def serve() -> Iterator[Callable[[], Site]]:
    """Starts a site whose /api answers anybody, once the test has set what it wants to see."""
    with contextlib.ExitStack() as stack:

        def start() -> Site:
            async def unused(*_: Any) -> None: ...

            nothing: Any = SimpleNamespace(answer=unused, describe=unused, assets=SimpleNamespace(answer=unused))
            rest = (nothing, nothing, nothing, nothing, answer, nothing, answer, Rates(now_micros))
            site = Site("127.0.0.1:0", None, *rest)
            site.start()
            stack.callback(site.stop)
            return site

        yield start


def connect(site: Site) -> socket.socket:
    return socket.create_connection(("127.0.0.1", site.port), SECONDS_MAX)


def ask(site: Site) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{site.port}/api/x", timeout=SECONDS_MAX)


def test_a_head_that_does_not_come_whole_is_not_waited_for(
    serve: Callable[[], Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GuardedProtocol, "head_seconds", 0.2)
    site = serve()
    for said in (b"", b"GET /api/x HTTP/1.1\r\nHost: x\r\nX-Slow: "):
        with connect(site) as slow:
            slow.sendall(said)
            with contextlib.suppress(ConnectionResetError):
                assert slow.recv(100) == b""
    assert ask(site).text == "well"


def test_nor_the_next_head_of_a_connection(serve: Callable[[], Site], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GuardedProtocol, "head_seconds", 0.5)
    with connect(serve()) as slow:
        slow.sendall(b"GET /api/x HTTP/1.1\r\nHost: x\r\n\r\n")
        said = b""
        while not said.endswith(b"well"):
            said += slow.recv(4_096)
        slow.sendall(b"GET /api/x HT")
        with contextlib.suppress(ConnectionResetError):
            assert slow.recv(100) == b""


def test_a_head_that_is_too_large_is_refused(serve: Callable[[], Site]) -> None:
    site = serve()
    large = {f"x-{number}": "y" * 1_000 for number in range(gate.HEAD_BYTES_MAX // 1_000 + 1)}
    refused = httpx.get(f"http://127.0.0.1:{site.port}/api/x", headers=large, timeout=SECONDS_MAX)
    assert refused.status_code in (400, 431)
    with connect(site) as endless, contextlib.suppress(ConnectionResetError, BrokenPipeError):
        endless.sendall(b"GET /api/x HTTP/1.1\r\n" + b"X: " + b"y" * 10 * gate.HEAD_BYTES_MAX)
        assert endless.recv(100).startswith(b"HTTP/1.1 400")
    assert ask(site).text == "well"


def test_a_client_that_does_not_read_its_answer_is_let_go(
    serve: Callable[[], Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "READ_SECONDS_MAX", 0.3)
    site = serve()
    with connect(site) as slow:
        slow.sendall(b"GET /api/large HTTP/1.1\r\nHost: x\r\n\r\n")
        assert ask(site).text == "well"
        eventually(lambda: not len(site_connections(site)), SECONDS_MAX)


def test_a_client_that_reads_slowly_gets_all_of_it(serve: Callable[[], Site], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GuardedProtocol, "head_seconds", 0.05)
    site = serve()
    with connect(site) as slow:
        slow.sendall(b"GET /api/large HTTP/1.1\r\nHost: x\r\n\r\n")
        got = len(slow.recv(100))
        for _ in range(5):
            assert ask(site).text == "well"
        while got < LARGE and (piece := slow.recv(1 << 20)):
            got += len(piece)
        assert got >= LARGE


def site_connections(site: Site) -> Connections:
    return site._socket._connections


def test_who_says_nothing_goes_when_others_come(serve: Callable[[], Site], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 8)
    monkeypatch.setattr(GuardedProtocol, "head_seconds", 3_600)
    site = serve()
    with contextlib.ExitStack() as opened:
        silent = [opened.enter_context(connect(site)) for _ in range(50)]
        assert ask(site).text == "well"
        for gone in silent[:40]:
            assert gone.recv(1) == b""
        assert len(site_connections(site)) <= 8


class Ends:
    """Connections by their peers, and which were ended."""

    def __init__(self, by_address: bool = True) -> None:
        self.connections = Connections(by_address)
        self.ended: list[tuple[str, int]] = []

    def come(self, host: str, port: int) -> bool:
        return self.connections.admit((host, port), lambda: self.ended.append((host, port)))


def test_an_address_has_its_share_and_its_oldest_silent_one_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ADDRESS_CONNECTIONS_MAX", 3)
    ends = Ends()
    assert all(ends.come("203.0.113.5", port) for port in (1, 2, 3))
    ends.connections.works(("203.0.113.5", 1))
    assert ends.come("203.0.113.5", 4)
    assert ends.ended == [("203.0.113.5", 2)]
    assert ends.come("203.0.113.6", 1)
    for port in (3, 4):
        ends.connections.works(("203.0.113.5", port))
    assert not ends.come("203.0.113.5", 5), "all of its connections are at work"
    ends.connections.waits(("203.0.113.5", 1))
    assert ends.come("203.0.113.5", 6)
    assert ends.ended == [("203.0.113.5", 2), ("203.0.113.5", 1)]
    ends.connections.gone(("203.0.113.5", 3))
    assert ends.come("203.0.113.5", 7)


def test_who_has_asked_something_stays_longer_than_who_never_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 3)
    ends = Ends()
    ends.come("203.0.113.5", 1)
    ends.connections.works(("203.0.113.5", 1))
    ends.connections.waits(("203.0.113.5", 1))
    for port in range(2, 5):
        ends.come(f"203.0.113.{port}", port)
    assert ends.ended == [("203.0.113.2", 2)]


def test_an_ipv6_network_is_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ADDRESS_CONNECTIONS_MAX", 2)
    ends = Ends()
    for number in range(1, 4):
        ends.come(f"2001:db8::{number}", number)
    assert ends.ended == [("2001:db8::1", 1)]


@pytest.mark.parametrize(("host", "by_address"), [("127.0.0.1", True), ("203.0.113.5", False)])
def test_proxies_are_not_counted(monkeypatch: pytest.MonkeyPatch, host: str, by_address: bool) -> None:
    monkeypatch.setattr(connections, "ADDRESS_CONNECTIONS_MAX", 2)
    ends = Ends(by_address)
    assert all(ends.come(host, port) for port in range(1, 10))
    assert ends.ended == []


def test_what_is_closed_leaves_nothing_behind() -> None:
    ends = Ends()
    for port in range(100):
        ends.come(f"198.51.100.{port}", port)
        ends.connections.gone((f"198.51.100.{port}", port))
    left = ends.connections
    assert [len(each) for each in (left._open, left._open_of, left._new, left._kept)] == [0, 0, 0, 0]
