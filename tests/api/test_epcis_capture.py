"""Events captured by a running node over HTTP: which circs they become, and what is refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from node.domain.epcis.document import DOCUMENT_BYTES_MAX, EVENTS_MAX
from tests.support import people
from tests.support.epcis import CONTEXT, document, event, possessing
from tests.support.node import RunningNode
from tests.support.people import Maker, Person

PATH = "/epcis/capture"


@dataclass
class Partner:
    """A user that speaks EPCIS with a node."""

    person: Person
    http: httpx.Client
    base: str

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.person.client.token}"}

    def post(self, given: Any, **headers: str) -> httpx.Response:
        content = given if isinstance(given, bytes) else json.dumps(given).encode()
        return self.http.post(PATH, content=content, headers={"Content-Type": "application/json"} | self.auth | headers)

    def get(self, path: str) -> httpx.Response:
        return self.http.get(path, headers=self.auth)

    def capture(self, *events: Any, **more: Any) -> Any:
        """A document that becomes a job."""
        answer = self.post(document(*events, **more))
        assert answer.status_code == 202, answer.text
        job = answer.json()
        assert answer.headers["location"] == f"{PATH}/{job['captureID']}"
        assert job["running"] is False
        assert job["captureErrorBehaviour"] == "rollback"
        return job

    def epc(self, goods_id: int) -> str:
        return f"{self.base}:obj:{goods_id}"

    def event(self, *goods: int, **more: Any) -> dict[str, Any]:
        return event(*map(self.epc, goods), **more)


@pytest.fixture
def http(node: RunningNode) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{node.ready['http']}", timeout=60) as client:
        yield client


@pytest.fixture
def base(node: RunningNode) -> str:
    return f"urn:vtrace:{node.ready['chain_id']}:{node.ready['contract'].lower()}"


@pytest.fixture
def maker(node: RunningNode) -> Maker:
    return people.maker(node.client)


@pytest.fixture
def boss(maker: Maker, http: httpx.Client, base: str) -> Partner:
    return Partner(maker.boss, http, base)


def _kinds(node: RunningNode, goods_id: int) -> list[int]:
    return [record.circ_type for record in people.history(node.client, goods_id)]


def test_events_become_circs_of_their_kinds(node: RunningNode, maker: Maker, boss: Partner) -> None:
    carrier = people.transporter(node.client)
    judge = Partner(people.examiner(node), boss.http, boss.base)
    one, two = maker.goods(2)
    given = [
        boss.event(one, two, step="commissioning", action="ADD"),
        boss.event(one, two, step="packing", **{"coop:bags": 2}),
        boss.event(one, step="cbv:BizStep-inspecting"),
        boss.event(two, step="shipping", **possessing(f"{boss.base}:user:{carrier.username}")),
    ]
    job = boss.capture(*given, context=[CONTEXT, {"coop": "https://ns.example.org/coop/"}])
    assert (job["success"], job["errors"], job["duplicates"]) == (True, [], [])
    assert [each["event"] for each in job["recorded"]] == [0, 1, 2, 3]
    assert (_kinds(node, one), _kinds(node, two)) == ([0, 0, 1, 4], [0, 0, 1, 3])
    records = people.settled(node.client, two)
    assert [record.status.value for record in records] == ["success"] * 4
    assert records[-1].to.value == carrier.username
    assert [record.trans_id.value for record in records[1:]] == [
        each["transIDs"][0] for each in job["recorded"] if each["event"] != 2
    ]
    form = json.loads(records[2].from_value.value)
    assert form == given[1] | {"@context": [CONTEXT, {"coop": "https://ns.example.org/coop/"}]}
    assert judge.capture(judge.event(one, two, step="sampling"))["success"]
    assert _kinds(node, two)[-1] == 4


def test_goods_with_a_gtin_are_known_by_it_and_their_lot(node: RunningNode, boss: Partner) -> None:
    call = boss.person.call
    description = b'{"gtin": "9506000134352"}'
    class_id = call("CreateGoodsClass", goods_name="Oolong", goods_des=description, tm="Tin").class_id.value
    serial_id = call("CreateGoodsSerial", class_id=class_id).serial_id.value
    (goods,) = [one.value for one in call("BatchCreateGoods", serial_id=serial_id, sum=1).ids]
    names = (
        f"https://id.gs1.org/01/09506000134352/21/{goods}",
        f"https://oolong.example.com/01/09506000134352/10/{serial_id}/21/{goods}",
        f"urn:epc:id:sgtin:9506000.013435.{goods}",
        boss.epc(goods),
    )
    for hour, name in enumerate(names):
        assert boss.capture(event(name, eventTime=f"2026-05-01T0{hour}:00:00Z"))["success"]
    assert _kinds(node, goods) == [0, 1, 1, 1, 1]
    wrong = (
        (f"https://id.gs1.org/01/09506000134376/21/{goods}", "want GTIN 09506000134352, which their class has"),
        (f"https://id.gs1.org/01/09506000134352/10/{serial_id + 1}/21/{goods}", f"want lot {serial_id}"),
        (f"https://id.gs1.org/01/09506000134352/21/{goods + 1_000_000}", "want goods that this node has"),
    )
    job = boss.capture(event(names[0], step="storing"), *(event(epc) for epc, _ in wrong))
    assert (job["success"], [error["event"] for error in job["errors"]]) == (False, [1, 2, 3])
    assert all(want in error["detail"] for error, (_, want) in zip(job["errors"], wrong, strict=True))
    assert len(_kinds(node, goods)) == 5


def test_what_custody_forbids_lets_nothing_of_the_document_in(node: RunningNode, maker: Maker, boss: Partner) -> None:
    stranger = Partner(people.transporter(node.client), boss.http, boss.base)
    mine, other = maker.goods(1)[0], people.maker(node.client).goods(1)[0]
    job = boss.capture(boss.event(mine), boss.event(mine, other, step="storing"), boss.event(other))
    assert (job["success"], job["recorded"]) == (False, [])
    assert [(error["event"], error["status"], error["reason"]) for error in job["errors"]] == [
        (1, 403, "NOT_OWNER"),
        (2, 403, "NOT_OWNER"),
    ]
    assert all(error["type"] == "epcisException:SecurityException" for error in job["errors"])
    assert f"goods {other} are not in the custody" in job["errors"][0]["detail"]
    assert _kinds(node, mine) == [0]
    assert boss.get(f"{PATH}/{job['captureID']}").json() == job
    # A role may not do all, nor anybody name somebody else as the operator.
    denied = stranger.capture(stranger.event(mine, step="commissioning", action="ADD"))
    assert [(each["status"], each["reason"]) for each in denied["errors"]] == [(403, "PERMISSION_DENIED")]
    vtrace = {"vtrace": "urn:vtrace:ns:"}
    for named in ({"vtrace:operator": f"{boss.base}:party:1048575"}, {"vtrace:trans_id": "0x" + "00" * 32}):
        found = boss.capture(boss.event(mine, **named), context=[CONTEXT, vtrace])
        assert found["success"] is ("vtrace:trans_id" in named), found
    lost = boss.capture(boss.event(mine, step="shipping", **possessing(f"{boss.base}:user:nobody")))
    assert "nobody is not known here" in lost["errors"][0]["detail"]
    assert _kinds(node, mine) == [0, 1]


def test_an_event_is_recorded_once_whatever_document_it_comes_in(
    node: RunningNode, maker: Maker, boss: Partner
) -> None:
    (goods,) = maker.goods(1)
    first, second = boss.event(goods), boss.event(goods, step="cbv:BizStep-storing")
    job = boss.capture(first)
    again = boss.capture(first, boss.event(goods, step="storing"), second, creationDate="2026-06-01T00:00:00Z")
    assert again["success"]
    assert again["duplicates"] == [job["recorded"][0], again["recorded"][0] | {"event": 2}]
    assert [each["event"] for each in again["recorded"]] == [1]
    assert len(_kinds(node, goods)) == 3
    # Another user's same event is another circ.
    judge = Partner(people.examiner(node), boss.http, boss.base)
    looked = boss.event(goods, step="inspecting")
    assert [len(each.capture(looked)["recorded"]) for each in (boss, judge, boss)] == [1, 1, 0]
    assert _kinds(node, goods)[3:] == [4, 4]


def test_documents_sent_at_the_same_moment_are_recorded_once(node: RunningNode, maker: Maker, boss: Partner) -> None:
    goods = maker.goods(8)
    given = [boss.event(one) for one in goods]
    jobs: list[Any] = []
    threads = [threading.Thread(target=lambda: jobs.append(boss.capture(*given))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(len(job["recorded"]) for job in jobs) == [0, 0, 0, 8]
    assert [_kinds(node, one) for one in goods] == [[0, 1]] * 8


def test_with_an_idempotency_key_the_same_answer_comes_again(node: RunningNode, maker: Maker, boss: Partner) -> None:
    (goods,) = maker.goods(1)
    given = document(boss.event(goods))
    key = f"key of goods {goods}"
    first = boss.post(given, **{"Idempotency-Key": key})
    again = boss.post(given, **{"Idempotency-Key": key})
    assert (again.json(), again.headers["location"]) == (first.json(), first.headers["location"])
    other = boss.post(document(boss.event(goods, step="storing")), **{"Idempotency-Key": key})
    assert (other.status_code, other.json()["type"]) == (409, "epcisException:ResourceAlreadyExistsException")
    # What could not be recorded leaves its key free.
    receiver = people.transporter(node.client)
    theirs = Partner(receiver, boss.http, boss.base)
    shelved = document(boss.event(goods, step="stocking"))
    assert not theirs.post(shelved, **{"Idempotency-Key": "a"}).json()["success"]
    boss.person.call("CreateCirc", goods_id=goods, circ_type=3, to=receiver.username)
    assert theirs.post(shelved, **{"Idempotency-Key": "a"}).json()["success"]


def test_jobs_are_shown_to_their_owner_alone_newest_first(maker: Maker, boss: Partner, node: RunningNode) -> None:
    goods = maker.goods(5)
    made = [boss.capture(boss.event(one)) for one in goods]
    listed: list[str] = []
    following = f"{PATH}?perPage=2"
    while following:
        page = boss.get(following)
        assert page.status_code == 200
        listed += [job["captureID"] for job in page.json()]
        following = page.headers.get("link", "").partition(">")[0].removeprefix("<")
    assert listed == [job["captureID"] for job in reversed(made)]
    (shown,) = boss.get(f"{PATH}?perPage=1").json()
    assert shown.items() <= made[-1].items()
    assert shown["errors"] == []
    stranger = Partner(people.transporter(node.client), boss.http, boss.base)
    assert stranger.get(PATH).json() == []
    for name in (made[0]["captureID"], "x", "%00", "0" * 32):
        missing = stranger.get(f"{PATH}/{name}")
        assert (missing.status_code, missing.json()["type"]) == (404, "epcisException:NoSuchResourceException")
    for query in ("perPage=0", "perPage=101", "perPage=x", "perPage=1&perPage=1", "page=1", "nextPageToken=-1"):
        assert boss.get(f"{PATH}?{query}").status_code == 400


def test_what_is_no_document_is_a_problem_with_all_its_faults(boss: Partner, maker: Maker) -> None:
    (goods,) = maker.goods(1)
    answer = boss.post(document(boss.event(goods), {"type": "AggregationEvent"}, boss.event(goods, action="DELETE")))
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["type"]) == (400, "epcisException:ValidationException")
    assert [(fault["event"], fault["field"], fault["value"]) for fault in problem["errors"]] == [
        (1, "type", "AggregationEvent"),
        (2, "action", "DELETE"),
    ]
    assert "errorsLeftOut" not in problem
    many = boss.post(document(*[{"type": "TransformationEvent"}] * 150)).json()
    assert (len(many["errors"]), many["errorsLeftOut"]) == (100, 50)
    assert boss.post(b'{"a":1,"a":1}').json()["detail"].startswith("body: the name a twice")


HEADERS = [
    ({"GS1-Capture-Error-Behaviour": "proceed"}, 400, "ValidationException"),
    ({"GS1-EPCIS-Version": "1.2"}, 406, "NotAcceptableException"),
    ({"GS1-CBV-Version": "3.0"}, 406, "NotAcceptableException"),
    ({"Accept": "application/xml"}, 406, "NotAcceptableException"),
    ({"Content-Type": "application/xml"}, 415, "UnsupportedMediaTypeException"),
    ({"Content-Type": "text/plain"}, 415, "UnsupportedMediaTypeException"),
    ({"Content-Type": "application/json; charset=utf-16"}, 415, "UnsupportedMediaTypeException"),
    ({"Authorization": "Bearer x"}, 401, "SecurityException"),
    ({"Authorization": ""}, 401, "SecurityException"),
    ({"Idempotency-Key": "x" * 129}, 400, "ValidationException"),
]


@pytest.mark.parametrize(("headers", "status", "kind"), HEADERS, ids=range(len(HEADERS)))
def test_headers_that_do_not_fit_are_refused(
    boss: Partner, maker: Maker, node: RunningNode, headers: dict[str, str], status: int, kind: str
) -> None:
    (goods,) = maker.goods(1)
    answer = boss.post(document(boss.event(goods)), **headers)
    assert (answer.status_code, answer.json()["type"]) == (status, f"epcisException:{kind}")
    assert answer.json()["status"] == status
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert _kinds(node, goods) == [0]


def test_headers_that_fit_are_taken(boss: Partner, maker: Maker) -> None:
    (goods,) = maker.goods(1)
    fitting = {
        "GS1-Capture-Error-Behaviour": "rollback",
        "GS1-EPCIS-Version": "2.0.0",
        "GS1-CBV-Version": "2.0",
        "Accept": "application/json;q=0.9, text/html",
        "Content-Type": "application/ld+json; charset=UTF-8",
    }
    answer = boss.post(boss.event(goods) | {"@context": CONTEXT}, **fitting)
    assert (answer.status_code, len(answer.json()["recorded"])) == (202, 1)


def test_limits_are_told_and_held(boss: Partner, node: RunningNode) -> None:
    told = boss.http.options(PATH)
    assert (told.status_code, told.headers["allow"]) == (204, "GET, OPTIONS, POST")
    assert told.headers["gs1-capture-error-behaviour"] == "rollback"
    assert told.headers["gs1-epcis-version"] == "2.0"
    assert int(told.headers["gs1-epcis-capture-limit"]) == EVENTS_MAX
    assert int(told.headers["gs1-epcis-capture-file-size-limit"]) == DOCUMENT_BYTES_MAX
    assert boss.http.options(f"{PATH}/x").headers["allow"] == "GET, OPTIONS"
    many = boss.post(document(*[event("urn:x:1")] * (EVENTS_MAX + 1)))
    large = boss.post(b" " * (DOCUMENT_BYTES_MAX + 1))
    for answer in (many, large):
        assert (answer.status_code, answer.json()["type"]) == (413, "epcisException:CaptureLimitExceededException")
    for method, path in (("PUT", PATH), ("DELETE", PATH), ("POST", f"{PATH}/x"), ("HEAD", PATH)):
        refused = boss.http.request(method, path, headers=boss.auth)
        assert refused.status_code == 405
        assert "OPTIONS" in refused.headers["allow"]
    normal = Partner(people.register(node.client), boss.http, boss.base)
    denied = normal.post(document(event(boss.epc(1))))
    assert (denied.status_code, denied.json()["type"]) == (403, "epcisException:SecurityException")


def test_what_the_node_tells_it_does_not_record_again(node: RunningNode, maker: Maker, boss: Partner) -> None:
    (goods,) = maker.goods(1)
    boss.person.call("CreateCirc", goods_id=goods, circ_type=1, form_value=b'{"step": "dried"}')
    people.settled(node.client, goods)
    told = boss.get(f"/epcis/events?MATCH_anyEPC={boss.epc(goods)}")
    assert told.status_code == 200, told.text
    document_told = told.json()
    events = document_told["epcisBody"]["queryResults"]["resultsBody"]["eventList"]
    assert len(events) == 2
    job = boss.post(document_told).json()
    assert (job["success"], job["recorded"]) == (True, []), job
    assert [each["transIDs"] for each in job["duplicates"]] == [[each["vtrace:trans_id"]] for each in events]
    events[1]["bizStep"] = "storing"
    del events[1]["eventID"]
    events[1]["epcList"] = [boss.epc(maker.goods(1)[0])]
    forged = boss.post(document_told).json()
    assert "the caller's own circ of these very goods" in forged["errors"][0]["detail"]
    assert _kinds(node, goods) == [0, 1]
