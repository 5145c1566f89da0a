"""The metadata idempotency-key over the wire: every rpc that makes something, kills, and callers who gave up."""

from __future__ import annotations

import random
import sqlite3
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from node.api import circs, files, models, orgs, products, users, watch
from node.api.call import key_in
from node.errors import VTraceError
from tests.support import people
from tests.support.node import RunningNode, eventually, running
from tests.support.people import Maker, Person
from tests.support.wire_client import SCHEMA, Refusal, WireClient

THREADS = 8
KILLS = 2
CALLS_BEFORE_KILL = 8

Prepared = tuple[WireClient, dict[str, Any], dict[str, Any]]
"""Who calls, with which fields, and which other fields would do as well."""
Prepare = Callable[[RunningNode], Prepared]


def new_key() -> str:
    return str(uuid.uuid4())


def _register(node: RunningNode) -> Prepared:
    number = next(people._numbers)
    fields = {"phone": people.phone(number), "nickname": "once", "passwd": people.PASSWORD}
    return node.client, fields, fields | {"passwd": "another password"}


def _identity(node: RunningNode) -> Prepared:
    fields = {"realname": "Zhang San", "idcard": people.resident_id(next(people._numbers))}
    return people.register(node.client).client, fields, fields | {"realname": "Li Si"}


def _org(node: RunningNode) -> Prepared:
    fields = {
        "legal_name": "Li Si",
        "org_name": "Once Cooperative",
        "code": people.org_code(next(people._numbers)),
        "legal_phone": "0871-6512345",
    }
    return people.transporter(node.client).client, fields, fields | {"org_name": "Twice Cooperative"}


def _member(node: RunningNode) -> Prepared:
    maker = people.maker(node.client)
    first, second = ({"org_id": maker.org_id, "username": people.transporter(node.client).username} for _ in range(2))
    return maker.boss.client, first, second


def _class(node: RunningNode) -> Prepared:
    boss = people.maker(node.client).boss
    return boss.client, {"goods_name": "Green tea"}, {"goods_name": "White tea"}


def _serial(node: RunningNode) -> Prepared:
    maker = people.maker(node.client)
    fields = {"class_id": maker.class_id}
    return maker.boss.client, fields, fields | {"product_time": 1_750_000_000}


def _goods(node: RunningNode) -> Prepared:
    maker = people.maker(node.client)
    fields = {"serial_id": maker.serial_id, "sum": 3}
    return maker.boss.client, fields, fields | {"sum": 4}


def _circ(node: RunningNode) -> Prepared:
    maker = people.maker(node.client)
    fields = {"goods_id": maker.goods(1)[0], "circ_type": 1, "form_value": b'{"step":1}'}
    return maker.boss.client, fields, fields | {"form_value": b'{"step":2}'}


def _batch(node: RunningNode) -> Prepared:
    maker = people.maker(node.client)
    goods = maker.goods(50)
    fields = {"goods_ids": goods, "circ_type": 1}
    return maker.boss.client, fields, fields | {"goods_ids": goods[1:]}


def _upload(node: RunningNode) -> Prepared:
    client = people.register(node.client).client
    return client, {"content": random.randbytes(100)}, {"content": random.randbytes(100)}


MAKERS: dict[str, Prepare] = {
    "Register": _register,
    "IdentityAuth": _identity,
    "OrgAuth": _org,
    "Member": _member,
    "CreateGoodsClass": _class,
    "CreateGoodsSerial": _serial,
    "BatchCreateGoods": _goods,
    "CreateCirc": _circ,
    "BatchCirc": _batch,
    "Upload": _upload,
}


def index(node: RunningNode) -> sqlite3.Connection:
    return sqlite3.connect(node.data_dir / "index.sqlite3", isolation_level=None)


def rows(node: RunningNode) -> dict[str, int]:
    """How many rows each table of the index has."""
    with closing(index(node)) as opened:
        names = [name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        # What became of circs meanwhile is written to the feed of changes, and who called to the audit log.
        names = [name for name in names if name not in ("change", "log_entry", "log_origin")]
        return {name: opened.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0] for name in names}


def refusal(client: WireClient, rpc: str, **fields: Any) -> Refusal:
    with pytest.raises(Refusal) as refused:
        client.call(rpc, **fields)
    return refused.value


@pytest.mark.parametrize("rpc", MAKERS)
def test_every_rpc_that_makes_something(node: RunningNode, rpc: str) -> None:
    client, fields, others = MAKERS[rpc](node)
    keyed = client.with_key(new_key())
    first = keyed.call(rpc, **fields)
    before = rows(node)
    assert keyed.call(rpc, **fields) == first
    told = refusal(keyed, rpc, **others)
    assert told.status == "ALREADY_EXISTS"
    wanted = "CIRC_ALREADY_EXIST" if rpc in ("CreateCirc", "BatchCirc") else "ENTRY_DUPLICATE"
    assert (told.reason, told.metadata["value"], told.metadata["rpc"]) == (wanted, keyed.key, rpc)
    assert people.PASSWORD not in told.message
    assert rows(node) == before


