"""Each rpc once as it should go, and who may call it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from node.domain.access import ACCESS
from node.domain.roles import INHERITED, Role
from node.wire.vtrace.v1 import service_pb2 as wire
from tests.support import people
from tests.support.node import RunningNode, vtrace
from tests.support.own_key import CUSTODY_RPCS, Partner
from tests.support.people import Maker, Person
from tests.support.watching import WATCH_RPCS, WatchClient
from tests.support.wire_client import ADDED_RPCS, SCHEMA, Refusal


def _admin(node: RunningNode) -> Person:
    person = people.register(node.client)
    done = vtrace("admin", "grant", person.username, "admin", "--data-dir", str(node.data_dir))
    assert done.returncode == 0, done.stderr
    return person


def test_a_user_changes_itself(node: RunningNode) -> None:
    person = people.register(node.client)
    changed = person.call(
        "UpdateUser", user={"nickname": "杨梅", "email": "mei@example.com", "avatar": "https://example.com/a.png"}
    ).user
    assert (changed.nickname.value, changed.email.value, changed.avatar) == (
        "杨梅",
        "mei@example.com",
        "https://example.com/a.png",
    )
    kept = person.call("UpdateUser", user={"username": person.username, "nickname": "Mei"}).user
    assert (kept.nickname.value, kept.email.value) == ("Mei", "mei@example.com")
    profile = person.call("Profile").user
    assert profile == kept
    assert profile.phone.value == person.phone
    assert profile.create_at.seconds > 1_700_000_000


def test_a_token_is_refreshed(node: RunningNode) -> None:
    person = people.register(node.client)
    token = person.call("RefreshToken").token
    assert person.client.with_token(token).call("Profile").user.username.value == person.username


def test_an_admin_changes_and_deletes_anyone(node: RunningNode) -> None:
    admin, person = _admin(node), people.register(node.client)
    answer = admin.call("UpdateUser", user={"username": person.username, "role": "examiner", "nickname": "Q"}).user
    assert (answer.role.value, answer.nickname.value) == ("examiner", "Q")
    assert person.phone not in str(answer)
    with pytest.raises(Refusal) as refused:
        admin.call("UpdateUser", user={"username": person.username, "role": "emperor"})
    assert (refused.value.status, refused.value.reason) == ("INVALID_ARGUMENT", "ROLE_NOT_EXIST")
    admin.call("DeleteUser", username=person.username)
    with pytest.raises(Refusal) as refused:
        person.call("Profile")
    assert refused.value.status == "UNAUTHENTICATED"
    again = node.client.call("Register", phone=person.phone, nickname="again", passwd=people.PASSWORD).user
    assert again.username.value != person.username


def test_an_org_and_its_members(node: RunningNode) -> None:
    maker, member = people.maker(node.client), people.transporter(node.client)
    boss, org_id = maker.boss, maker.org_id
    boss.call("Member", org_id=org_id, username=member.username)
    listed = boss.call("ListOrgMember", org_id=org_id).users
    assert [user.username.value for user in listed] == [boss.username, member.username]
    assert listed[0].phone.value == boss.phone
    assert listed[1].phone.value == f"{member.phone[:3]}****{member.phone[-4:]}"
    assert not listed[1].HasField("realname")
    assert not listed[1].HasField("idcard")
    (second,) = boss.call("ListOrgMember", org_id=org_id, offset=1, limit=1).users
    assert second.username.value == member.username
    assert member.call("GetOrgUser").org.id.value == org_id
    stranger = people.register(node.client).call("GetOrgUser", username=member.username).org
    assert stranger.legal_person_phone.value == "087*****2345"
    assert "0871-6512345" not in str(stranger)
    changed = boss.call(
        "UpdateOrg", org={"id": org_id, "org_name": "Better Cooperative", "org_info": b"since 1987"}
    ).org
    assert (changed.org_name.value, changed.org_info.value) == ("Better Cooperative", b"since 1987")
    member.call("ListGoods")
    assert boss.call("OrgRemoveMember", org_id=org_id, username=member.username).ok
    with pytest.raises(Refusal) as refused:
        member.call("Profile")
    assert (refused.value.status, refused.value.reason) == ("UNAUTHENTICATED", "TOKEN_EXPIRED")
    again = people.again(node.client, member)
    assert again.call("Profile").user.role.value == "transporter"
    with pytest.raises(Refusal) as refused:
        again.call("GetOrgUser")
    assert (refused.value.status, refused.value.reason) == ("NOT_FOUND", "ORG_NOT_EXIST")


def test_products_are_listed_changed_and_read(node: RunningNode) -> None:
    maker = people.maker(node.client)
    boss = maker.boss
    other_class = boss.call("CreateGoodsClass", goods_name="Green tea", goods_des="绿茶".encode()).class_id.value
    classes = boss.call("ListClass").goods_classes
    assert [one.ID.value for one in classes] == [maker.class_id, other_class]
    assert classes[1].des.value.decode() == "绿茶"
    change = {"ID": other_class, "name": "White tea", "tm": "Moon", "material_id": 0}
    assert boss.call("UpdateClass", **{"class": change}).ok
    (changed,) = boss.call("ListClass", offset=1, limit=1).goods_classes
    assert (changed.name.value, changed.tm.value, changed.des.value.decode()) == ("White tea", "Moon", "绿茶")

    assert boss.call("UpdateGoodsSerial", serial={"ID": maker.serial_id, "timestamp": 1_750_000_000}).ok
    goods = maker.goods(3)
    with pytest.raises(Refusal) as refused:
        boss.call("UpdateGoodsSerial", serial={"ID": maker.serial_id, "timestamp": 1_740_000_000})
    assert refused.value.reason == "PERMISSION_DENY"
    assert boss.call("UpdateGoodsSerial", serial={"ID": maker.serial_id, "state": "closed"}).ok
    (serial,) = boss.call("ListGoodsSerial").serial
    assert (serial.timestamp.seconds, serial.state.value) == (1_750_000_000, "closed")
    assert boss.call("GetGoodsSerial", serial_id=maker.serial_id).serial == serial

    assert boss.call("UpdateGoods", goods={"ID": goods[1], "state": "recalled"}).ok
    listed = boss.call("ListGoods", offset=1, limit=1).goods
    assert [(one.ID.value, one.state.value) for one in listed] == [(goods[1], "recalled")]
    assert node.client.call("GetGoods", goods_id=goods[1]).good == listed[0]
    assert getattr(boss.call("GetClass", goods_id=goods[0]), "class").ID.value == maker.class_id


def test_goods_pass_from_hand_to_hand(node: RunningNode) -> None:
    maker, carrier, buyer = people.maker(node.client), people.transporter(node.client), people.register(node.client)
    (goods_id,) = maker.goods(1)
    maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=0, form_value=b'{"label":"second"}')
    maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=3, to=carrier.username)
    with pytest.raises(Refusal) as refused:
        maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
    assert (refused.value.status, refused.value.reason) == ("FAILED_PRECONDITION", "NOT_OWNER")
    carrier.call("CreateCirc", goods_id=goods_id, circ_type=3, to=buyer.username, **{"from": carrier.username})
    records = people.settled(node.client, goods_id)
    assert [(r.circ_type, r.to.value, r.status.value) for r in records[2:]] == [
        (3, carrier.username, "success"),
        (3, buyer.username, "success"),
    ]


@dataclass
class Callers:
    """One user of each role."""

    by_role: dict[Role, Person]
    maker: Maker


@pytest.fixture(scope="module")
def callers(node: RunningNode) -> Callers:
    maker = people.maker(node.client)
    producer = people.transporter(node.client)
    maker.boss.call("Member", org_id=maker.org_id, username=producer.username)
    by_role = {
        Role.NORMAL: people.register(node.client),
        Role.TRANSPORTER: people.transporter(node.client),
        Role.PRODUCER: producer,
        Role.BOSS: maker.boss,
        Role.EXAMINER: people.examiner(node),
        Role.ADMIN: _admin(node),
    }
    return Callers(by_role, maker)


ADDED_SERVICES = dict.fromkeys(CUSTODY_RPCS, "VTraceCustody") | {
    "ListLabels": "VTraceLabels",
    "ListScanAlerts": "VTraceScans",
}
"""rpc → its service, of those that are not in the contract."""

HARMLESS: dict[str, Callable[[Callers], dict[str, Any]]] = {
    # A call that would change the caller is made to fail behind the table, for another reason.
    "DeleteUser": lambda _: {"username": "nobody"},
}


@pytest.mark.parametrize("rpc", sorted(ACCESS))
def test_each_rpc_is_open_to_its_roles_and_no_others(callers: Callers, rpc: str) -> None:
    assert set(ACCESS) == {*SCHEMA.rpcs, *ADDED_RPCS, *ADDED_SERVICES, *WATCH_RPCS}
    fields = HARMLESS.get(rpc, lambda _: {})(callers)
    for role, person in callers.by_role.items():
        may = ACCESS[rpc].open_to_anyone or bool(INHERITED[role] & set(ACCESS[rpc].roles))
        refusal = _refusal_of(person, rpc, fields)
        refused_by_role = refusal is not None and refusal.message.startswith(f"{rpc} needs")
        assert refused_by_role == (not may), f"{role}: {refusal}"
        assert not refused_by_role or refusal.status == "PERMISSION_DENIED"


def _refusal_of(person: Person, rpc: str, fields: dict[str, Any]) -> Any:
    try:
        if rpc in WATCH_RPCS:
            with closing(WatchClient(person.client)) as watcher:
                watcher.first(rpc)
        elif rpc in ADDED_SERVICES:
            with closing(Partner(person, "", lambda _: b"")) as partner:
                partner.call(ADDED_SERVICES[rpc], rpc, getattr(wire, f"{rpc}Request")())
        else:
            person.call(rpc, **fields)
    except Refusal as refusal:
        return refusal
    return None
