"""Lines of the log say which call they belong to, and nothing about people."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from node import calling
from node.calling import Calling
from node.errors import IndexUnavailable
from node.flow.people import People
from node.request_id import working_for
from node.telemetry import logs
from node.telemetry.logs import JsonLines, TextLines
from tests.flow.world import Running, started
from tests.support import people
from tests.support.node import running
from tests.support.wire_client import Refusal
from tests.telemetry.asking import config

REQUEST = "4bf92f3577b34da6a3ce929d0e0e4736"
SECRET = "13900001111 of Zhang San"


@contextmanager
def logged(formatter: logging.Formatter) -> Iterator[io.StringIO]:
    """What is logged in the block."""
    stream = io.StringIO()
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    handler.setFormatter(formatter)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield stream
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail(fault: Exception, why: Exception | None = None) -> None:
    """Log an exception as whoever catches it does."""
    try:
        try:
            if why is not None:
                raise why
        except Exception as cause:
            raise fault from cause
        raise fault
    except type(fault):
        logging.getLogger("node.test").exception("it failed")


def test_a_line_of_json_has_what_is_known_of_its_call() -> None:
    call = Calling("CreateCirc", REQUEST, 0, 0.0)
    with logged(JsonLines("3")) as stream:
        logging.getLogger("node.test").warning("outside of %s, in two\nlines", "any call")
        with working_for(REQUEST):
            logging.getLogger("node.test").info("a stream")
            with calling.instead(call):
                logging.getLogger("node.test").info("nobody yet")
                calling.is_of("u1")
                calling.has_recorded(["0xa", "0xb"])
                logging.getLogger("node.test").info("all")
        logs.tell_call(call, "OK", 0.25)
    outside, streamed, early, inside, told = lines(stream)
    assert outside.pop("time").endswith("Z")
    where = {"logger": "node.test", "worker": "3"}
    assert outside == {**where, "level": "WARNING", "message": "outside of any call, in two\nlines"}
    assert {name: streamed.get(name) for name in ("request", "rpc")} == {"request": REQUEST, "rpc": None}
    assert early.keys() == {"time", "level", "logger", "message", "worker", "request", "rpc"}
    known = {"request": REQUEST, "rpc": "CreateCirc", "user": "u1", "trans_ids": ["0xa", "0xb"]}
    assert known.items() <= inside.items()
    assert {**known, "status": "OK", "seconds": 0.25, "logger": "node.calls"}.items() <= told.items()


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()])
def test_what_an_exception_quotes_of_a_call_is_not_logged(formatter: logging.Formatter) -> None:
    for call in (Calling("Register", REQUEST, 0, 0.0), None):  # a stream goes on after its call
        with logged(formatter) as stream, working_for(REQUEST), calling.instead(call):
            fail(IndexUnavailable("the index is busy"), KeyError(SECRET))
            fail(ValueError(SECRET))
        text = stream.getvalue()
        assert "13900001111" not in text
        assert "Zhang" not in text
        for part in (
            "the index is busy",
            "KeyError",
            "ValueError",
            "tests/telemetry/test_logs.py:",
            "in fail",
            REQUEST,
        ):
            assert part in text
    with logged(formatter) as stream:
        fail(ValueError("of a worker"))
    assert "of a worker" in stream.getvalue()


def test_a_text_line_names_its_request_and_worker() -> None:
    with logged(TextLines("2")) as stream, working_for(REQUEST):
        logging.getLogger("node.test").info("hello")
    assert stream.getvalue().endswith(f" INFO worker 2 node.test: hello [request {REQUEST}]\n")


def test_causes_frames_and_texts_are_bounded() -> None:
    def deep(depth: int) -> None:
        if depth:
            deep(depth - 1)
        fault: Exception | None = None
        for number in range(10):
            last, fault = fault, ValueError(f"{number}" * 10_000)
            fault.__cause__ = last
        assert fault is not None
        raise fault

    with logged(JsonLines()) as stream:
        try:
            deep(100)
        except ValueError:
            logging.getLogger("node.test").exception("x" * 100_000)
    (line,) = lines(stream)
    assert len(line["message"]) == logs.MESSAGE_CHARACTERS_MAX
    assert [each["text"] for each in line["error"]] == [str(9 - place) * 4_000 for place in range(logs.CAUSES_MAX)]
    assert len(line["error"][0]["at"]) == logs.FRAMES_MAX


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Running]:
    with started(config(tmp_path / "d", log_format="json")) as made:
        yield made


def test_calls_are_logged_with_user_and_trans_id_and_nothing_about_people(
    node: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    with logged(JsonLines()) as stream:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        recorded_as = maker.boss.call(
            "CreateCirc", goods_id=goods_id, circ_type=1, form_value=json.dumps({"by": SECRET}).encode()
        )
        with pytest.raises(Refusal):
            node.client.call("Token", phone=maker.boss.phone, password="not it, surely")

        def broken(*_: object, **__: object) -> None:
            raise ValueError(f"{maker.boss.phone} and {SECRET}")

        with monkeypatch.context() as patch:
            patch.setattr(People, "register", broken)
            with pytest.raises(Refusal) as refused:
                node.client.call("Register", phone=maker.boss.phone, nickname=SECRET, passwd=people.PASSWORD)
        people.settled(node.client, goods_id)
    told = [line for line in lines(stream) if line["logger"] == logs.CALLS]
    (recorded,) = [line for line in told if line["rpc"] == "CreateCirc"]
    assert recorded["user"] == maker.boss.username
    assert recorded["trans_ids"] == [recorded_as.trans_id.value]
    assert (recorded["status"], len(recorded["request"])) == ("OK", 32)
    (made,) = [line["trans_ids"] for line in told if line["rpc"] == "BatchCreateGoods"]
    assert made[0].startswith("0x")
    assert {line["status"] for line in told if line["rpc"] == "Token"} == {"UNAUTHENTICATED"}
    (failed,) = [line for line in lines(stream) if line["message"].startswith("Register failed")]
    assert failed["request"] in refused.value.message
    assert "text" not in failed["error"][0]
    for personal in (maker.boss.phone, "Zhang San", "13900001111", people.PASSWORD, "not it, surely", "127.0.0.1"):
        assert personal not in stream.getvalue()


def test_serve_speaks_json(tmp_path: Path) -> None:
    with running(tmp_path / "d", "--log-format", "json") as process:
        people.register(process.client)
        log = process.log()
    told = [json.loads(line) for line in log.splitlines()]
    assert "Register" in {line.get("rpc") for line in told}
