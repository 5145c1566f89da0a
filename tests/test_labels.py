"""Labels of a batch, by the command and by the rpc, from a running node."""

from __future__ import annotations

import importlib
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
import zxingcpp

from node.api import labels_client
from node.api.client import NodeClient, NotUnderstood
from node.wire.vtrace.v1 import service_pb2 as wire
from tests.support import people
from tests.support.node import RunningNode, running, vtrace
from tests.support.own_key import Partner
from tests.support.people import Maker, Person, Refusal

command = importlib.import_module("node.cli.labels")
GTIN = "06901234567892"
BASE = "https://trace.example.com/x"
COMMON = 1_005
"""Goods of the larger serial: more than one answer holds."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with running(tmp_path_factory.mktemp("labels") / "data", "--public-url", f"{BASE}/") as node:
        yield node


@pytest.fixture(scope="module")
def maker(served: RunningNode) -> Maker:
    return people.maker(served.client)


@pytest.fixture(scope="module")
def coded(maker: Maker) -> tuple[int, list[int]]:
    """A serial of a class with a GTIN, and its goods."""
    described = json.dumps({"gtin": GTIN[1:]}).encode()
    made = maker.boss.call("CreateGoodsClass", goods_name="云南小粒咖啡 Yunnan", goods_des=described).class_id.value
    serial = maker.boss.call("CreateGoodsSerial", class_id=made, product_time=1_760_000_000).serial_id.value
    ids = [one.value for one in maker.boss.call("BatchCreateGoods", serial_id=serial, sum=5).ids]
    maker.goods(3)
    ids += [one.value for one in maker.boss.call("BatchCreateGoods", serial_id=serial, sum=COMMON - 5).ids]
    return serial, ids


def _address(node: RunningNode, serial: int, goods_id: int) -> str:
    place = f"#c={node.ready['chain_id']}:{node.ready['contract']}"
    return f"{BASE}/01/{GTIN}/10/{serial}/21/{goods_id}{place}"


def _labels(node: RunningNode, person: Person, *args: str) -> subprocess.CompletedProcess[str]:
    login = ("--node", node.ready["grpc"], "--phone", person.phone, "--password", people.PASSWORD)
    return vtrace("labels", *args, *login)


def _ask(person: Person, **fields: Any) -> Any:
    with closing(Partner(person, "", lambda _: b"")) as partner:
        return partner.call("VTraceLabels", "ListLabels", wire.ListLabelsRequest(**fields))


def test_a_sheet_of_labels(served: RunningNode, maker: Maker, coded: tuple[int, list[int]], tmp_path: Path) -> None:
    serial, ids = coded
    out = tmp_path / "labels.pdf"
    out.write_text("older")
    done = _labels(served, maker.boss, "--serial", str(serial), "--only", f"{ids[3]}-{ids[8]}", "--out", str(out))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"labels: 6 of serial {serial}; the first leads to {BASE}/01/")
    assert "no phone" not in done.stderr
    assert os.listdir(tmp_path) == ["labels.pdf"]
    with pypdfium2.PdfDocument(out) as document:
        assert len(document) == 1
        read = zxingcpp.read_barcodes(document[0].render(scale=300 / 72).to_pil())
    assert {one.text for one in read} == {_address(served, serial, goods_id) for goods_id in ids[3:9]}


def test_a_whole_batch_to_stdout(served: RunningNode, maker: Maker, coded: tuple[int, list[int]]) -> None:
    serial, ids = coded
    done = _labels(served, maker.boss, "--serial", str(serial), "--format", "zpl")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"\^FDMA,(.*?)\^FS", done.stdout) == [_address(served, serial, goods_id) for goods_id in ids]
    one = _labels(served, maker.boss, "--serial", str(serial), "--format", "svg", "--only", str(ids[-1]))
    assert re.findall(r'<g id="goods-(\d+)"', one.stdout) == [str(ids[-1])]


def test_goods_without_a_gtin_have_the_address_of_their_page(served: RunningNode, maker: Maker) -> None:
    answer = _ask(maker.boss, serial_id=maker.serial_id)
    place = f"#c={served.ready['chain_id']}:{served.ready['contract']}"
    assert [one.address for one in answer.labels] == [f"{BASE}/t/{one.goods_id}{place}" for one in answer.labels]
    assert (answer.gtin, answer.class_name) == ("", "Yunnan Arabica, washed")
    assert answer.product_time.seconds == 1_760_000_000


def test_labels_are_listed_in_parts(maker: Maker, coded: tuple[int, list[int]]) -> None:
    serial, ids = coded
    answer = _ask(maker.boss, serial_id=serial, first=ids[2], limit=4)
    assert [one.goods_id for one in answer.labels] == ids[2:6]
    assert (answer.total, answer.gtin) == (COMMON - 2, GTIN)
    assert len(_ask(maker.boss, serial_id=serial).labels) == 20
    assert not _ask(maker.boss, serial_id=serial, first=ids[-1] + 1).labels


def test_what_the_rpc_refuses(served: RunningNode, maker: Maker) -> None:
    stranger = people.maker(served.client).boss
    for person, fields, status, said in [
        (maker.boss, {"serial_id": 0}, "INVALID_ARGUMENT", "serial_id: 0"),
        (maker.boss, {"serial_id": 999_999}, "NOT_FOUND", "serial_id 999999 is not known here"),
        (maker.boss, {"serial_id": maker.serial_id, "limit": 1_001}, "INVALID_ARGUMENT", "limit: 1001"),
        (maker.boss, {"serial_id": maker.serial_id, "first": -1}, "INVALID_ARGUMENT", "first: -1"),
        (stranger, {"serial_id": maker.serial_id}, "PERMISSION_DENIED", "belongs to another org"),
    ]:
        with pytest.raises(Refusal) as refused:
            _ask(person, **fields)
        assert (refused.value.status, said in refused.value.message) == (status, True), refused.value


def test_a_class_with_a_wrong_gtin_is_refused(maker: Maker) -> None:
    wrong = json.dumps({"gtin": "6901234567893"}).encode()
    with pytest.raises(Refusal) as refused:
        maker.boss.call("CreateGoodsClass", goods_name="Tea", goods_des=wrong)
    assert (refused.value.status, refused.value.fields) == ("INVALID_ARGUMENT", ["goods_des.gtin"])
    assert "its check digit is 3, not 2" in refused.value.message
    class_id = maker.boss.call("CreateGoodsClass", goods_name="Tea", goods_des=b"{}").class_id.value
    with pytest.raises(Refusal) as refused:
        maker.boss.call("UpdateClass", **{"class": {"ID": class_id, "des": wrong}})
    assert refused.value.fields == ["class.des.gtin"]
    right = json.dumps({"gtin": GTIN}).encode()
    assert maker.boss.call("UpdateClass", **{"class": {"ID": class_id, "des": right}}).ok


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--serial", "999999"), "serial_id 999999 is not known here"),
        (("--serial", "0"), "0 is not in the range"),
        (("--serial", "1", "--only", "0"), "--only 0: want an id or FIRST-LAST"),
        (("--serial", "1", "--only", "9-3"), "--only 9-3: want an id or FIRST-LAST"),
        (("--serial", "1", "--only", "1-2147483648"), "from 1 to 2147483647"),
        (("--serial", "1", "--only", "2147483647"), "has no goods among --only 2147483647"),
        (("--serial", "1", "--format", "doc"), "'doc' is not one of 'pdf', 'svg', 'zpl'"),
        (("--serial", "1", "--out", "/nowhere/at/all.pdf"), "there is no directory /nowhere/at"),
        (("--serial", "1", "--out", "/dev/null"), "--out /dev/null: is no file"),
    ],
)
def test_what_the_command_refuses(served: RunningNode, maker: Maker, args: tuple[str, ...], said: str) -> None:
    done = _labels(served, maker.boss, *args)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_name_that_the_font_does_not_have_is_told(served: RunningNode, maker: Maker, tmp_path: Path) -> None:
    made = maker.boss.call("CreateGoodsClass", goods_name="Dragon 🐉").class_id.value
    serial = maker.boss.call("CreateGoodsSerial", class_id=made, product_time=1_760_000_000).serial_id.value
    out = tmp_path / "labels"
    done = _labels(served, maker.boss, "--serial", str(serial), "--out", str(out))
    assert f"serial {serial} has no goods, so there is nothing to print" in done.stderr
    maker.boss.call("BatchCreateGoods", serial_id=serial, sum=1)
    done = _labels(served, maker.boss, "--serial", str(serial), "--out", str(out))
    assert (done.returncode, os.listdir(tmp_path)) == (1, [])
    assert "class: the labels' font has no '🐉' (U+1F409); --format svg leaves fonts" in done.stderr
    done = _labels(served, maker.boss, "--serial", str(serial), "--out", str(out), "--format", "svg")
    assert (done.returncode, "Dragon 🐉" in out.read_text()) == (0, True)


def test_too_many_labels_are_told_and_not_cut(
    served: RunningNode, maker: Maker, coded: tuple[int, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    serial, ids = coded
    seen: list[tuple[int, int]] = []
    with NodeClient(served.ready["grpc"]) as client:
        token = maker.boss.client.token
        assert token is not None
        for goods, most in ((range(1, 2**31), 3), (range(ids[0], ids[4]), 1_000), (range(ids[-2], 2**31), 9)):
            found = labels_client.list_labels(client, token, serial, goods, most, lambda *told: seen.append(told))
            assert [one for one, _ in found.labels] == [one for one in ids if one in goods][:most]
            assert (found.total > len(found.labels)) == (most == 3)
            assert seen[-1] == (len(found.labels), len(found.labels))
        monkeypatch.setattr(command, "LABELS_MAX", 3)
        found = labels_client.list_labels(client, token, serial, range(1, 2**31), 3, lambda *_: None)
    with pytest.raises(Exception, match=f"has {COMMON} goods to print, want at most 3 at once"):
        command._check(found, serial, "")


def test_a_node_that_lists_nonsense_is_not_followed() -> None:
    class Lying:
        def __init__(self, **fields: Any) -> None:
            self._answer = wire.ListLabelsResponse(total=9, **fields)

        def call(self, *_: Any) -> Any:
            return self._answer

    label, last = wire.Label(goods_id=3, address="x"), wire.Label(goods_id=2**31 - 1, address="x")
    for lying in (Lying(labels=[label]), Lying(labels=[label, label]), Lying(product_time={"seconds": 2**60})):
        with pytest.raises(NotUnderstood):
            labels_client.list_labels(lying, "", 1, range(1, 2**31), 100, lambda *_: None)  # type: ignore[arg-type]
    found = labels_client.list_labels(Lying(labels=[last]), "", 1, range(1, 2**31), 100, lambda *_: None)  # type: ignore[arg-type]
    assert found.labels == ((2**31 - 1, "x"),)


def test_a_kill_in_the_middle_leaves_the_older_file(tmp_path: Path) -> None:
    out = tmp_path / "labels.pdf"
    out.write_text("older")

    def pieces() -> Iterator[bytes]:
        yield b"new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        command._write_whole(pieces(), out)
    assert (out.read_text(), os.listdir(tmp_path)) == ("older", ["labels.pdf"])
    command._write_whole(iter([b"new"]), out)
    assert (out.read_text(), os.listdir(tmp_path)) == ("new", ["labels.pdf"])


def test_a_terminal_gets_no_labels_but_a_bar(
    served: RunningNode, maker: Maker, coded: tuple[int, list[int]], tmp_path: Path
) -> None:
    login = ["--node", served.ready["grpc"], "--phone", maker.boss.phone, "--password", people.PASSWORD]
    line = [sys.executable, "-m", "node.cli", "labels", "--serial", str(coded[0]), *login]
    master, slave = pty.openpty()
    try:
        done = subprocess.run(
            line, stdout=slave, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=60, check=False
        )
        assert (done.returncode, b"this is a terminal" in done.stderr) == (2, True)
        line += ["--format", "zpl", "--out", str(tmp_path / "x")]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
        done = subprocess.run(line, stderr=slave, stdin=subprocess.DEVNULL, timeout=60, check=False, env=environment)
        assert done.returncode == 0
        shown = os.read(master, 65_536).decode()
        assert "drawing labels" in shown
        assert "━" in shown
    finally:
        os.close(master)
        os.close(slave)


def test_codes_that_no_phone_can_follow_are_told(node: RunningNode, tmp_path: Path) -> None:
    maker = people.maker(node.client)
    maker.goods(1)
    done = _labels(node, maker.boss, "--serial", str(maker.serial_id), "--out", str(tmp_path / "x"))
    assert done.returncode == 0
    assert "serve the node with --public-url" in done.stderr