def test_the_table_above_has_every_rpc_that_takes_a_key() -> None:
    servicers = (users.Users, orgs.Orgs, products.ProductsServicer, circs.Circs, files.FilesServicer, models.Models)
    servicers += (watch.Watching,)  # type: ignore[assignment]
    taking = {
        name
        for servicer in servicers
        for name, method in vars(servicer).items()
        if name[0].isupper() and "call" in method.__annotations__
    }
    assert taking == {*MAKERS, "CreateWebhook"}  # tests/api/test_webhooks.py


def test_a_key_is_for_one_rpc(node: RunningNode) -> None:
    client, fields, _ = _circ(node)
    keyed = client.with_key(new_key())
    keyed.call("CreateCirc", **fields)
    told = refusal(keyed, "CreateGoodsClass", goods_name="Green tea")
    assert (told.status, told.reason, told.domain) == ("ALREADY_EXISTS", "ENTRY_DUPLICATE", "iam.v1")
    assert "was given with the rpc CreateCirc before" in told.message


def test_two_users_may_have_the_same_key(node: RunningNode) -> None:
    key = new_key()
    ids = [
        people.maker(node.client).boss.client.with_key(key).call("CreateGoodsClass", goods_name="Green tea").class_id
        for _ in range(2)
    ]
    assert ids[0] != ids[1]
    phones = [people.phone(next(people._numbers)) for _ in range(2)]
    strangers = node.client.with_key(key)
    told = [strangers.call("Register", phone=one, nickname="n", passwd=people.PASSWORD).user for one in phones]
    assert [user.phone.value for user in told] == phones


@pytest.mark.parametrize("key", ["", "x" * 129])
def test_a_key_that_breaks_the_rules_is_refused(node: RunningNode, key: str) -> None:
    client, fields, _ = _circ(node)
    told = refusal(client.with_key(key), "CreateCirc", **fields)
    assert (told.status, told.reason) == ("INVALID_ARGUMENT", "INVALID_PARAMS")
    assert told.fields == ["metadata idempotency-key"]
    assert "1 to 128 printable ASCII characters" in told.message
    assert client.with_key("~ " + "x" * 126).call("CreateCirc", **fields).trans_id.value


def test_a_call_has_one_key() -> None:
    given = [("user-agent", "x"), ("idempotency-key", "a")]
    assert (key_in(given), key_in(given[:1])) == ("a", None)
    with pytest.raises(VTraceError, match="metadata idempotency-key: 2 values, want one value"):
        key_in([*given, ("idempotency-key", "a")])


def test_who_only_asks_needs_no_key(node: RunningNode) -> None:
    person = people.register(node.client)
    keyed = person.client.with_key("k")
    login = {"phone": person.phone, "password": people.PASSWORD}
    node.client.call("Token", **login)  # the first from here is remembered
    before = rows(node)
    keyed.call("Profile")
    keyed.with_token(None).call("Token", **login)
    person.client.with_key("").call("Profile")
    assert rows(node) == before


def test_a_refused_call_leaves_its_key_free(node: RunningNode) -> None:
    maker, carrier = people.maker(node.client), people.transporter(node.client)
    (goods_id,) = maker.goods(1)
    keyed = carrier.client.with_key(new_key())
    assert refusal(keyed, "CreateCirc", goods_id=goods_id, circ_type=1).reason == "NOT_OWNER"
    maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=3, to=carrier.username)
    first = keyed.call("CreateCirc", goods_id=goods_id, circ_type=1)
    assert keyed.call("CreateCirc", goods_id=goods_id, circ_type=1) == first
    assert [record.times.value for record in people.settled(node.client, goods_id)] == [0, 1, 2]


def test_authentication_comes_first(node: RunningNode) -> None:
    person = people.transporter(node.client)
    keyed = person.client.with_key(new_key())
    fields = {"legal_name": "Li Si", "org_name": "Gone", "legal_phone": "12345"}
    fields["code"] = people.org_code(next(people._numbers))
    keyed.call("OrgAuth", **fields)
    person.call("DeleteUser")
    assert refusal(keyed, "OrgAuth", **fields).status == "UNAUTHENTICATED"


def test_a_file_may_be_cut_otherwise_and_another_is_not_kept(node: RunningNode) -> None:
    message = SCHEMA.message("vtrace.v1.UploadRequest")
    data = random.randbytes(10_000)
    keyed = people.register(node.client).client.with_key(new_key())
    first = keyed.send("Upload", message(content=data)).url
    assert keyed.send("Upload", [message(content=data[:1]), message(content=data[1:])]).url == first
    before, kept = rows(node), sorted((node.data_dir / "files").rglob("*"))
    named = message(content=data)
    named.mds.add(key="filename", value="name.bin")
    for other in (message(content=data[1:]), named):
        with pytest.raises(Refusal, match="another Upload before") as refused:
            keyed.send("Upload", other)
        assert refused.value.reason == "ENTRY_DUPLICATE"
    assert (rows(node), sorted((node.data_dir / "files").rglob("*"))) == (before, kept)


