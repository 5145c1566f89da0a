"""``vtrace epcis import``: what it sends, what it prints, and its exit codes."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from node.api.epcis_client import PAUSE_SECONDS, TRIES, CaptureClient, NotReached
from node.cli import main
from tests.support import people
from tests.support.epcis import document, event
from tests.support.node import RunningNode, vtrace
from tests.support.people import Maker


@dataclass
class Files:
    """Documents for a node, and the command that imports them."""

    folder: Path
    node: RunningNode
    maker: Maker

    @property
    def url(self) -> str:
        return f"http://{self.node.ready['http']}"

    def event(self, *goods: int, **more: Any) -> dict[str, Any]:
        base = f"urn:vtrace:{self.node.ready['chain_id']}:{self.node.ready['contract'].lower()}"
        return event(*(f"{base}:obj:{goods_id}" for goods_id in goods), **more)

    def write(self, given: Any) -> Path:
        path = self.folder / "events.jsonld"
        path.write_bytes(given if isinstance(given, bytes) else json.dumps(given).encode())
        return path

    def run(self, given: Any, *args: str) -> Result:
        token = self.folder / "token"
        token.write_text(f"{self.maker.boss.client.token}\n")
        command = ["epcis", "import", str(self.write(given)), "--url", self.url, "--token-file", str(token), *args]
        return CliRunner().invoke(main, command)


@pytest.fixture
def files(tmp_path: Path, node: RunningNode) -> Files:
    return Files(tmp_path, node, people.maker(node.client))


def test_a_file_is_recorded_and_again_only_told(files: Files) -> None:
    one, two = files.maker.goods(2)
    given = files.write(document(files.event(one, two), files.event(two, step="inspecting")))
    command = ("epcis", "import", str(given), "--url", files.url, "--phone", files.maker.boss.phone)
    done = vtrace(*command, "--password", people.PASSWORD)
    assert done.returncode == 0, done.stderr
    ids = [people.history(files.node.client, two)[number].trans_id.value for number in (1, 2)]
    assert done.stdout.splitlines() == [f"{place} recorded {trans_id}" for place, trans_id in enumerate(ids)]
    assert "epcis import: 2 events, 2 recorded, 0 duplicates" in done.stderr
    again = vtrace(*command, stdin=f"{people.PASSWORD}\n")
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines() == [f"{place} duplicate {trans_id}" for place, trans_id in enumerate(ids)]
    wrong = vtrace(*command, "--password", "another password")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert f"--phone {files.maker.boss.phone}: the node refused" in wrong.stderr


def test_a_large_file_goes_in_parts_up_to_the_first_that_is_refused(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CaptureClient, "limits", lambda _: (2, 4 * 1024 * 1024))
    goods = files.maker.goods(5)
    given = [files.event(one) for one in goods]
    bad = given[3] | {"bizStep": "commissioning"}
    refused = files.run(document(*given[:3], bad, given[4]))
    assert refused.exit_code == 1
    assert "5 events go in 3 parts, each all or none" in refused.stderr
    assert "refused from event 2 on; the 2 before it are recorded" in refused.stderr
    assert "event 3: bizStep: commissioning, want another, or action ADD" in refused.stderr
    assert [line.split()[:2] for line in refused.stdout.splitlines()] == [["0", "recorded"], ["1", "recorded"]]
    whole = files.run(document(*given))
    assert whole.exit_code == 0
    assert "5 events, 3 recorded, 2 duplicates" in whole.stderr
    assert [len(people.history(files.node.client, one)) for one in goods] == [2] * 5


def test_a_node_that_goes_away_half_way_leaves_what_it_answered(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CaptureClient, "limits", lambda _: (2, 4 * 1024 * 1024))
    capture, calls = CaptureClient.capture, iter(range(9))

    def once(self: CaptureClient, body: bytes) -> Any:
        if next(calls):
            raise NotReached("Connection refused")
        return capture(self, body)

    monkeypatch.setattr(CaptureClient, "capture", once)
    goods = files.maker.goods(3)
    broken = files.run(document(*(files.event(one) for one in goods)))
    assert (broken.exit_code, len(broken.stdout.splitlines())) == (2, 2)
    assert "Connection refused" in broken.stderr
    assert "again to go on from event 2; the 2 before it are recorded" in broken.stderr


def test_what_custody_forbids_is_told_event_by_event(files: Files) -> None:
    (mine,), (other,) = files.maker.goods(1), people.maker(files.node.client).goods(1)
    refused = files.run(document(files.event(mine), files.event(other)))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "refused from event 0 on; none is recorded" in refused.stderr
    assert f"event 1: goods {other} are not in the custody of the operator" in refused.stderr
    assert len(people.history(files.node.client, mine)) == 1


NOT_DONE = [
    (b"{", "body: line 1 column 2"),
    (b"\xff", "body: byte 0 of 1"),
    ({"type": "EPCISDocument"}, "schemaVersion: null"),
    (document(), "epcisBody.eventList: an array of 0"),
]


@pytest.mark.parametrize(("given", "told"), NOT_DONE, ids=range(len(NOT_DONE)))
def test_a_file_that_is_none_is_not_sent(files: Files, given: Any, told: str) -> None:
    refused = files.run(given)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert told in refused.stderr


def test_what_can_not_be_done_has_its_own_exit_code(files: Files, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unanswered:
        nobody = f"http://127.0.0.1:{unanswered.getsockname()[1]}"
    given = document(files.event(1))
    for args, told in (
        (("--url", "ftp://127.0.0.1"), "want an http(s) URL"),
        (("--token-file", str(tmp_path / "none")), "No such file"),
        (("--phone", "13800138000"), "name --token-file or --phone"),
    ):
        refused = files.run(given, *args)
        assert refused.exit_code == 2, refused.stderr
        assert told in refused.stderr
    refused = CliRunner().invoke(main, ["epcis", "import", str(tmp_path / "none"), "--url", files.url])
    assert refused.exit_code == 2
    with pytest.raises(NotReached):
        CaptureClient(nobody, pause=lambda _: None).limits()
    bad_token = tmp_path / "bad"
    for token, told in (("no token", "want what Token answers"), ("x", "HTTP 401: ")):
        bad_token.write_text(token)
        refused = files.run(given, "--token-file", str(bad_token))
        assert refused.exit_code == 2
        assert told in refused.stderr


@dataclass
class Script:
    """An HTTP server that answers as it is told, one answer a request; None breaks off."""

    answers: list[tuple[int, dict[str, str], bytes] | None]
    keys: list[str | None] = field(default_factory=list)
    url: str = ""

    def __enter__(self) -> Script:
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                script.keys.append(self.headers.get("idempotency-key"))
                answer = script.answers.pop(0)
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, body = answer
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_OPTIONS = do_POST

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def pauses() -> list[float]:
    return []


def test_a_lost_answer_is_asked_for_again_with_the_same_key(pauses: list[float]) -> None:
    with Script([None, (503, {"retry-after": "7"}, b""), (429, {}, b"x"), (202, {}, b'{"success":true}')]) as script:
        answer = CaptureClient(script.url, pauses.append).capture(b"{}")
    assert (answer.status, answer.json) == (202, {"success": True})
    assert len(set(script.keys)) == 1
    assert script.keys[0]
    assert pauses == [PAUSE_SECONDS, 7.0, 14.0]


def test_a_node_that_stays_away_is_given_up(pauses: list[float]) -> None:
    with Script([None] * TRIES) as script, pytest.raises(NotReached):
        CaptureClient(script.url, pauses.append).capture(b"{}")
    assert len(pauses) == TRIES - 1
    with Script([(500, {}, b"")] * TRIES) as script:
        assert CaptureClient(script.url, pauses.append).capture(b"{}").status == 500
    assert max(pauses) <= 30


def test_a_refusal_is_not_asked_again(pauses: list[float]) -> None:
    with Script([(400, {}, b"no json")]) as script:
        answer = CaptureClient(script.url, pauses.append).capture(b"{}")
    assert (answer.status, answer.json, pauses) == (400, None, [])
