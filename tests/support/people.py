"""Users, orgs and goods for tests, made over the wire as a partner would."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from tests.support.node import RunningNode, eventually, vtrace
from tests.support.wire_client import Refusal as Refusal
from tests.support.wire_client import WireClient

PASSWORD = "correct horse battery"
_numbers = itertools.count(1)
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CODE_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_CODE_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)


def from_number(first: int) -> None:
    """Number users from ``first`` on, in a data directory that another process has filled."""
    global _numbers
    _numbers = itertools.count(first)


def phone(number: int) -> str:
    return f"138{number:08d}"


def resident_id(number: int) -> str:
    """A valid number by the arithmetic of GB 11643, of nobody."""
    body = f"530102199001{1 + number % 28:02d}{number % 1000:03d}"
    total = sum(int(digit) * weight for digit, weight in zip(body, _ID_WEIGHTS, strict=True))
    return body + "10X98765432"[total % 11]


def org_code(number: int) -> str:
    """A valid code by the arithmetic of GB 32100, of nobody."""
    body = f"91530100MA{number:07d}"
    total = sum(_CODE_ALPHABET.index(c) * w for c, w in zip(body, _CODE_WEIGHTS, strict=True))
    return body + _CODE_ALPHABET[(31 - total % 31) % 31]


@dataclass
class Person:
    """A registered user with a client of its own."""

    username: str
    phone: str
    client: WireClient

    def call(self, rpc: str, /, **fields: Any) -> Any:
        return self.client.call(rpc, **fields)


def register(client: WireClient) -> Person:
    number = next(_numbers)
    answer = client.call("Register", phone=phone(number), nickname=f"user {number}", passwd=PASSWORD)
    return Person(answer.user.username.value, phone(number), client.with_token(answer.token.value))


def again(client: WireClient, person: Person) -> WireClient:
    """A client of the same user, logged in anew: at another node, after a restart, or since its tokens were revoked."""
    return client.with_token(client.call("Token", phone=person.phone, password=PASSWORD).token)


def transporter(client: WireClient) -> Person:
    person = register(client)
    person.call("IdentityAuth", realname="Zhang San", idcard=resident_id(next(_numbers)))
    return person


@dataclass
class Maker:
    """A boss with an org, a class and a serial."""

    boss: Person
    org_id: int
    class_id: int
    serial_id: int

    def goods(self, total: int) -> list[int]:
        answer = self.boss.call("BatchCreateGoods", serial_id=self.serial_id, sum=total)
        return [id_.value for id_ in answer.ids]


def maker(client: WireClient) -> Maker:
    boss = transporter(client)
    number = next(_numbers)
    org = boss.call(
        "OrgAuth",
        legal_name="Li Si",
        org_name=f"Cooperative {number}",
        code=org_code(number),
        legal_phone="0871-6512345",
    ).org
    made = boss.call("CreateGoodsClass", goods_name="Yunnan Arabica, washed", goods_des=b"{}", tm="Red Cherry")
    class_id = made.class_id.value
    serial_id = boss.call("CreateGoodsSerial", class_id=class_id, product_time=1_760_000_000).serial_id.value
    return Maker(boss, org.id.value, class_id, serial_id)


def examiner(node: RunningNode) -> Person:
    person = register(node.client)
    done = vtrace("admin", "grant", person.username, "examiner", "--data-dir", str(node.data_dir))
    assert done.returncode == 0, done.stderr
    return person


def history(client: WireClient, goods_id: int) -> list[Any]:
    return list(client.call("GetCirc", goods_id=goods_id).circ_records)


def settled(client: WireClient, goods_id: int) -> list[Any]:
    """The history once nothing of it is pending."""

    def look() -> list[Any]:
        records = history(client, goods_id)
        return records if all(record.status.value != "pending" for record in records) else []

    return list(eventually(look))
