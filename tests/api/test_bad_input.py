"""Bad input: each has its status and reason, names what is wrong, and changes nothing."""

from __future__ import annotations

import base64
import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support import people
from tests.support.node import RunningNode
from tests.support.people import Maker, Person
from tests.support.wire_client import Refusal

FORM_MAX = 65_536


@dataclass
class Cast:
    """Who the cases speak of: a maker with 3 goods, a carrier, somebody else's maker with 1 goods."""

    maker: Maker
    goods: list[int]
    carrier: Person
    other: Maker
    foreign: int
    normal: Person


@pytest.fixture(scope="module")
def cast(node: RunningNode) -> Cast:
    maker, other = people.maker(node.client), people.maker(node.client)
    goods, foreign = maker.goods(3), other.goods(1)[0]
    people.settled(node.client, foreign)
    return Cast(maker, goods, people.transporter(node.client), other, foreign, people.register(node.client))


def _state(node: RunningNode) -> list[Any]:
    """Every row of the index, but for how far transactions are."""
    with sqlite3.connect(f"file:{node.data_dir / 'index.sqlite3'}?mode=ro", uri=True) as index:
        tables = ("user", "org", "goods_class", "serial", "goods", "actor", "circ_goods")
        rows = [index.execute(f'SELECT * FROM "{table}"').fetchall() for table in tables]
        rows.append(index.execute("SELECT id, tx_hash FROM outbox").fetchall())
    index.close()
    return rows


def _refused(node: RunningNode, call: Callable[[], Any]) -> Refusal:
    before = _state(node)
    with pytest.raises(Refusal) as refused:
        call()
    assert _state(node) == before
    return refused.value


def _circ(goods_id: Callable[[Cast], int], **fields: Any) -> Callable[[Cast], Any]:
    return lambda cast: cast.maker.boss.call("CreateCirc", goods_id=goods_id(cast), **{"circ_type": 1, **fields})


def _batch(goods_ids: Callable[[Cast], list[int]], **fields: Any) -> Callable[[Cast], Any]:
    return lambda cast: cast.maker.boss.call("BatchCirc", goods_ids=goods_ids(cast), **{"circ_type": 1, **fields})


def _own(cast: Cast) -> int:
    return cast.goods[0]


def _class(**fields: Any) -> Callable[[Cast], Any]:
    return lambda cast: cast.maker.boss.call("CreateGoodsClass", **fields)


def _register(**fields: Any) -> Callable[[Cast], Any]:
    given = {"phone": "13700000001", "nickname": "n", "passwd": people.PASSWORD, **fields}
    return lambda cast: cast.normal.client.with_token(None).call("Register", **given)


