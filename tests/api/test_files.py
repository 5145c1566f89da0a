"""Files end to end: Upload over gRPC, reading over HTTP, on a running node."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from aleph_cid import CidHasher

from node.api.client import NodeClient
from node.wire.vtrace.v1 import service_pb2 as wire
from tests.support import people
from tests.support.node import RunningNode, eventually, running
from tests.support.people import Person
from tests.support.wire_client import SCHEMA, SERVICE, Refusal, WireClient

KIB, MIB = 1024, 1024 * 1024
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(60)
HOSTILE_SECONDS_MAX = 5
"""Far more than it takes, far less than a wait for more of it."""


def message(content: bytes = b"", **mds: str) -> Any:
    made = SCHEMA.message("vtrace.v1.UploadRequest")(content=content)
    for key, value in mds.items():
        made.mds.add(key=key.replace("_", "-"), value=value)
    return made


def call(client: WireClient, messages: Iterator[Any], timeout: float = 60) -> Any:
    stub = client._channel.stream_unary(
        f"/{SERVICE}/Upload",
        request_serializer=lambda sent: sent.SerializeToString(),
        response_deserializer=SCHEMA.message("vtrace.v1.UploadResponse").FromString,
    )
    return stub.future(messages, timeout=timeout, metadata=[("authorization", f"Bearer {client.token}")])


def upload(client: WireClient, *messages: Any) -> str:
    """The URL of the stored file, or the Refusal."""
    try:
        url: str = call(client, iter(messages)).result().url
    except grpc.RpcError as error:
        raise Refusal(error) from error
    return url


def random_bytes(size: int, seed: object = 1) -> bytes:
    return random.Random(f"{seed} {size}").randbytes(size)


def cid_of(data: bytes) -> str:
    judge = CidHasher.for_ipfs_v1_raw_leaves()
    judge.update(data)
    return judge.finalize()


def stored(node: RunningNode) -> tuple[list[str], list[Any]]:
    """Everything in the folder of files but locks, and every row about files."""
    found = (node.data_dir / "files").rglob("*")
    paths = sorted(str(path) for path in found if path.is_file() and path.parent.name != "locks")
    with sqlite3.connect(f"file:{node.data_dir / 'index.sqlite3'}?mode=ro", uri=True) as index:
        rows = index.execute("SELECT * FROM file").fetchall()
    index.close()
    return paths, rows


@pytest.fixture(scope="module")
def person(node: RunningNode) -> Person:
    return people.register(node.client)


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30) as client:
        yield client


@pytest.mark.parametrize("size", [0, 1, 262_144, 262_145, 5 * MIB])
@pytest.mark.parametrize("piece", [700, 3 * MIB])
def test_what_is_uploaded_is_served(
    node: RunningNode, person: Person, http: httpx.Client, size: int, piece: int
) -> None:
    data = random_bytes(size, piece)
    url = upload(person.client, message(), *(message(data[at : at + piece]) for at in range(0, size, piece)))
    assert url == f"http://{node.ready['http']}/ipfs/{cid_of(data)}"
    answer = http.get(url)
    assert (answer.status_code, answer.content) == (200, data)
    assert answer.headers["content-length"] == str(size)


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 1_000_000])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 10_000])
def test_one_base64_text_may_be_cut_anywhere(person: Person, http: httpx.Client, cut: int, size: int) -> None:
    data = random_bytes(size, "base64")
    text = base64.encodebytes(data)
    cut = max(cut, size // 500)
    pieces = [message(text[at : at + cut]) for at in range(0, len(text), cut)]
    url = upload(person.client, message(encoding="base64"), *pieces)
    assert url.endswith(cid_of(data))
    assert http.get(url).content == data


def test_the_same_content_twice_is_stored_once(node: RunningNode, person: Person, http: httpx.Client) -> None:
    data = random_bytes(700_000, "twice")
    url = upload(person.client, message(data, filename="first.bin"))
    before = stored(node)
    assert upload(person.client, message(data, filename="second.bin")) == url
    assert stored(node) == before
    other = people.register(node.client)
    assert upload(other.client, message(data, filename="third.bin")) == url
    assert stored(node)[0] == before[0]
    assert "first.bin" in http.get(url).headers["content-disposition"]


def _text(data: bytes) -> Any:
    return message(data, encoding="base64")


REFUSED: dict[str, Callable[[], list[Any]]] = {
    "no message": list,
    "path as a name": lambda: [message(b"x", filename="../../../../etc/cron.d/x")],
    "windows path as a name": lambda: [message(b"x", filename="C:\\x.exe")],
    "line break in a name": lambda: [message(b"x", filename="a\r\nSet-Cookie: b=c")],
    "content type that is none": lambda: [message(b"x", content_type="<script>")],
    "unknown encoding": lambda: [message(b"x", encoding="gzip")],
    "33 pairs": lambda: [message(b"x", **{f"k{number}": "v" for number in range(33)})],
    "value of 3 MB": lambda: [message(b"x", k="v" * 3_000_000)],
    "metadata in the second message": lambda: [message(b"x"), message(b"y", k="v")],
    "base64 that is none": lambda: [_text(b"!!!!")],
    "base64 cut short": lambda: [_text(b"QUJD"), message(b"QU")],
    "base64 that goes on after its end": lambda: [_text(b"QQ=="), message(b"QUJD")],
    "base64 padded in the middle": lambda: [_text(b"QQ==QUJD")],
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_upload_is_refused_fast_and_writes_nothing(node: RunningNode, person: Person, name: str) -> None:
    messages = REFUSED[name]()
    before = stored(node)
    began = time.perf_counter()
    with pytest.raises(Refusal) as refused:
        upload(person.client, *messages)
    took = time.perf_counter() - began
    assert refused.value.status == "INVALID_ARGUMENT"
    assert refused.value.reason == "INVALID_PARAMS"
    assert refused.value.fields
    assert took < HOSTILE_SECONDS_MAX
    eventually(lambda: stored(node) == before)


NOT_CIDS = ["x", "..", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "a/b", "b" * 5_000, "Qm" + "a" * 44, "bafkrei%00", "%F0%9F"]
UNKNOWN = cid_of(b"nobody ever uploaded this")


@pytest.mark.parametrize("cid", NOT_CIDS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_cid_that_is_none_is_refused_fast(node: RunningNode, http: httpx.Client, cid: str, method: str) -> None:
    http.get(f"http://{node.ready['http']}/ipfs/{UNKNOWN}")
    began = time.perf_counter()
    answer = http.request(method, f"http://{node.ready['http']}/ipfs/{cid}")
    assert answer.status_code in (400, 404)
    assert time.perf_counter() - began < HOSTILE_SECONDS_MAX


def test_an_unknown_file_is_not_found(node: RunningNode, http: httpx.Client) -> None:
    answer = http.get(f"http://{node.ready['http']}/ipfs/{UNKNOWN}")
    assert answer.status_code == 404
    assert answer.headers["cache-control"] == "no-store"
    assert http.post(f"http://{node.ready['http']}/ipfs/{UNKNOWN}").status_code == 405


SIZE = 700_000
RANGES = [
    ("bytes=0-0", 0, 1),
    ("bytes=0-", 0, SIZE),
    ("bytes=5-9", 5, 10),
    ("bytes=262143-262144", 262_143, 262_145),
    ("bytes=600000-999999999", 600_000, SIZE),
    ("bytes=-10", SIZE - 10, SIZE),
    ("bytes=-999999999", 0, SIZE),
    (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
]


@pytest.fixture(scope="module")
def served(person: Person) -> tuple[str, bytes]:
    data = random_bytes(SIZE, "ranges")
    return upload(person.client, message(data)), data


@pytest.mark.parametrize(("header", "start", "end"), RANGES)
def test_a_range_is_served(served: tuple[str, bytes], http: httpx.Client, header: str, start: int, end: int) -> None:
    url, data = served
    answer = http.get(url, headers={"Range": header})
    assert (answer.status_code, answer.content) == (206, data[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize("header", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=-0", "bytes=99999999999-"])
def test_a_range_of_nothing_is_refused(served: tuple[str, bytes], http: httpx.Client, header: str) -> None:
    answer = http.get(served[0], headers={"Range": header})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{SIZE}")


@pytest.mark.parametrize(
    "header", ["bytes=9-5", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6", "bytes=" + "1" * 100 + "-", "bytes"]
)
def test_several_or_malformed_ranges_give_the_whole(served: tuple[str, bytes], http: httpx.Client, header: str) -> None:
    answer = http.get(served[0], headers={"Range": header})
    assert (answer.status_code, answer.content) == (200, served[1])


def test_a_file_is_cached_for_ever(served: tuple[str, bytes], http: httpx.Client) -> None:
    url, data = served
    answer = http.get(url)
    etag = answer.headers["etag"]
    assert etag == f'"{cid_of(data)}"'
    assert "immutable" in answer.headers["cache-control"]
    again = http.get(url, headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert http.get(url, headers={"If-None-Match": '"other", W/' + etag}).status_code == 304
    assert http.get(url, headers={"If-None-Match": '"other"'}).status_code == 200
    assert http.get(url, headers={"Range": "bytes=0-9", "If-Range": etag}).status_code == 206
    assert http.get(url, headers={"Range": "bytes=0-9", "If-Range": '"other"'}).status_code == 200
    head = http.head(url)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(SIZE))
    assert head.headers["etag"] == etag


SERVED_AS = {
    "a picture": (PNG, {"content_type": "image/png", "filename": "豆.png"}, "image/png", "inline"),
    "a picture that was called a page": (PNG + b"1", {"content_type": "text/html"}, "image/png", "attachment"),
    "text": (b"lot,analyte\n7,1\n", {"content_type": "text/csv"}, "text/plain; charset=utf-8", "inline"),
    "a page": (b"<html><script>1</script>", {}, "application/octet-stream", "attachment"),
    "a page that was called a picture": (b"<html>2", {"content_type": "image/png"}, None, "attachment"),
    "a drawing with a script": (b"<svg onload='1'/>", {"content_type": "image/svg+xml"}, None, "attachment"),
    "a program": (b"\x7fELF\x02\x01\x01" + bytes(60), {"filename": "x.png"}, None, "attachment"),
    "a windows program": (b"MZ\x90\0\x03\0\0\0" + bytes(60), {"content_type": "image/png"}, None, "attachment"),
    "a script": (b"#!/bin/sh\n:", {"content_type": "text/plain"}, None, "attachment"),
}


@pytest.mark.parametrize("name", SERVED_AS)
def test_a_file_is_served_safely(person: Person, http: httpx.Client, name: str) -> None:
    data, mds, content_type, kind = SERVED_AS[name]
    answer = http.get(upload(person.client, message(data, **mds)))
    assert answer.headers["content-type"] == (content_type or "application/octet-stream")
    assert answer.headers["content-disposition"].startswith(f"{kind}; filename=")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "sandbox" in answer.headers["content-security-policy"]


def test_a_name_is_told_as_rfc_6266_has_it(person: Person, http: httpx.Client) -> None:
    url = upload(person.client, message(b"named", filename='检验 "7"; x=y%.txt'))
    assert http.get(url).headers["content-disposition"] == (
        "inline; filename=\"__ _7__ x_y_.txt\"; filename*=UTF-8''%E6%A3%80%E9%AA%8C%20%227%22%3B%20x%3Dy%25.txt"
    )


def _broken_stream(person: Person, data: bytes, how: str) -> None:
    """Send ``data`` in a stream and go away before its end."""
    gone = threading.Event()

    def messages() -> Iterator[Any]:
        for at in range(0, len(data), 64 * KIB):
            yield message(data[at : at + 64 * KIB])
        gone.wait(5)

    client = WireClient(person.client.address, person.client.token)
    under_way = call(client, messages(), timeout=0.3 if how == "deadline" else 60)
    try:
        if how == "deadline":
            assert under_way.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
        else:
            time.sleep(random.Random(how + str(len(data))).uniform(0, 0.05))
            under_way.cancel() if how == "cancel" else client.close()
    finally:
        gone.set()
        client.close()


@pytest.mark.parametrize("how", ["cancel", "close", "deadline"])
def test_a_stream_that_breaks_leaves_nothing(node: RunningNode, person: Person, how: str) -> None:
    before = stored(node)
    with ThreadPoolExecutor(4) as pool:
        breaks = [
            pool.submit(_broken_stream, person, random_bytes(200 * KIB + number, how), how)
            for number in range(8 if how == "deadline" else 60)
        ]
        for one in breaks:
            one.result()
    eventually(lambda: not list((node.data_dir / "files" / "parts").iterdir()))
    time.sleep(0.3)
    assert stored(node) == before


def test_a_connection_that_is_cut_leaves_nothing(node: RunningNode, person: Person) -> None:
    """The caller's machine dies: a relay between both cuts the connection at once, without a goodbye."""
    before = stored(node)
    host, _, port = node.ready["grpc"].rpartition(":")
    for number in range(10):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            cut = threading.Event()
            relay = threading.Thread(target=_relay, args=(listener, (host, int(port)), cut))
            relay.start()
            client = WireClient(f"127.0.0.1:{listener.getsockname()[1]}", person.client.token)
            sent = threading.Event()

            def messages(number: int = number, sent: threading.Event = sent) -> Iterator[Any]:
                for at in range(5):
                    yield message(random_bytes(100 * KIB, (number, at)))
                sent.set()
                threading.Event().wait(0.5)

            under_way = call(client, messages())
            assert sent.wait(10)
            cut.set()
            assert isinstance(under_way.exception(timeout=20), grpc.RpcError)
            client.close()
            relay.join(10)
    eventually(lambda: not list((node.data_dir / "files" / "parts").iterdir()))
    time.sleep(0.3)
    assert stored(node) == before


