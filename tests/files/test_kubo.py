"""The store behind a daemon: outages, and daemons that answer something else. The last are played by a small server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from node.domain import cid as cids
from node.domain.cid import CHUNK_BYTES, RAW, Cid, Link
from node.files import kubo
from node.files.keeper import ContentDamaged, KeeperUnavailable
from node.files.kubo import KuboFiles, multiaddress
from tests.chain.servers import free_port
from tests.files.daemon import daemon
from tests.files.test_keeper_suite import content, cut, kept, left, whole

Answer = Callable[[str], tuple[int, bytes]]


@contextmanager
def playing(answer: Answer) -> Iterator[str]:
    """A daemon that answers each rpc (``add``, ``pin/ls`` …) as told; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if self.headers.get("Transfer-Encoding") == "chunked":
                while size := int(self.rfile.readline(), 16):
                    self.rfile.read(size + 2)
                self.rfile.readline()
            status, body = answer(self.path.partition("?")[0].removeprefix("/api/v0/"))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _never() -> None:
    raise AssertionError("recorded")


def test_an_outage_keeps_nothing(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    keeper = KuboFiles(url, tmp_path / "files")
    part = keeper.stage(cut(content(600_000)))
    with pytest.raises(KeeperUnavailable, match=url):
        keeper.keep(part, _never)
    with pytest.raises(KeeperUnavailable, match=url):
        whole(keeper, part.cid, part.size)
    assert left(tmp_path) == []


def test_what_was_kept_is_there_after_an_outage(tmp_path: Path) -> None:
    data, port, repo = content(600_000), free_port(), tmp_path / "repo"
    with daemon(repo, port) as url:
        keeper = KuboFiles(url, tmp_path / "files")
        cid = kept(keeper, data)
    with pytest.raises(KeeperUnavailable):
        whole(keeper, cid, len(data))
    with daemon(repo, port):
        assert whole(keeper, cid, len(data)) == data


NOT_PINNED = 500, json.dumps({"Message": "not pinned", "Code": 0, "Type": "error"}).encode()


@pytest.mark.parametrize(
    "added",
    [
        (200, b'{"Name": "", "Hash": "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", "Size": "0"}'),
        (200, b"no JSON"),
        (200, b""),
        (500, b'{"Message": "no space", "Code": 0}'),
        (403, b"forbidden"),
    ],
)
def test_another_answer_than_the_cid_keeps_nothing(tmp_path: Path, added: tuple[int, bytes]) -> None:
    asked: list[str] = []

    def answer(rpc: str) -> tuple[int, bytes]:
        asked.append(rpc)
        return {"add": added, "pin/rm": (200, b'{"Pins": []}')}.get(rpc, NOT_PINNED)

    with playing(answer) as url:
        keeper = KuboFiles(url, tmp_path / "files")
        part = keeper.stage(cut(content(600_000)))
        with pytest.raises(KeeperUnavailable, match="the IPFS daemon"):
            keeper.keep(part, _never)
    assert asked == ["pin/ls", "add", "pin/rm"]
    assert left(tmp_path) == []


def test_a_pin_that_can_not_be_taken_back_is_taken_back_later(tmp_path: Path) -> None:
    removed: list[str] = []

    def answer(rpc: str) -> tuple[int, bytes]:
        if rpc == "pin/rm":
            removed.append(rpc)
            return (502, b"not now") if len(removed) == 1 else (200, b'{"Pins": []}')
        return (500, b"broken") if rpc == "add" else NOT_PINNED

    with playing(answer) as url:
        keeper = KuboFiles(url, tmp_path / "files")
        part = keeper.stage(cut(content(10)))
        with pytest.raises(KeeperUnavailable):
            keeper.keep(part, _never)
        assert left(tmp_path) == [f"{part.cid}.pin"]
        keeper.close()
        KuboFiles(url, tmp_path / "files").recover(lambda _: False)
    assert left(tmp_path) == []
    assert len(removed) == 2


def test_a_silent_daemon_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def answer(_: str) -> tuple[int, bytes]:
        release.wait(20)
        return 500, b"late"

    monkeypatch.setattr(kubo, "ANSWER_SECONDS", 0.3)
    with playing(answer) as url:
        keeper = KuboFiles(url, tmp_path)
        with pytest.raises(KeeperUnavailable, match="timed out"):
            whole(keeper, str(cids.of_raw(b"x")), 1)
        release.set()


LOOP = cids.node_of([Link(Cid(RAW, bytes(32)), 5, 5)])


@pytest.mark.parametrize(
    ("cid", "block"),
    [
        (cids.of_raw(b"true"), b"lies"),
        (cids.of_raw(b"true"), b""),
        (cids.of_raw(b"true"), bytes(2 * CHUNK_BYTES)),
        (Cid(cids.DAG_PB, cids.of_raw(b"\xff" * 40).digest), b"\xff" * 40),
        (Cid(cids.DAG_PB, cids.of_raw(b"").digest), b""),
        (Cid(cids.DAG_PB, cids.of_raw(LOOP).digest), LOOP),
    ],
)
def test_another_block_than_the_cid_is_damage(tmp_path: Path, cid: Cid, block: bytes) -> None:
    with playing(lambda _: (200, block)) as url, pytest.raises(ContentDamaged):
        whole(KuboFiles(url, tmp_path), str(cid), 5)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:5001", "/ip4/127.0.0.1/tcp/5001/http"),
        ("http://[::1]:5001/", "/ip6/::1/tcp/5001/http"),
        ("http://kubo:5001", "/dns/kubo/tcp/5001/http"),
        ("https://ipfs.example.com", "/dns/ipfs.example.com/tcp/443/https"),
    ],
)
def test_an_url_as_multiaddress(url: str, address: str) -> None:
    assert multiaddress(url) == address