@pytest.mark.parametrize("rpc", ["Register", "CreateCirc"])
def test_many_at_once_get_one_answer(node: RunningNode, rpc: str) -> None:
    client, fields, _ = MAKERS[rpc](node)
    keyed, at_once = client.with_key(new_key()), threading.Barrier(THREADS)
    before = rows(node)

    def call(_: int) -> Any:
        at_once.wait(60)
        return keyed.call(rpc, **fields).SerializeToString(deterministic=True)

    with ThreadPoolExecutor(THREADS) as pool:
        assert len(set(pool.map(call, range(THREADS)))) == 1
    after = rows(node)
    table = "user" if rpc == "Register" else "circ"
    assert {name: after[name] - before[name] for name in (table, "idempotency")} == {table: 1, "idempotency": 1}


def give_up(node: RunningNode, client: WireClient, callers: int, **fields: Any) -> None:
    """Calls that wait, since another program holds the index, until each caller gives up at its deadline."""
    with closing(index(node)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(callers) as pool:
            tries = [pool.submit(client.call, "CreateCirc", 0.5, **fields) for _ in range(callers)]
            for one in tries:
                with pytest.raises(Refusal, match="DEADLINE_EXCEEDED"):
                    one.result()
        other.execute("ROLLBACK")


def test_callers_who_gave_up_get_the_answer_later(node: RunningNode) -> None:
    client, fields, _ = _circ(node)
    people.settled(node.client, fields["goods_id"])
    keyed = client.with_key(new_key())
    give_up(node, keyed, 2, **fields)
    first = keyed.call("CreateCirc", **fields)
    assert keyed.call("CreateCirc", **fields) == first
    made = people.settled(node.client, fields["goods_id"])[1:]
    assert [record.trans_id.value for record in made] == [first.trans_id.value]


@pytest.mark.timeout(300)
def test_an_answer_that_nobody_got_outlives_a_kill(tmp_path: Path) -> None:
    killed = RunningNode(tmp_path / "data")
    client, fields, _ = _circ(killed)
    people.settled(killed.client, fields["goods_id"])
    key = new_key()
    give_up(killed, client.with_key(key), 1, **fields)
    eventually(lambda: rows(killed)["idempotency"])
    killed.kill()
    with running(tmp_path / "data") as node:
        answer = node.client.with_token(client.token).with_key(key).call("CreateCirc", **fields)
        made = people.settled(node.client, fields["goods_id"])[1:]
        assert [record.trans_id.value for record in made] == [answer.trans_id.value]


class Load:
    """Callers who give each of their calls a key, and call again until they have an answer."""

    def __init__(self, maker: Maker, goods: list[int]) -> None:
        self._maker = maker
        self._goods = goods
        self.answers: dict[str, str] = {}
        self.under_way: dict[int, str] = {}
        self._lock = threading.Lock()

    def run(self, node: RunningNode) -> None:
        """Until the node is killed, which it is soon."""
        faults: list[Refusal] = []
        first = len(self.answers)

        def call(caller: int) -> None:
            with closing(WireClient(node.ready["grpc"], self._maker.boss.client.token)) as client:
                while True:
                    key = self.under_way.setdefault(caller, new_key())
                    try:
                        told = client.with_key(key).call("CreateCirc", goods_id=self._goods[caller], circ_type=1)
                    except Refusal as refused:
                        if refused.status not in ("UNAVAILABLE", "CANCELLED"):
                            faults.append(refused)
                        return
                    with self._lock:
                        del self.under_way[caller]
                        self.answers[key] = told.trans_id.value
                        if len(self.answers) == first + CALLS_BEFORE_KILL:
                            node.kill_now()

        threads = [threading.Thread(target=call, args=(caller,)) for caller in range(len(self._goods))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        assert not faults


@pytest.mark.timeout(300)
def test_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    node = RunningNode(tmp_path / "data")
    maker = people.maker(node.client)
    goods = maker.goods(4)
    load = Load(maker, goods)
    for _ in range(KILLS):
        load.run(node)
        node.reap()
        node = RunningNode(tmp_path / "data")
    try:
        boss = Person(maker.boss.username, maker.boss.phone, node.client.with_token(maker.boss.client.token))
        of = {key: goods[caller] for caller, key in load.under_way.items()}
        for key, goods_id in of.items():
            told = boss.client.with_key(key).call("CreateCirc", goods_id=goods_id, circ_type=1)
            load.answers[key] = told.trans_id.value
        shown = Counter(
            record.trans_id.value for goods_id in goods for record in people.settled(node.client, goods_id)[1:]
        )
        assert shown == Counter(load.answers.values())
        assert set(shown.values()) == {1}
    finally:
        assert node.stop() == 0
