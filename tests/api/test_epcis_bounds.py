"""What the capture interface does when there is too much, it takes too long, or something inside fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from node.api import epcis_capture
from node.api.dispatch import Door
from node.api.epcis_capture import PATH, CaptureApi
from node.clock import now_micros
from node.domain.roles import Role
from node.errors import IndexUnavailable, Reason, SignerUnavailable, Status, VTraceError
from node.flow.rates import Rates
from tests.http.servers import http_server
from tests.support.epcis import document, event

BASE = "urn:vtrace:31337:0x00000000000000000000000000000000000000aa"
DOCUMENT = document(event(f"{BASE}:obj:1"))


class Slow:
    """Captures that come to an end when they are told to, with a fault."""

    def __init__(self, fault: Exception) -> None:
        self.fault = fault
        self.free = threading.Event()
        self.begun = threading.Semaphore(0)

    def capture(self, *_: Any) -> Any:
        self.begun.release()
        assert self.free.wait(30)
        raise self.fault


@contextmanager
def _served(slow: Slow) -> Iterator[str]:
    boss = SimpleNamespace(user=SimpleNamespace(role=Role.BOSS, username="u"))
    boss.user.id = 1
    door = Door(SimpleNamespace(session=lambda *_: boss), Rates(now_micros))  # type: ignore[arg-type]
    witness = SimpleNamespace(refused=lambda *_: None, captured=lambda *_: None)
    captures: Any = slow
    api: Any = CaptureApi(captures, door, BASE, witness)  # type: ignore[arg-type]
    with http_server(api) as port:
        try:
            yield f"http://127.0.0.1:{port}{PATH}"
        finally:
            slow.free.set()


def _post(url: str) -> httpx.Response:
    return httpx.post(url, json=DOCUMENT, timeout=30)


def test_more_than_may_be_under_way_is_refused_for_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epcis_capture, "REQUESTS_MAX", 1)
    slow = Slow(VTraceError(Reason.SERVICE_OFFLINE, "later", status=Status.UNAVAILABLE, retry_seconds=9))
    with _served(slow) as url:
        answers: list[httpx.Response] = []
        caller = threading.Thread(target=lambda: answers.append(_post(url)))
        caller.start()
        assert slow.begun.acquire(timeout=30)
        refused = _post(url)
        slow.free.set()
        caller.join(30)
    for answer, status, retry in ((refused, 429, "1"), (answers[0], 503, "9")):
        assert (answer.status_code, answer.headers["retry-after"]) == (status, retry)
        assert answer.json()["type"] == "epcisException:ImplementationException"
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_capture_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epcis_capture, "ANSWER_SECONDS_MAX", 0.2)
    with _served(Slow(RuntimeError())) as url:
        answer = _post(url)
    assert (answer.status_code, answer.json()["status"]) == (504, 504)
    assert "send the same again" in answer.json()["detail"]


FAULTS = [(IndexUnavailable("locked"), 503), (SignerUnavailable("gone"), 503), (RuntimeError("secret"), 500)]


@pytest.mark.parametrize(("fault", "status"), FAULTS, ids=range(len(FAULTS)))
def test_what_fails_inside_is_a_problem_without_the_inside(fault: Exception, status: int) -> None:
    slow = Slow(fault)
    slow.free.set()
    with _served(slow) as url:
        answer = _post(url)
    assert (answer.status_code, answer.json()["type"]) == (status, "epcisException:ImplementationException")
    assert str(fault) not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)
