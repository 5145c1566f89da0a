"""A short run of scripts/fuzz, and that it finds what it should."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts import http2
from scripts.fuzzing import alone, calls, frames, pages
from scripts.fuzzing.calls import Asking
from scripts.fuzzing.cast import Cast
from scripts.fuzzing.run import ENVIRONMENT, Outcome, run, tasks
from scripts.fuzzing.tally import Tally
from tests.support.node import RunningNode, eventually

REQUESTS = 2_000
CAST = Cast(
    grpc="",
    http="",
    tokens={"nobody": "", **dict.fromkeys(("deleted", "normal", "transporter", "producer"), "a.b.c")}
    | dict.fromkeys(("boss", "examiner", "admin"), "a.b.c"),
    expendable=(("u1", "d.e.f"),),
    usernames=("u2", "u3"),
    phones=("13800138000",),
    org_ids=(1,),
    class_ids=(1,),
    serial_ids=(1,),
    goods_ids=(1, 2, 3),
    cid="bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
    contract="0x" + "11" * 20,
)


def test_a_short_run_finds_nothing(tmp_path: Path) -> None:
    node = RunningNode(tmp_path / "data", environment=ENVIRONMENT)
    try:
        outcome = run(node, 11, tasks(REQUESTS), jobs=2)
    finally:
        assert node.stop() == 0
    told = (outcome.line(11), outcome.tally.faults, outcome.tally.changes, outcome.tracebacks)
    assert outcome.fine, told
    assert outcome.tally.count() == REQUESTS
    answered = {status for _, status in outcome.tally.statuses}
    assert {"OK", "INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED", "200", "400", "404"} <= answered


def _told(asked: Iterator[Asking]) -> list[str]:
    return [one.told() for one in asked]


def test_the_same_seed_gives_the_same_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (calls, frames, pages):
        monkeypatch.setattr(module, "CORPUS", 40)
    for make in (calls.drawn, calls.broken):
        assert _told(make(CAST, 3, 40)) == _told(make(CAST, 3, 40)) != _told(make(CAST, 4, 40))
    assert list(pages.requests(CAST, 3, 100)) == list(pages.requests(CAST, 3, 100))
    assert list(frames.connections(CAST, 3, 20)) == list(frames.connections(CAST, 3, 20))


def test_every_rpc_is_called_as_everybody() -> None:
    drawn = list(calls.drawn(CAST, 5, 3_000))
    assert {one.rpc for one in drawn} >= set(calls.METHODS) - {"Register", "Token"}
    assert {one.role for one in drawn} == {*calls.ROLES, "expendable"}


def test_tasks_have_all_requests() -> None:
    for total in (10, 2_000, 200_000):
        planned = tasks(total)
        assert abs(sum(task.requests for task in planned) - total) <= 5
        assert len({str(task) for task in planned}) == len(planned)


@pytest.mark.parametrize(
    ("statuses", "crashes", "tracebacks", "changes", "memory"),
    [
        (["INTERNAL"], 0, (), [], (1, 1)),
        (["UNKNOWN"], 0, (), [], (1, 1)),
        (["500"], 0, (), [], (1, 1)),
        (["UNANSWERED"], 0, (), [], (1, 1)),
        (["OK"], 1, (), [], (1, 1)),
        (["OK"], 0, ("Traceback",), [], (1, 1)),
        (["OK"], 0, (), ["user changed"], (1, 1)),
        (["OK"], 0, (), [], (2**28, 2**29)),
    ],
)
def test_what_must_not_be_is_told(
    statuses: list[str], crashes: int, tracebacks: tuple[str, ...], changes: list[str], memory: tuple[int, int]
) -> None:
    tally = Tally(changes=changes)
    for status in statuses:
        tally.add("calls", status)
    assert not Outcome(tally, crashes, tracebacks, memory, 1.0).fine
    fine = Tally()
    fine.add("calls", "OK")
    assert Outcome(fine, 0, (), (2**28, 2**28), 1.0).fine


class _Line:
    def one(self, asking: Asking) -> tuple[str, str]:
        return ("OK", "") if asking.rpc == "CreateCirc" else ("INVALID_ARGUMENT", "no")


class _Watch:
    """An index in which the fourth look finds another row."""

    def __init__(self) -> None:
        self.looks = 0

    def quiet(self) -> None: ...

    def rows(self) -> dict[str, str]:
        self.looks += 1
        return {"user": "changed" if self.looks > 3 else "as it was"}


def test_a_change_by_a_refused_call_is_found() -> None:
    line: Any = _Line()
    watch: Any = _Watch()
    tally = Tally()
    asked = [Asking("CreateCirc", "boss", "", [b""], ())] + [Asking("GetCirc", "boss", "", [b""], ())] * 250
    assert sum(alone.held(line, watch, iter(asked), tally, "alone/0")) == 251
    assert len(tally.changes) == 1
    assert "user changed by one of" in tally.changes[0]


def test_metadata_that_is_no_text_stays_out_of_the_log(node: RunningNode) -> None:
    token = "eyJhbGciOiJFZERTQSJ9.secret-of-somebody"
    block = http2.literals(http2.call_fields("/vtrace.v1.VTraceInterface/Profile", token)).replace(
        b"Bearer ", b"Bearer\xff"
    )
    call = http2.frame(http2.SETTINGS, 0, 0, b"") + http2.frame(http2.HEADERS, http2.END_HEADERS, 1, block)
    message = http2.frame(http2.DATA, http2.END_STREAM, 1, bytes(5))
    host, _, port = node.ready["grpc"].rpartition(":")
    before = node.log().count("Traceback")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(http2.PREFACE + call + message)
        received = bytearray()

        def refused() -> bool:
            received.extend(connection.recv(4_096))
            return b"grpc-status" in received

        eventually(refused)
    assert "secret-of-somebody" not in node.log()
    assert node.log().count("Traceback") == before
