"""What HTTP does when there is too much, or it takes too long."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from node.api import http as http_api
from node.api import http_request
from node.api.http import HttpApi
from node.errors import Reason, Status, VTraceError
from tests.http import servers
from tests.http.servers import Echo


class Waits(Echo):
    """An rpc that answers when it is told to."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.free = threading.Event()
        self.begun = threading.Semaphore(0)

    def work(self, given: Any) -> Any:
        self.begun.release()
        assert self.free.wait(30)
        return super().work(given)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return servers.odd_service(Path(tmp_path_factory.mktemp("bounds")) / "odd.pb")


@pytest.fixture
def slow(service: Any) -> Iterator[Waits]:
    rpc = Waits(service.methods_by_name["Whole"])
    yield rpc
    rpc.free.set()


def _post(port: int) -> httpx.Response:
    return httpx.post(f"http://127.0.0.1:{port}/v1/whole", json={}, timeout=30)


def test_more_than_may_be_under_way_is_refused_for_now(slow: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_api, "REQUESTS_MAX", 2)
    with servers.http_server(HttpApi([slow], b"{}")) as port:  # type: ignore[list-item]
        answers: list[httpx.Response] = []
        callers = [threading.Thread(target=lambda: answers.append(_post(port))) for _ in range(2)]
        for caller in callers:
            caller.start()
        for _ in callers:
            assert slow.begun.acquire(timeout=30)
        refused = _post(port)
        assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (429, 8, "1")
        slow.free.set()
        for caller in callers:
            caller.join(30)
        assert [answer.status_code for answer in answers] == [200, 200]
        assert _post(port).status_code == 200


def test_an_answer_that_takes_too_long_is_given_up(slow: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_api, "ANSWER_SECONDS_MAX", 0.2)
    monkeypatch.setattr(http_api, "THREADS", 1)
    with servers.http_server(HttpApi([slow], b"{}")) as port:  # type: ignore[list-item]
        assert (_post(port).status_code, _post(port).json()["code"]) == (504, 4)
        slow.free.set()
        # What waited for a thread and was given up never began.
        assert slow.begun.acquire(timeout=30)
        assert not slow.begun.acquire(blocking=False)


def test_a_body_that_does_not_come_is_given_up(slow: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_request, "BODY_SECONDS_MAX", 0.2)
    with (
        servers.http_server(HttpApi([slow], b"{}")) as port,  # type: ignore[list-item]
        socket.create_connection(("127.0.0.1", port), 30) as connection,
    ):
        connection.sendall(b"POST /v1/whole HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert (answer.status, answer.headers["connection"]) == (408, "close")


@pytest.mark.parametrize(
    ("fault", "status", "retry"),
    [
        (VTraceError(Reason.SERVICE_OFFLINE, "wait", status=Status.RESOURCE_EXHAUSTED, retry_seconds=7), 429, "7"),
        (VTraceError(Reason.SERVICE_OFFLINE, "wait", status=Status.UNAVAILABLE, retry_seconds=5), 503, "5"),
        (VTraceError(Reason.SERVICE_OFFLINE, "none"), 501, None),
        (VTraceError(Reason.NOT_OWNER, "no"), 400, None),
    ],
)
def test_retry_advice_is_a_header_too(service: Any, fault: VTraceError, status: int, retry: str | None) -> None:
    class Refuses(Echo):
        def work(self, _: Any) -> Any:
            raise fault

    with servers.http_server(HttpApi([Refuses(service.methods_by_name["Whole"])], b"{}")) as port:  # type: ignore[list-item]
        answer = _post(port)
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, retry)
    kinds = [one["@type"].rpartition(".")[2] for one in answer.json()["details"]]
    assert kinds == ["ErrorInfo", *(["RetryInfo"] if retry else []), "RequestInfo"]


def test_headers_are_the_metadata_of_the_call(service: Any) -> None:
    seen: list[Any] = []

    class Sees(Echo):
        def answer(self, asked: Any) -> Any:
            seen.extend(asked.metadata)
            return super().answer(asked)

    with servers.http_server(HttpApi([Sees(service.methods_by_name["Whole"])], b"{}")) as port:  # type: ignore[list-item]
        url = f"http://127.0.0.1:{port}/v1/whole"
        assert httpx.post(url, json={}, headers={"Some-Bin": "-_8", "Some-Text": "-_8"}).status_code == 200
        assert httpx.post(url, json={}, headers={"Some-Bin": "*"}).status_code == 400
    assert ("some-bin", b"\xfb\xff") in seen
    assert ("some-text", "-_8") in seen