def _deep(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


INVALID = ("INVALID_ARGUMENT", "INVALID_PARAMS", "circ.v1")
PARAMS = ("INVALID_ARGUMENT", "PARAMS_ERR", "iam.v1")
NOT_OWNER = ("FAILED_PRECONDITION", "NOT_OWNER", "circ.v1")
NO_GOODS = ("NOT_FOUND", "GOODS_NOT_FOUND", "goods.v1")
DENY = ("PERMISSION_DENIED", "PERMISSION_DENY", "goods.v1")
DENIED = ("PERMISSION_DENIED", "PERMISSION_DENIED", "vtrace.v1")
DUPLICATE = ("ALREADY_EXISTS", "ENTRY_DUPLICATE", "iam.v1")
NO_USER = ("NOT_FOUND", "USER_NOT_FOUND", "iam.v1")

CASES: dict[str, tuple[Callable[[Cast], Any], tuple[str, str, str], str | None]] = {
    "unknown goods": (_circ(lambda _: 2_000_000_000), NO_GOODS, None),
    "foreign goods": (_circ(lambda cast: cast.foreign), NOT_OWNER, None),
    "foreign goods among own": (_batch(lambda cast: [*cast.goods, cast.foreign]), NOT_OWNER, None),
    "unknown goods among own": (_batch(lambda cast: [*cast.goods, 2_000_000_000]), NO_GOODS, None),
    "foreign goods, produce": (_circ(lambda cast: cast.foreign, circ_type=0), NOT_OWNER, None),
    "transfer to nobody": (_circ(_own, circ_type=3), INVALID, "to"),
    "transfer to an unknown user": (_circ(_own, circ_type=3, to="u0000000000000000"), NO_USER, None),
    "transfer to oneself": (
        lambda cast: cast.maker.boss.call(
            "CreateCirc", goods_id=cast.goods[0], circ_type=3, to=cast.maker.boss.username
        ),
        INVALID,
        "to",
    ),
    "process to somebody": (
        lambda cast: cast.maker.boss.call("CreateCirc", goods_id=cast.goods[0], circ_type=1, to=cast.carrier.username),
        INVALID,
        "to",
    ),
    "wrong from": (
        lambda cast: cast.maker.boss.call(
            "CreateCirc", goods_id=cast.goods[0], circ_type=1, **{"from": cast.carrier.username}
        ),
        INVALID,
        "from",
    ),
    "wrong batch operator": (
        lambda cast: cast.maker.boss.call(
            "BatchCirc", goods_ids=cast.goods, circ_type=1, operator=cast.carrier.username
        ),
        INVALID,
        "operator",
    ),
    "goods twice in a batch": (_batch(lambda cast: [*cast.goods, cast.goods[0]]), INVALID, "goods_ids"),
    "no goods in a batch": (_batch(lambda _: []), INVALID, "goods_ids"),
    "10,001 goods in a batch": (_batch(lambda _: list(range(1, 10_002))), INVALID, "goods_ids"),
    "goods id 0": (_circ(lambda _: 0), INVALID, "goods_id"),
    "negative goods id": (_circ(lambda _: -1), INVALID, "goods_id"),
    "negative goods id in a batch": (_batch(lambda _: [-5]), INVALID, "goods_ids"),
    "unknown kind": (_circ(_own, circ_type=2), INVALID, "circ_type"),
    "history of goods 0": (lambda cast: cast.maker.boss.call("GetCirc", goods_id=0), INVALID, "goods_id"),
    "history of unknown goods": (lambda cast: cast.maker.boss.call("GetCirc", goods_id=1_999_999_999), NO_GOODS, None),
    "sum 0": (lambda cast: cast.maker.goods(0), INVALID, "sum"),
    "negative sum": (lambda cast: cast.maker.goods(-3), INVALID, "sum"),
    "sum over the limit": (lambda cast: cast.maker.goods(10_001), INVALID, "sum"),
    "goods of a foreign serial": (
        lambda cast: cast.maker.boss.call("BatchCreateGoods", serial_id=cast.other.serial_id, sum=1),
        DENY,
        None,
    ),
    "goods of an unknown serial": (
        lambda cast: cast.maker.boss.call("BatchCreateGoods", serial_id=1_000_000, sum=1),
        ("NOT_FOUND", "GOODS_SERIAL_NOT_FOUND", "goods.v1"),
        None,
    ),
    "serial of a foreign class": (
        lambda cast: cast.maker.boss.call("CreateGoodsSerial", class_id=cast.other.class_id),
        DENY,
        None,
    ),
    "serial of an unknown class": (
        lambda cast: cast.maker.boss.call("CreateGoodsSerial", class_id=1_000_000),
        ("NOT_FOUND", "GOODS_CLASS_NOT_FOUND", "goods.v1"),
        None,
    ),
    "production in a thousand years": (
        lambda cast: cast.maker.boss.call(
            "CreateGoodsSerial", class_id=cast.maker.class_id, product_time=33_000_000_000
        ),
        INVALID,
        "product_time",
    ),
    "foreign class": (
        lambda cast: cast.maker.boss.call("UpdateClass", **{"class": {"ID": cast.other.class_id, "state": "x"}}),
        DENY,
        None,
    ),
    "limit over 1,000": (lambda cast: cast.maker.boss.call("ListGoods", limit=1_001), INVALID, "limit"),
    "negative limit": (lambda cast: cast.maker.boss.call("ListClass", limit=-1), INVALID, "limit"),
    "negative offset": (lambda cast: cast.maker.boss.call("ListGoodsSerial", offset=-1), INVALID, "offset"),
    "limit over 1,000 of members": (
        lambda cast: cast.maker.boss.call("ListOrgMember", org_id=cast.maker.org_id, limit=1_001),
        PARAMS,
        "limit",
    ),
    "members of a foreign org": (
        lambda cast: cast.maker.boss.call("ListOrgMember", org_id=cast.other.org_id),
        DENIED,
        None,
    ),
    "unknown org": (
        lambda cast: cast.maker.boss.call("ListOrgMember", org_id=1_000_000),
        ("NOT_FOUND", "ORG_NOT_EXIST", "iam.v1"),
        None,
    ),
    "a member who is somewhere else": (
        lambda cast: cast.maker.boss.call("Member", org_id=cast.maker.org_id, username=cast.other.boss.username),
        DUPLICATE,
        None,
    ),
    "a member nobody knows": (
        lambda cast: cast.maker.boss.call("Member", org_id=cast.maker.org_id, username="nobody"),
        NO_USER,
        None,
    ),
    "phone too short": (_register(phone="1380013800"), PARAMS, "phone"),
    "phone of letters": (_register(phone="1380013800a"), PARAMS, "phone"),
    "phone of no network": (_register(phone="12800138000"), PARAMS, "phone"),
    "duplicate phone": (
        lambda cast: cast.normal.call("Register", phone=cast.normal.phone, nickname="n", passwd=people.PASSWORD),
        DUPLICATE,
        None,
    ),
    "password too short": (_register(passwd="1234567"), PARAMS, "passwd"),
    "password too long": (_register(passwd="x" * 129), PARAMS, "passwd"),
    "empty nickname": (_register(nickname=""), PARAMS, "nickname"),
    "nickname of blanks": (_register(nickname="  "), PARAMS, "nickname"),
    "nickname of 10,000 characters": (_register(nickname="x" * 10_000), PARAMS, "nickname"),
    "nickname with a control character": (_register(nickname="a\x00b"), PARAMS, "nickname"),
    "nickname with a direction override": (_register(nickname="a\u202eb"), PARAMS, "nickname"),
    "wrong password": (
        lambda cast: cast.normal.call("Token", phone=cast.normal.phone, password="wrong password"),
        ("UNAUTHENTICATED", "PASSWD_ERR", "iam.v1"),
        None,
    ),
    "unknown phone": (
        lambda cast: cast.normal.call("Token", phone="19900000000", password=people.PASSWORD),
        ("UNAUTHENTICATED", "PASSWD_ERR", "iam.v1"),
        None,
    ),
    "resident id with a wrong check digit": (
        lambda cast: cast.normal.call("IdentityAuth", realname="A", idcard="530102199001010002"),
        PARAMS,
        "idcard",
    ),
    "resident id of 15 digits": (
        lambda cast: cast.normal.call("IdentityAuth", realname="A", idcard="530102900101000"),
        PARAMS,
        "idcard",
    ),
    "identity of somebody else": (
        lambda cast: cast.normal.call(
            "IdentityAuth",
            realname="A",
            idcard=people.resident_id(9),
            username=cast.carrier.username,
        ),
        DENIED,
        None,
    ),
    "org code with a wrong check character": (
        lambda cast: cast.carrier.call(
            "OrgAuth",
            legal_name="A",
            org_name="B",
            code=people.org_code(77)[:-1] + ("0" if people.org_code(77)[-1] != "0" else "1"),
            legal_phone="13800138000",
        ),
        PARAMS,
        "code",
    ),
    "org without a name": (
        lambda cast: cast.carrier.call("OrgAuth", legal_name="A", code=people.org_code(78), legal_phone="13800138000"),
        PARAMS,
        "org_name",
    ),
    "a second org": (
        lambda cast: cast.maker.boss.call(
            "OrgAuth", legal_name="A", org_name="B", code=people.org_code(79), legal_phone="13800138000"
        ),
        DUPLICATE,
        None,
    ),
    "an org by somebody unverified": (
        lambda cast: cast.normal.call(
            "OrgAuth", legal_name="A", org_name="B", code=people.org_code(80), legal_phone="13800138000"
        ),
        DENIED,
        None,
    ),
    "empty class name": (_class(goods_name=""), INVALID, "goods_name"),
    "class name of 10,000 characters": (_class(goods_name="x" * 10_000), INVALID, "goods_name"),
    "class name with a line break": (_class(goods_name="a\nb"), INVALID, "goods_name"),
    "class description too long": (_class(goods_name="a", goods_des=b"x" * 16_385), INVALID, "goods_des"),
    "class description that is not UTF-8": (_class(goods_name="a", goods_des=b"\xff"), INVALID, "goods_des"),
    "negative material": (_class(goods_name="a", material_id=-1), INVALID, "material_id"),
    "a material that is not known": (
        _class(goods_name="a", material_id=999_999),
        ("NOT_FOUND", "MATERIAL_NOT_FOUND", "algo.v1"),
        None,
    ),
    "form over 64 KiB": (_circ(_own, form_value=b'{"a":"' + b"x" * FORM_MAX + b'"}'), INVALID, "form_value"),
    "form that is no object": (_circ(_own, form_value=b"[1]"), INVALID, "form_value"),
    "form that is no JSON": (_circ(_own, form_value=b"{"), INVALID, "form_value"),
    "form that is not UTF-8": (_circ(_own, form_value=b'{"a":"\xff"}'), INVALID, "form_value"),
    "form with NaN": (_circ(_own, form_value=b'{"a":NaN}'), INVALID, "form_value"),
    "form too deep to read": (_circ(_own, form_value=_deep(10_000)), INVALID, "form_value"),
    "batch form that is no object": (_batch(lambda c: c.goods, form_info=b"1"), INVALID, "form_info"),
    "class by a carrier": (lambda cast: cast.carrier.call("CreateGoodsClass", goods_name="a"), DENIED, None),
    "circ by somebody unverified": (
        lambda cast: cast.normal.call("CreateCirc", goods_id=cast.goods[0], circ_type=1),
        DENIED,
        None,
    ),
    "produce by a carrier": (
        lambda cast: cast.carrier.call("CreateCirc", goods_id=cast.goods[0], circ_type=0),
        DENIED,
        None,
    ),
    "deleting somebody else": (
        lambda cast: cast.carrier.call("DeleteUser", username=cast.normal.username),
        DENIED,
        None,
    ),
    "changing somebody else": (
        lambda cast: cast.carrier.call("UpdateUser", user={"username": cast.normal.username, "nickname": "changed"}),
        DENIED,
        None,
    ),
    "giving oneself a role": (
        lambda cast: cast.carrier.call("UpdateUser", user={"role": "admin"}),
        DENIED,
        None,
    ),
    "models for a producer": (lambda cast: cast.maker.boss.call("ListModels"), DENIED, None),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_refused_and_changes_nothing(node: RunningNode, cast: Cast, name: str) -> None:
    call, expected, field = CASES[name]
    refusal = _refused(node, lambda: call(cast))
    assert (refusal.status, refusal.reason, refusal.domain) == expected, refusal
    assert refusal.message
    if field is not None:
        assert refusal.fields == [field]
        assert refusal.message.startswith(f"{field}: ")


def test_a_message_over_4_mib_is_refused(node: RunningNode, cast: Cast) -> None:
    form = b'{"a":"' + b"x" * 4 * 1024 * 1024 + b'"}'
    refusal = _refused(node, lambda: _circ(_own, form_value=form)(cast))
    assert refusal.status == "RESOURCE_EXHAUSTED"


def _claims(person: Person) -> dict[str, Any]:
    assert person.client.token is not None
    claims: dict[str, Any] = jwt.decode(person.client.token, options={"verify_signature": False})
    return claims


def _unsigned(person: Person) -> str:
    parts = [{"alg": "none", "typ": "JWT"}, _claims(person)]
    return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts) + "."


def _hmac_of_public_parts(person: Person) -> str:
    return jwt.encode(_claims(person), "0" * 64, algorithm="HS256")


def _other_key(person: Person) -> str:
    return jwt.encode(_claims(person), Ed25519PrivateKey.generate(), algorithm="EdDSA")


def _altered(person: Person) -> str:
    assert person.client.token is not None
    head, _, signature = person.client.token.split(".")
    claims = {**_claims(person), "sub": "1"}
    return f"{head}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.{signature}"


@pytest.mark.parametrize(
    "forge",
    [_unsigned, _hmac_of_public_parts, _other_key, _altered, lambda _: "", lambda _: "x" * 5_000, lambda _: "a.b.c"],
)
def test_a_forged_token_is_refused(node: RunningNode, cast: Cast, forge: Callable[[Person], str]) -> None:
    client = cast.carrier.client.with_token(forge(cast.carrier))
    refusal = _refused(node, lambda: client.call("Profile"))
    assert (refusal.status, refusal.reason, refusal.domain) == ("UNAUTHENTICATED", "TOKEN_EXPIRED", "iam.v1")


def test_a_missing_token_is_refused(node: RunningNode, cast: Cast) -> None:
    client = cast.carrier.client.with_token(None)
    for rpc in ("Profile", "CreateCirc", "ListGoods", "Upload", "Predict"):
        refusal = _refused(node, lambda rpc=rpc: client.call(rpc))  # type: ignore[misc]
        assert (refusal.status, refusal.reason) == ("UNAUTHENTICATED", "TOKEN_EXPIRED")


def test_tokens_die_with_the_user(node: RunningNode) -> None:
    person = people.register(node.client)
    person.call("DeleteUser")
    for call in (
        lambda: person.call("Profile"),
        lambda: person.call("RefreshToken"),
        lambda: node.client.call("Token", phone=person.phone, password=people.PASSWORD),
    ):
        assert _refused(node, call).status == "UNAUTHENTICATED"


def test_tokens_die_with_the_password(node: RunningNode) -> None:
    person = people.register(node.client)
    refusal = _refused(node, lambda: person.call("Profile") and _change_password(person, "wrong", "another good one"))
    assert refusal.reason == "PASSWD_ERR"
    time_before = int(time.time())
    _change_password(person, people.PASSWORD, "another good one")
    assert _refused(node, lambda: person.call("Profile")).reason == "TOKEN_EXPIRED"
    assert (
        _refused(node, lambda: node.client.call("Token", phone=person.phone, password=people.PASSWORD)).reason
        == "PASSWD_ERR"
    )
    token = node.client.call("Token", phone=person.phone, password="another good one").token
    claims = jwt.decode(token, options={"verify_signature": False})
    assert time_before + 3_600 <= claims["exp"] <= int(time.time()) + 3_600


def _change_password(person: Person, current: str, new: str) -> Any:
    """By the added fields 100 and 101 of UpdateUserRequest, which the wire table does not know."""
    from google.protobuf.wrappers_pb2 import StringValue

    from node.wire.vtrace.v1 import service_pb2 as wire

    request = wire.UpdateUserRequest(password=StringValue(value=new), current_password=StringValue(value=current))
    return person.client.send("UpdateUser", request)