def _relay(listener: socket.socket, target: tuple[str, int], cut: threading.Event) -> None:
    here, _ = listener.accept()
    with here, socket.create_connection(target) as there:
        pairs = [(here, there), (there, here)]

        def pump(source: socket.socket, sink: socket.socket) -> None:
            try:
                while data := source.recv(65_536):
                    sink.sendall(data)
            except OSError:
                pass

        for pair in pairs:
            threading.Thread(target=pump, args=pair, daemon=True).start()
        cut.wait(20)
        for each in (here, there):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # the end is a reset
            each.shutdown(socket.SHUT_RDWR)


def test_an_end_of_the_node_leaves_nothing_half_way(tmp_path: Path) -> None:
    data_dir = tmp_path / "d"
    node = RunningNode(data_dir)
    person = people.register(node.client)
    kept = upload(person.client, message(b"kept before"))
    more = threading.Event()

    def messages() -> Iterator[Any]:
        yield message(random_bytes(2 * MIB))
        more.wait(20)

    under_way = call(person.client, messages())
    eventually(lambda: [path.stat().st_size for path in (data_dir / "files" / "parts").iterdir()] == [2 * MIB])
    before = stored(node)
    node.kill()
    more.set()
    assert under_way.exception() is not None
    assert len(before[0]) == 2
    with running(data_dir) as again:
        paths, rows = stored(again)
        assert [Path(path).name for path in paths] == [kept.rpartition("/")[2]]
        assert len(rows) == 1
        url = f"http://{again.ready['http']}/ipfs/{cid_of(b'kept before')}"
        assert httpx.get(url).content == b"kept before"


