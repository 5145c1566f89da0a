"""Goods with a story, on a node over Anvil, where a test decides what is mined."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from node.chain import signer
from node.chain.transport import HttpRpc
from tests.api.test_files import message, upload
from tests.chain.servers import anvil, fund
from tests.support import people
from tests.support.node import RunningNode, eventually, running, vtrace
from tests.support.people import Person

DESCRIPTION = {"species": "Coffea arabica", "variety": "Catimor P3", "altitude_m": 1450, "region": "高黎贡山"}
PRODUCE, PROCESS, TRANSFER, EXAM = 0, 1, 3, 4


@dataclass
class World:
    """A node, its chain, and the people of the story. ``plain`` goods are all good news, ``recalled`` ones are not."""

    node: RunningNode
    rpc: HttpRpc
    url: str
    coop: Person
    carrier: Person
    roaster: Person
    examiner: Person
    plain: int
    recalled: int
    spare: list[int]
    picture: str
    report: str

    def address(self, goods_id: int) -> str:
        return f"http://{self.node.ready['http']}/t/{goods_id}"

    def circ(self, by: Person, circ_type: int, goods_id: int, form: dict[str, Any], to: Person | None = None) -> str:
        raw = json.dumps(form, ensure_ascii=False).encode()
        answer = by.call(
            "CreateCirc",
            goods_id=goods_id,
            circ_type=circ_type,
            form_value=raw,
            to=to.username if to else "",
        )
        return str(answer.trans_id.value)

    def mine(self, blocks: int = 1) -> None:
        self.rpc.batch([("anvil_mine", [hex(blocks)])])

    def automine(self, on: bool) -> None:
        self.rpc.batch([("evm_setAutomine", [on])])

    def settle(self, goods_id: int) -> None:
        """Mine until nothing of the goods is pending."""

        def look() -> bool:
            self.mine()
            return all(record.status.value != "pending" for record in people.history(self.node.client, goods_id))

        eventually(look)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Two confirmations: the newest circ of all stays pending until a test mines."""
    with anvil() as url:
        rpc = HttpRpc(url)
        key = signer.new_key()
        fund(rpc, signer.address_of(key))
        path = folder / "signer.key"
        path.write_text(key.hex())
        path.chmod(0o600)
        args = ("--chain", url, "--public-rpc", url, "--confirmations", "2", "--signer-key", str(path))
        with running(folder / "data", *args) as node:
            yield _told(node, rpc, url)
        rpc.close()


def named(node: RunningNode, nickname: str) -> Person:
    number = next(people._numbers)
    answer = node.client.call("Register", phone=people.phone(number), nickname=nickname, passwd=people.PASSWORD)
    person = Person(answer.user.username.value, people.phone(number), node.client.with_token(answer.token.value))
    person.call("IdentityAuth", realname="Zhang San", idcard=people.resident_id(next(people._numbers)))
    return person


def _told(node: RunningNode, rpc: HttpRpc, url: str) -> World:
    coop = named(node, "高黎贡合作社 Gaoligong Coop")
    coop.call(
        "OrgAuth",
        legal_name="Yang Mei",
        org_name="高黎贡山咖啡合作社",
        code=people.org_code(next(people._numbers)),
        legal_phone="0875-2123456",
    )
    made = coop.call(
        "CreateGoodsClass",
        goods_name="云南小粒咖啡 Yunnan Catimor, washed",
        goods_des=json.dumps(DESCRIPTION, ensure_ascii=False).encode(),
        tm="红果 Red Cherry",
    )
    serial = coop.call("CreateGoodsSerial", class_id=made.class_id.value, product_time=1_760_000_000)
    ids = [one.value for one in coop.call("BatchCreateGoods", serial_id=serial.serial_id.value, sum=12).ids]
    carrier, roaster, examiner = named(node, "Ruili Express"), named(node, "灯塔烘焙 Lighthouse"), named(node, "陈岚")
    done = vtrace("admin", "grant", examiner.username, "examiner", "--data-dir", str(node.data_dir))
    assert done.returncode == 0, done.stderr
    examiner = replace(examiner, client=people.again(node.client, examiner))
    picture = upload(coop.client, message(a_picture(), filename="raised beds.png"))
    report = upload(examiner.client, message(b"%PDF-1.4\n% cupping\n", filename="cupping report.pdf"))
    it = World(node, rpc, url, coop, carrier, roaster, examiner, ids[0], ids[1], ids[2:], picture, report)
    for goods_id in ids[:2]:
        _record(it, goods_id)
    _recall(it, ids[1])
    for goods_id in ids[:2]:
        it.settle(goods_id)
    return it


def _record(it: World, goods_id: int) -> None:
    drying = {"step": "drying", "method": "raised beds, shade net", "days": 17, "moisture_percent": 11.2}
    it.circ(it.coop, PROCESS, goods_id, {**drying, "altitude_m": 1450, "photo": it.picture})
    cupping = {
        "result": "pass",
        "cup_score": 85.75,
        "protocol": "SCA cupping, 5 cups",
        "scores": {"aroma": 7.75, "flavour": 7.75, "acidity": 7.75, "sweetness": 10},
        "notes": "brown sugar, tamarind, black tea",
        "report": it.report,
    }
    it.circ(it.examiner, EXAM, goods_id, cupping)
    it.circ(it.coop, TRANSFER, goods_id, {"delivery_note": "GLG-2026-0117", "truck": "云M·C4821"}, it.carrier)
    it.circ(it.carrier, TRANSFER, goods_id, {"container": "TCLU4825163", "seal": "CN7741902"}, it.roaster)
    it.circ(it.roaster, PROCESS, goods_id, {"step": "roast", "profile": "filter, medium light", "drop_c": 208})


def _recall(it: World, goods_id: int) -> None:
    it.circ(it.examiner, EXAM, goods_id, {"result": "fail", "sample": "S-118", "ochratoxin_a_ug_kg": 9.1})
    reason = "赭曲霉毒素 A 超标 / ochratoxin A above the limit of 5 µg/kg"
    it.circ(it.roaster, PROCESS, goods_id, {"recall": reason, "phone": "400-820-0000"})


def a_picture(width: int = 480, height: int = 320) -> bytes:
    """A PNG of more than one chunk: red cherries on a bed, stored without compression."""
    rows = []
    for y in range(height):
        row = bytearray([0])
        for x in range(width):
            dx, dy = (x % 48) - 24, ((y + 24 * (x // 48 % 2)) % 48) - 24
            far = dx * dx + dy * dy
            row += bytes((190 - far // 8, 40 + far // 12, 40)) if far < 440 else bytes((212, 190 - y // 6, 150))
        rows.append(bytes(row))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows), 0)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body
