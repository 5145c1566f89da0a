"""Who calls, and what there is to name: users of every role, an org, goods with circs, a file."""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tests.support import people
from tests.support.node import RunningNode, vtrace
from tests.support.people import Person
from tests.support.wire_client import SCHEMA, Refusal

EXPENDABLE = 12
GTIN = "06901234567892"


@dataclass(frozen=True)
class Cast:
    """``tokens`` by role ("nobody" has none); ``expendable`` are users that calls may delete: username, token."""

    grpc: str
    http: str
    tokens: dict[str, str]
    expendable: tuple[tuple[str, str], ...]
    usernames: tuple[str, ...]
    phones: tuple[str, ...]
    org_ids: tuple[int, ...]
    class_ids: tuple[int, ...]
    serial_ids: tuple[int, ...]
    goods_ids: tuple[int, ...]
    cid: str
    contract: str


def gathered(node: RunningNode) -> Cast:
    """Everybody and everything, made over the wire."""
    normal, carrier = people.register(node.client), people.transporter(node.client)
    maker, other = people.maker(node.client), people.maker(node.client)
    producer = people.transporter(node.client)
    maker.boss.call("Member", org_id=maker.org_id, username=producer.username)
    described = f'{{"gtin":"{GTIN}","taste":"nutty"}}'.encode()
    coded = maker.boss.call("CreateGoodsClass", goods_name="Honey", goods_des=described).class_id.value
    coded_serial = maker.boss.call("CreateGoodsSerial", class_id=coded, product_time=1_760_000_000).serial_id.value
    made = maker.boss.call("BatchCreateGoods", serial_id=coded_serial, sum=6)
    goods = [*maker.goods(12), *(one.value for one in made.ids)]
    foreign = other.goods(3)
    held = producer.call("BatchCreateGoods", serial_id=maker.serial_id, sum=4)
    goods += [one.value for one in held.ids]
    examiner, admin = people.examiner(node), people.register(node.client)
    done = vtrace("admin", "grant", admin.username, "admin", "--data-dir", str(node.data_dir))
    assert done.returncode == 0, done.stderr
    url = normal.client.send("Upload", [_piece(b"a note")]).url
    expendable = [people.register(node.client) for _ in range(EXPENDABLE)]
    everybody: dict[str, Person] = {
        "normal": normal,
        "transporter": carrier,
        "producer": producer,
        "boss": maker.boss,
        "examiner": examiner,
        "admin": admin,
    }
    gone = people.register(node.client)
    gone.call("DeleteUser")
    # What runs models is loaded at the first question, and would pass for a leak.
    examiner.call("ListModels")
    with suppress(Refusal):
        examiner.call("Predict", model_name="wine-cultivar", data=b"{}")
    for goods_id in (goods[0], foreign[0]):
        people.settled(node.client, goods_id)
    return Cast(
        grpc=node.ready["grpc"],
        http=node.ready["http"],
        tokens={"nobody": "", "deleted": _token(gone), **{role: _token(one) for role, one in everybody.items()}},
        expendable=tuple((one.username, _token(one)) for one in expendable),
        usernames=tuple(one.username for one in (*everybody.values(), other.boss, gone)),
        phones=tuple(one.phone for one in (normal, gone)),
        org_ids=(maker.org_id, other.org_id),
        class_ids=(maker.class_id, other.class_id, coded),
        serial_ids=(maker.serial_id, other.serial_id, coded_serial),
        goods_ids=tuple(itertools.chain(goods, foreign)),
        cid=str(url).rpartition("/")[2],
        contract=node.ready["contract"],
    )


def _piece(content: bytes) -> Any:
    return SCHEMA.message("vtrace.v1.UploadRequest")(content=content)


def _token(person: Person) -> str:
    assert person.client.token is not None
    return person.client.token