def _resident_kib(node: RunningNode) -> int:
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    size, piece = 64 * MIB, 512 * KIB
    block = random_bytes(piece)
    with running(tmp_path / "d", "--public-url", "https://trace.example.com/files/") as node:
        person = people.register(node.client)
        upload(person.client, message(random_bytes(MIB)))
        idle = _resident_kib(node)
        most, done = [idle], threading.Event()

        def watch() -> None:
            while not done.wait(0.01):
                most.append(_resident_kib(node))

        watcher = threading.Thread(target=watch)
        watcher.start()
        digest = hashlib.sha256()
        try:
            url = call(person.client, (message(number.to_bytes(4) + block[4:]) for number in range(size // piece)))
            cid = url.result().url.rpartition("/")[2]
            assert url.result().url.startswith("https://trace.example.com/files/ipfs/baf")
            with httpx.stream("GET", f"http://{node.ready['http']}/ipfs/{cid}") as answer:
                for data in answer.iter_bytes():
                    digest.update(data)
        finally:
            done.set()
            watcher.join()
        wanted = hashlib.sha256()
        for number in range(size // piece):
            wanted.update(number.to_bytes(4) + block[4:])
        assert digest.digest() == wanted.digest()
        assert max(most) - idle < 64 * KIB


def test_an_upload_over_the_limit_is_refused(tmp_path: Path) -> None:
    with running(tmp_path / "d", "--upload-max", "1MiB") as node:
        person = people.register(node.client)
        assert upload(person.client, message(bytes(MIB)))
        before = stored(node)
        for messages in ([message(bytes(MIB)), message(b"x")], [message(bytes(MIB + 1))]):
            with pytest.raises(Refusal) as refused:
                upload(person.client, *messages)
            assert (refused.value.status, refused.value.fields) == ("INVALID_ARGUMENT", ["content"])
        text = base64.b64encode(bytes(MIB))
        assert upload(person.client, message(text, encoding="base64"))
        assert stored(node) == before


def test_more_uploads_than_places_are_told_to_come_back(node: RunningNode, person: Person) -> None:
    more = threading.Event()

    def messages() -> Iterator[Any]:
        yield message(b"waiting")
        more.wait(20)

    waiting = [call(person.client, messages()) for _ in range(8)]
    eventually(lambda: len(list((node.data_dir / "files" / "parts").iterdir())) == 8)
    try:
        with pytest.raises(Refusal) as refused:
            upload(person.client, message(b"one more"))
        assert refused.value.status == "RESOURCE_EXHAUSTED"
        assert person.call("Profile").user.username.value == person.username
    finally:
        more.set()
    assert {one.result().url.rpartition("/")[2] for one in waiting} == {cid_of(b"waiting")}
    assert upload(person.client, message(b"one more"))


def test_verify_names_each_damaged_file(tmp_path: Path) -> None:
    data_dir = tmp_path / "d"
    with running(data_dir) as node:
        person = people.register(node.client)
        cids = [
            upload(person.client, message(random_bytes(size))).rpartition("/")[2] for size in (0, 5, 300_000, 700_000)
        ]

        def verify() -> tuple[int, list[str]]:
            done = node.command("files", "verify", "--data-dir", str(data_dir))
            return done.returncode, done.stdout.splitlines()

        assert verify() == (0, ["files: 4 files, 1000005 bytes, 0 damaged"])
        (flipped,) = (data_dir / "files").rglob(cids[3])
        flipped.write_bytes(bytes(1) + flipped.read_bytes()[1:])
        (lost,) = (data_dir / "files").rglob(cids[1])
        lost.unlink()
        code, lines = verify()
        assert code == 1
        assert sorted(lines[:-1]) == sorted(
            [f"{cids[1]}: missing", f"{cids[3]}: damaged (chunk 0 is not what the CID says)"]
        )
        assert lines[-1] == "files: 4 files, 1000005 bytes, 2 damaged"
        for cid in (cids[1], cids[3]):
            answer = httpx.get(f"http://{node.ready['http']}/ipfs/{cid}")
            assert answer.status_code == 500
            assert "lost this file" in answer.text


def test_damage_in_the_middle_ends_the_answer_early(tmp_path: Path) -> None:
    with running(tmp_path / "d") as node:
        url = upload(people.register(node.client).client, message(random_bytes(2 * MIB)))
        (path,) = (tmp_path / "d" / "files").rglob(url.rpartition("/")[2])
        data = bytearray(path.read_bytes())
        data[MIB] ^= 1
        path.write_bytes(data)
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(url)
        assert httpx.get(url, headers={"Range": "bytes=0-99"}).status_code == 206


def test_verify_of_no_data_directory_is_refused(tmp_path: Path) -> None:
    from tests.support.node import vtrace

    done = vtrace("files", "verify", "--data-dir", str(tmp_path / "none"))
    assert done.returncode == 1
    assert "no node has its data there" in done.stderr
    assert not (tmp_path / "none").exists()


def test_files_are_listed_with_the_circ_and_audited(tmp_path: Path) -> None:
    data_dir = tmp_path / "d"
    with running(data_dir) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        url = upload(maker.boss.client, message(random_bytes(300_000)))
        small = upload(maker.boss.client, message(b"sheet")).rpartition("/")[2]
        form = json.dumps({"photo": url, "sheet": f"ipfs://{small}"}).encode()
        maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1, form_value=form)
        people.settled(node.client, goods_id)
        with NodeClient(node.ready["grpc"]) as client:
            (_, record) = client.call("GetCirc", wire.GetCircRequest(goods_id=goods_id)).circ_records
        assert list(record.files) == [url.rpartition("/")[2], small]

        def audit(*options: str) -> tuple[int, list[str]]:
            where = ("--node", node.ready["grpc"], "--rpc", node.rpc_url, "--contract", node.ready["contract"])
            done = node.command("audit", *where, "--all", *options)
            return done.returncode, done.stdout.splitlines()

        code, lines = audit()
        assert code == 0, lines
        assert lines[1:] == ["audit: 1 goods, 2 circs, 0 pending, 0 differences", "audit: 2 files fetched"]
        (path,) = (data_dir / "files").rglob(small)
        path.write_bytes(b"sheat")
        code, lines = audit("--files", f"http://{node.ready['http']}")
        assert code == 1
        assert f"names the file {small}: it can't be had" in lines[1]
        assert audit("--files", "http://127.0.0.1:9")[0] == 2


def test_rubbish_in_a_stream_is_refused(node: RunningNode, person: Person) -> None:
    before = stored(node)
    stub = person.client._channel.stream_unary(f"/{SERVICE}/Upload")
    metadata = [("authorization", f"Bearer {person.client.token}")]
    with pytest.raises(grpc.RpcError) as refused:
        stub(iter([message(b"x").SerializeToString(), b"\xff" * 20]), timeout=20, metadata=metadata)
    assert Refusal(refused.value).status == "INVALID_ARGUMENT"
    assert stored(node) == before


def test_an_upload_by_somebody_deleted_meanwhile_is_refused(node: RunningNode) -> None:
    before, more = stored(node), threading.Event()
    person = people.register(node.client)

    def messages() -> Iterator[Any]:
        yield message(b"sent before")
        more.wait(20)

    under_way = call(person.client, messages())
    eventually(lambda: list((node.data_dir / "files" / "parts").iterdir()))
    person.call("DeleteUser")
    more.set()
    assert under_way.exception().code() is grpc.StatusCode.UNAUTHENTICATED
    assert stored(node) == before
